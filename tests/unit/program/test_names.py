"""Names, parents, providers and outputs: what other stacks, states and people depend on."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pulumi_kubernetes
import pytest

from tests.samples import CLUSTER_IDENTIFIER, OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.states.stacks import ISSUED, stack_of
from tests.unit.monitor import Recording, unsealed
from tests.unit.program.stack import ROOT, configuration, run_program

GOLDEN = Path(__file__).with_name("urns.json")


def test_urns_are_those_of_every_state_that_exists(stack: Recording) -> None:
    """A changed URN replaces the resource. To change one on purpose, give the resource an alias first, then update this
    file."""
    assert sorted(item.urn for item in stack.registrations) == json.loads(GOLDEN.read_text())


def test_every_resource_has_its_component_as_parent_and_the_component_name_as_prefix(stack: Recording) -> None:
    components = {item.urn: item for item in stack.registrations if not item.custom}
    for item in stack.custom():
        if item.name == "digest-key":
            continue
        parent = components[item.parent]
        assert item.name.startswith(f"{parent.name}-"), item.name


def test_the_role_that_logs_in_by_iam_is_of_the_account_that_the_release_makes(tmp_path: Path) -> None:
    """The chart names its ServiceAccount after the release; a role for another ServiceAccount would lock TAG out of its
    database."""
    config = configuration(tmp_path)
    config["accessGraph"]["release"] = "graph"
    config["database"]["authentication"] = "iam"
    trust = json.loads(run_program(config, tmp_path)["database-access-client-role"].plain("assumeRolePolicy"))
    condition = trust["Statement"][0]["Condition"]["StringEquals"]
    (subject,) = [value for key, value in condition.items() if key.endswith(":sub")]
    assert subject == "system:serviceaccount:teleport-access-graph:graph-teleport-access-graph"


def test_component_types_are_the_published_ones(stack: Recording) -> None:
    assert {item.name: item.type.rsplit(":", 1)[1] for item in stack.registrations if not item.custom} == {
        "certificates": "Certificates",
        "database": "Database",
        "database-access": "DatabaseAccess",
        "database-logins": "LoginRetirement",
        "namespace": "AccessGraphNamespace",
        "credentials": "Credentials",
        "access-graph": "AccessGraph",
        f"teleport-{TELEPORT_CLUSTER}": "TeleportCluster",
    }


def test_every_cloud_resource_goes_through_an_explicit_provider(stack: Recording) -> None:
    for item in stack.custom():
        package = item.type.split(":")[0]
        if package in ("aws", "kubernetes"):
            assert f"pulumi:providers:{package}::{package}::" in item.provider, item.name


def test_the_providers_refuse_another_cluster_and_account(stack: Recording) -> None:
    cluster = stack["kubernetes"]
    assert cluster.plain("clusterIdentifier") == CLUSTER_IDENTIFIER
    assert cluster.plain("kubeconfig") == ""
    assert cluster.plain("context") == "test"
    assert (cluster.plain("enableConfigMapMutable"), cluster.plain("enableSecretMutable")) == ("true", "true")
    assert json.loads(stack["aws"].plain("allowedAccountIds")) == ["123456789012"]


def test_what_others_own_in_the_cluster_is_not_taken_over(stack: Recording) -> None:
    """With either option an `up` overwrites what it finds: a Secret of the same name, or a field of Teleport's own
    Deployments that Helm or a person owns. Without them it stops and names the object."""
    inputs = stack["kubernetes"]
    assert (inputs.plain("upsertExistingObjects"), inputs.plain("enablePatchForce")) == ("false", "false")
    # Patches, by which Teleport's Deployments are annotated, exist only with it.
    assert inputs.plain("enableServerSideApply") == "true"


def test_the_way_out_of_a_lost_cluster_is_open(stack: Recording) -> None:
    """The plugin heeds PULUMI_K8S_DELETE_UNREACHABLE, which its error messages recommend, only if the provider does not
    set the option."""
    assert "deleteUnreachable" not in stack["kubernetes"].inputs
    assert stack["kubernetes"].plain("skipUpdateUnreachable") == "false"


def test_no_variable_of_a_machine_changes_the_provider(
    stack: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK fills unset inputs from environment variables; a preview on another machine would then show changes."""
    source = Path(str(pulumi_kubernetes.__file__)).with_name("provider.py").read_text(encoding="utf-8")
    variables = set(re.findall(r"get_env(?:_bool)?\('(\w+)'\)", source)) - {"PULUMI_K8S_DELETE_UNREACHABLE"}
    assert len(variables) > 6
    for variable in variables:
        monkeypatch.setenv(variable, "true")
    assert run_program(configuration(tmp_path), tmp_path)["kubernetes"].inputs == stack["kubernetes"].inputs


def test_clusters_have_one_provider_each(tmp_path: Path) -> None:
    elsewhere = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    config = configuration(
        tmp_path,
        entry={"kubernetes": elsewhere, "endpoint": "graph.example.com:443"},
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    )
    stack = run_program(config, tmp_path)
    providers = stack.of_type("pulumi:providers:kubernetes")
    assert {item.name for item in providers} == {"kubernetes", f"kubernetes-{OTHER_CLUSTER_IDENTIFIER}"}
    release = stack[f"teleport-{TELEPORT_CLUSTER}-release"]
    assert f"::kubernetes-{OTHER_CLUSTER_IDENTIFIER}::" in release.provider
    access_graph = release.plain("values.auth.teleportConfig.access_graph")
    assert access_graph["endpoint"] == "graph.example.com:443"
    assert stack["certificates-server-request"].plain("dnsNames") == [
        "teleport-access-graph.teleport-access-graph.svc.cluster.local",
        "graph.example.com",
    ]


def test_whatever_may_stand_around_goes_to_the_cluster_that_it_is_for(tmp_path: Path) -> None:
    """A resource without one of the stack's providers would go wherever the machine's kubeconfig points at the
    moment."""
    config, _ = stack_of("surrounded", tmp_path)
    issuer, reloader = {"mode": "existing", "name": "internal"}, {"mode": "restarter"}
    config["tls"] = {**ISSUED, "issuer": issuer, "reloader": reloader, "extraDnsNames": ["graph.example.com"]}
    config["teleport"][TELEPORT_CLUSTER] |= {
        "kubernetes": {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER},
        "endpoint": "graph.example.com:443",
        "applyReaderRole": True,
    }
    stack = run_program(config, tmp_path)
    found = {item.name: item.provider.split("::")[-2] for item in stack.custom() if item.type.startswith("kubernetes:")}
    around = ("network-policies-", "certificate-restarter-", "monitoring-", "external-service-", "issued-certificate-")
    beside = ("teleport-", "lockout-watch-", "reader-role-")
    assert all(any(name.startswith(prefix) for name in found) for prefix in around + beside)
    assert {name for name, provider in found.items() if provider != "kubernetes"} == {
        name for name, provider in found.items() if name.startswith(beside)
    }
    assert {provider for name, provider in found.items() if name.startswith(beside)} == {
        f"kubernetes-{OTHER_CLUSTER_IDENTIFIER}"
    }
    # A first `up` would otherwise make some of it before its namespace.
    early = {name for name in found if name.startswith(around) and "namespace-namespace" not in stack.ancestors(name)}
    assert early == set()


def test_outputs_are_the_contract_of_version_1(stack: Recording) -> None:
    outputs = unsealed(stack.outputs)
    assert {name: type(value).__name__ for name, value in outputs.items()} == {
        "outputsVersion": "int",
        "endpoint": "str",
        "serviceHost": "str",
        "namespace": "str",
        "releaseName": "str",
        "chartVersion": "str",
        "caBundle": "str",
        "caNotAfter": "str",
        "certificateNotAfter": "str",
        "databaseEndpoint": "str",
        "databaseName": "str",
        "databaseInstanceArn": "str",
        "databaseSecretName": "str",
        "tlsSecretName": "str",
        "readerRole": "str",
        "hostAuthorityFingerprints": "dict",
        "teleportValues": "dict",
        "teleportConfig": "dict",
        "teleportFiles": "dict",
        "teleportCleanUp": "dict",
        "ledger": "dict",
    }
    assert outputs["outputsVersion"] == 1
    assert outputs["endpoint"] == "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"


def test_every_cloud_object_that_can_carries_the_stacks_own_tag(stack: Recording) -> None:
    tagged = {
        item.name: item.plain("tags")["teleport-access-graph:stack"] for item in stack.custom() if "tags" in item.inputs
    }
    assert set(tagged.values()) == {"organization/teleport-access-graph/dev"}
    untaggable = {"database-key-alias", "database-monitoring-policy", "database-access-role-policy"}
    clouds = {item.name for item in stack.custom() if item.type.startswith("aws:")}
    assert clouds - set(tagged) == untaggable


def test_the_flow_fits_on_a_page() -> None:
    assert len((ROOT / "__main__.py").read_text().splitlines()) < 100
