"""Every component can be constructed both ways: with its dataclass, and with the plain dict that a component host
passes."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args, get_origin

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random
import pytest
from pulumi.provider.experimental.analyzer import Analyzer

import components
from components.access_graph import AccessGraph
from components.arguments import ComponentArgs, camel_case
from components.certificates import Certificates
from components.credentials import AccessGraphNamespace, Credentials
from components.database_access import DatabaseAccess
from components.database_logins import LoginRetirement
from components.network_policies import NetworkPolicies
from components.package import COMPONENTS
from provider.host import Host
from tests.samples import OIDC_PROVIDER_ARN, REGION, TELEPORT_CLUSTER
from tests.unit.monitor import Recording, record

ARGUMENTS: dict[str, dict[str, Any]] = {
    "Certificates": {"dns_names": ["graph.example.com"], "algorithm": "RSA", "generation": 3},
    "AccessGraphNamespace": {"namespace": "graph", "database_ca_bundle": "bundle"},
    "Credentials": {
        "namespace": "graph",
        "certificate_pem": "certificate",
        "private_key_pem": "key",
        "digest_key": "k" * 32,
        "database_uri": "postgres://graph",
    },
    "CertificateRestarter": {
        "namespace": "graph",
        "secret_name": "pair",
        "deployment_name": "graph",
        "image": "kubectl:1.34.2",
        "every_minutes": 7,
        "image_pull_secrets": ["registry"],
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"key": "graph", "operator": "Exists"}],
    },
    "IssuedCertificate": {
        "namespace": "graph",
        "dns_names": ["graph.example.com"],
        "ca_secret": "authority",
        "algorithm": "RSA",
        "validity_hours": 1000,
    },
    "AccessGraph": {
        "namespace": "graph",
        "release": "graph",
        "chart": "charts/graph.tgz",
        "host_authorities": ["authority"],
        "database_secret_name": "database",
        "tls_secret_name": "pair",
        "credentials_checksum": "0" * 64,
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"key": "graph", "operator": "Exists"}],
        "image_pull_secrets": ["registry"],
    },
    "TeleportCluster": {
        "cluster": TELEPORT_CLUSTER,
        "mode": "release",
        "enabled": True,
        "endpoint": "graph.example.com:443",
        "chart": "charts/teleport.tgz",
        "values": {"clusterName": TELEPORT_CLUSTER},
        "trust_bundle": "bundle",
        "adopt": True,
    },
    "OwnersRollout": {
        "namespace": "teleport",
        "deployment": "teleport-auth",
        "values_config_map": "values",
        "hand_over": "1",
        "endpoint": "graph.example.com:443",
        "enabled": True,
        "checksum": "0" * 64,
        "image": "kubectl:1",
        "image_pull_secrets": ["registry"],
    },
    "Database": {
        "region": REGION,
        "account_id": "123456789012",
        "identifier": "graph",
        "vpc_id": "vpc-0123456789abcdef0",
        "subnet_ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
        "client_security_group_ids": ["sg-0123456789abcdef0"],
        "tags": {"team": "infra"},
    },
    "DatabaseAccess": {
        "namespace": "graph",
        "ca_config_map": "database-ca",
        "identifier": "graph",
        "region": REGION,
        "account_id": "123456789012",
        "host": "db.example.com",
        "port": 5432,
        "database_name": "graph",
        "master_username": "tag_admin",
        "digest_key": "k" * 32,
        "rotation": 1,
        "master_secret_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-0",
        "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/0",
        "oidc_provider_arn": OIDC_PROVIDER_ARN,
    },
    "NetworkPolicies": {
        "namespace": "graph",
        "release": "graph",
        "teleports": [{"namespace": "teleport", "release": "teleport"}],
        "client_cidrs": ["10.0.0.0/8"],
        "database_port": 5432,
        "job_name": "jobs",
    },
    "ExternalService": {
        "namespace": "graph",
        "release": "graph",
        "hostname": "graph.example.com",
        "annotations": {"example.com/scheme": "internal"},
        "source_ranges": ["10.0.0.0/8"],
    },
    "Monitoring": {
        "namespace": "graph",
        "release": "graph",
        "service_monitor": True,
        "rules": True,
        "certificate_not_after": "2027-12-24T00:00:00Z",
        "labels": {"release": "prometheus"},
    },
    "LockoutWatch": {
        "namespace": "teleport",
        "release": "teleport",
        "pattern": "could not find host CA",
        "image": "kubectl:1",
        "rule": True,
    },
    "ReaderRole": {"namespace": "teleport"},
    "LoginRetirement": {
        "namespace": "graph",
        "job": {
            "service_account": "access",
            "secret": "access",
            "ca_config_map": "database-ca",
            "host": "db.example.com",
            "port": 5432,
            "database": "graph",
            "master": "tag_admin",
            "region": REGION,
            "master_secret_arn": None,
            "image": "postgres:17",
            "aws_cli_image": "aws-cli:2",
            "timeout_seconds": 600,
        },
        "login": "access_graph_a",
        "after_run": "00000000-0000-4000-8000-000000000000",
        "digest_key": "k" * 32,
        "grace_seconds": 5,
    },
}


def args_class(component: type[pulumi.ComponentResource]) -> type[ComponentArgs]:
    return getattr(importlib.import_module(component.__module__), f"{component.__name__}Args")


def constructed(component: type[pulumi.ComponentResource], args: Any) -> Recording:
    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        component("it", args, pulumi.ResourceOptions(providers=providers))  # type: ignore[call-arg]

    return record(program)


def test_the_package_has_every_component() -> None:
    for module in pkgutil.iter_modules(components.__path__, "components."):
        importlib.import_module(module.name)
    ours = [one for one in pulumi.ComponentResource.__subclasses__() if one.__module__.startswith("components.")]
    assert {one.__name__ for one in ours} == {one.__name__ for one in COMPONENTS} == set(ARGUMENTS)


@functools.cache
def by_dataclass(component: type[pulumi.ComponentResource]) -> Recording:
    return constructed(component, args_class(component)(**ARGUMENTS[component.__name__]))


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_dataclass_and_a_hosts_plain_dict_make_the_same(component: type[pulumi.ComponentResource]) -> None:
    arguments = ARGUMENTS[component.__name__]
    by_class = by_dataclass(component)
    snake = constructed(component, arguments)
    camel = constructed(component, {camel_case(key): value for key, value in arguments.items()})
    assert len(by_class.custom()) >= 1
    assert by_class.in_order() == snake.in_order() == camel.in_order()
    assert by_class.component_outputs == snake.component_outputs == camel.component_outputs


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_two_instances_stand_side_by_side(component: type[pulumi.ComponentResource]) -> None:
    """Children are named after their component, so two instances do not collide."""

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        for name in ("one", "two"):
            component(name, ARGUMENTS[component.__name__], pulumi.ResourceOptions(providers=providers))  # type: ignore[call-arg]

    urns = [item.urn for item in record(program).registrations]
    assert len(urns) == len(set(urns))


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_declared_outputs_are_set_and_registered(component: type[pulumi.ComponentResource]) -> None:
    recording = by_dataclass(component)
    declared = {name for name, kind in component.__annotations__.items() if "Output" in str(kind)}
    (outputs,) = recording.component_outputs.values()
    optional = {"master_password", "topic_arn", "replica_address", "replica_resource_id", "replica_uri"}
    optional = (
        optional | {"merged_values", "client_identity", "master_secret_kms_key_arn", "database_replica_secret_name"}
    ) & declared
    assert declared - optional <= set(outputs) <= declared


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_component_host_can_derive_a_schema(component: type[pulumi.ComponentResource]) -> None:
    definition = Analyzer("teleport-access-graph").analyze([component])["component_definitions"]
    fields = {camel_case(field.name) for field in dataclasses.fields(args_class(component))}  # type: ignore[arg-type]
    assert set(definition[component.__name__].inputs) == fields


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_component_host_constructs_the_same(component: type[pulumi.ComponentResource]) -> None:
    """Pulumi's own host, called as the engine calls it: inputs in camelCase, the published type token."""
    host = Host()

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        inputs = {camel_case(key): value for key, value in ARGUMENTS[component.__name__].items()}
        token = f"teleport-access-graph:index:{component.__name__}"
        host.construct("it", token, inputs, pulumi.ResourceOptions(providers=providers))

    assert record(program).in_order() == by_dataclass(component).in_order()


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_a_misspelt_argument_is_named_with_the_nearest_known_one(component: type[pulumi.ComponentResource]) -> None:
    known = next(iter(ARGUMENTS[component.__name__]))
    with pytest.raises(TypeError, match=rf"unknown argument '{known}x'; did you mean '{known}'\?"):
        args_class(component).from_input({**ARGUMENTS[component.__name__], f"{known}x": 1})


@pytest.mark.parametrize(
    ("component", "changes", "said"),
    [
        (AccessGraph, {"host_authorities": []}, "host_authorities: is empty; TAG would accept nobody"),
        (Credentials, {"private_key_pem": None}, "certificate_pem: pass it and private_key_pem, or tls_secret_name"),
        (Credentials, {"tls_secret_name": "own"}, "certificate_pem: pass it and private_key_pem, or tls_secret_name"),
        (
            Credentials,
            {"certificate_pem": None, "private_key_pem": None},
            "certificate_pem: pass it and private_key_pem, or tls_secret_name",
        ),
        *(
            (component, {"digest_key": "k" * 31}, "digest_key: has 31 characters; pass at least 32 random ones")
            for component in (Credentials, DatabaseAccess, LoginRetirement)
        ),
        (
            NetworkPolicies,
            {"teleports": [{"namespace": "a", "release": "b"}, {"namespace": "teleport", "name": "teleport"}]},
            r"teleports\[1\]: has no release; give namespace and release of each",
        ),
    ],
    ids=[
        "no host CA",
        "half a pair",
        "a pair and a Secret",
        "neither",
        *(f"a short key of {whose}" for whose in ("Secrets", "a login's Job", "a retirement's Job")),
        "half a caller",
    ],
)
def test_arguments_with_which_nothing_would_work_are_refused(
    component: type[pulumi.ComponentResource], changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        constructed(component, {**ARGUMENTS[component.__name__], **changes})


def test_an_access_graph_that_is_told_no_sizes_has_those_from_the_field() -> None:
    """Below 512Mi of memory the first import of a cluster starves; a CPU limit would only throttle it."""
    untold = {"resources", "pod_disruption_budget", "node_selector", "labels", "annotations"}
    given = {name: value for name, value in ARGUMENTS["AccessGraph"].items() if name not in untold}
    values = constructed(AccessGraph, given)["it-release"].plain("values")
    assert values["resources"] == {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
    assert values["podDisruptionBudget"] == {"enabled": True, "minAvailable": 1}


@pytest.mark.parametrize(
    ("changes", "budget"),
    [
        ({"replicas": 1}, {"enabled": False, "minAvailable": 1}),
        ({"replicas": 3}, {"enabled": True, "minAvailable": 1}),
        ({"replicas": 1, "pod_disruption_budget": {"enabled": True, "maxUnavailable": 1}}, ...),
    ],
)
def test_a_single_pod_holds_back_no_drain_unless_asked_to(changes: dict[str, Any], budget: Any) -> None:
    values = constructed(AccessGraph, {**ARGUMENTS["AccessGraph"], **changes})["it-release"].plain("values")
    assert values["podDisruptionBudget"] == (changes["pod_disruption_budget"] if budget is ... else budget)


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(TypeError, match="missing 'namespace'"):
        args_class(AccessGraphNamespace).from_input({})


def test_an_argument_in_both_spellings_is_refused() -> None:
    with pytest.raises(TypeError, match="'dns_names' is given twice"):
        args_class(Certificates).from_input({"dns_names": [], "dnsNames": []})


def test_something_else_than_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match="CertificatesArgs: got list"):
        args_class(Certificates).from_input([])  # type: ignore[arg-type]


DEPENDENCIES: dict[str, Callable[[pulumi.Resource], Any]] = {
    "a resource": lambda before: before,
    "a list": lambda before: [before],
    "an Output": lambda before: pulumi.Output.from_input([before]),
}


@pytest.mark.slow
@pytest.mark.parametrize("given", DEPENDENCIES.values(), ids=DEPENDENCIES)
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_all_that_a_component_makes_waits_for_what_it_depends_on(
    component: type[pulumi.ComponentResource], given: Callable[[pulumi.Resource], Any]
) -> None:
    """In Pulumi itself only the component waits, and nothing depends on the component. If `--continue-on-error` passed
    the component over, the run would end."""

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        before = random.RandomId("before", byte_length=4)
        options = pulumi.ResourceOptions(providers=providers, depends_on=given(before))
        component("it", ARGUMENTS[component.__name__], options)  # type: ignore[call-arg]

    recording = record(program)
    before = recording["before"].urn
    made = [item for item in recording.registrations if item.name == "it" or item.name.startswith("it-")]
    assert len(made) >= 2
    assert [item.name for item in made if (before in item.dependencies) != item.custom] == []


def test_transformations_that_a_component_is_given_outlast_what_it_depends_on() -> None:
    """The component hands its dependencies on by a transformation of its own."""
    seen: list[str] = []

    def look(args: pulumi.ResourceTransformationArgs) -> None:
        seen.append(args.name)

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test")]
        before = random.RandomId("before", byte_length=4)
        options = pulumi.ResourceOptions(providers=providers, depends_on=[before], transformations=[look])
        AccessGraphNamespace("it", ARGUMENTS["AccessGraphNamespace"], options)  # type: ignore[arg-type]

    record(program)
    assert "it-namespace" in seen


NOT_ASKED_FOR: dict[str, dict[str, Any]] = {
    "AccessGraphNamespace": {"keep": False},
    "TeleportCluster": {"adopt": False},
    "Database": {"on_destroy": "delete", "protect": False},
}


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_what_is_asked_of_a_component_no_child_takes_back(component: type[pulumi.ComponentResource]) -> None:
    """The engine passes `protect` and `retain_on_delete` on to children that do not set them; an explicit `False` would
    win."""
    name = component.__name__
    refused: list[tuple[str, str]] = []

    def look(args: pulumi.ResourceTransformationArgs) -> None:
        options = ("protect", "retain_on_delete")
        refused.extend((args.name, option) for option in options if getattr(args.opts, option) is False)

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        arguments = {**ARGUMENTS[name], **NOT_ASKED_FOR.get(name, {})}
        component("it", arguments, pulumi.ResourceOptions(providers=providers, transformations=[look]))  # type: ignore[call-arg]

    assert len(record(program).custom()) >= 1
    assert refused == []


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (
            "TeleportCluster",
            {"endpoint": pulumi.Output.from_input("graph.example.com:443")},
            "endpoint: is an Output, and has to be known while the program runs; pass a text that is plain",
        ),
        (
            "IssuedCertificate",
            {"validity_hours": pulumi.Output.from_input(1000)},
            "validity_hours: is an Output, and has to be known while the program runs; pass a whole number",
        ),
        *(
            (
                "Certificates",
                {f"{of}_early_renewal_hours": pulumi.Output.from_input(24)},
                f"{of}_early_renewal_hours: is an Output, and has to be known while the program runs; pass a whole",
            )
            for of in ("ca", "certificate")
        ),
        ("AccessGraph", {"host_authorities": "authority"}, "host_authorities: is of type str; pass a list"),
        ("Database", {"subnet_ids": "subnet-0"}, "subnet_ids: is of type str; pass a list"),
        ("TeleportCluster", {"enabled": "false"}, "enabled: is of type str; pass true or false"),
        ("AccessGraph", {"replicas": True}, "replicas: is of type bool; pass a whole number"),
        ("AccessGraph", {"replicas": 1.5}, "replicas: is of type float; pass a whole number"),
        ("AccessGraph", {"node_selector": ["disk"]}, "node_selector: is of type list; pass a map"),
        ("AccessGraphNamespace", {"namespace": None}, "namespace: is None; pass a text"),
        ("AccessGraph", {"release": None, "chart": None}, "release: is None; pass a text\nAccessGraphArgs: chart: is"),
    ],
)
def test_an_argument_of_another_type_is_refused(name: str, change: Mapping[str, Any], said: str) -> None:
    """Refused before anything is registered: a name that is an Output would otherwise become the text of the SDK's
    error."""
    (component,) = [one for one in COMPONENTS if one.__name__ == name]
    arguments = {**ARGUMENTS[name], **change}
    for given in (args_class(component).from_input, lambda made: args_class(component)(**made)):
        with pytest.raises(TypeError) as caught:
            given(arguments)
        assert f"{name}Args: {said}" in str(caught.value)


def test_an_input_is_plain_or_comes_later() -> None:
    """A host sends every number as a float, and None means the default both ways."""

    def program() -> None:
        for namespace in ("graph", pulumi.Output.from_input("graph"), pulumi.Output.secret("graph")):
            args_class(AccessGraphNamespace)(namespace=namespace, create=None)
        made = args_class(Certificates)(dns_names=pulumi.Output.from_input(["a"]), generation=2.0, phase=None)
        assert made.phase == "stable"  # type: ignore[attr-defined]

    record(program)


@pytest.mark.slow
@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.__name__)
def test_whatever_may_be_an_output_may_be_a_coroutine(component: type[pulumi.ComponentResource]) -> None:
    """A coroutine can be awaited only once, however often the component needs its value."""
    taken = {field.name: field.type for field in dataclasses.fields(args_class(component))}  # type: ignore[arg-type]

    async def later(value: Any) -> Any:
        return value

    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test"), aws.Provider("aws", region=REGION)]
        arguments = {
            name: later(value) if Awaitable in {get_origin(one) for one in get_args(taken[name])} else value
            for name, value in ARGUMENTS[component.__name__].items()
        }
        component("it", arguments, pulumi.ResourceOptions(providers=providers))  # type: ignore[call-arg]

    assert record(program).in_order() == by_dataclass(component).in_order()
