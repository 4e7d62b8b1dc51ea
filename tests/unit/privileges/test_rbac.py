"""Roles exist only in the stack's namespaces, cover what the program and the charts do there, and grant no more than a
purpose needs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from components.settings import ManualTeleportSettings, ReleaseTeleportSettings, load_settings
from operations.privileges import chart_objects
from operations.privileges.kubernetes_objects import AWAITED, OBJECTS, PATCHES, SECRETS
from operations.privileges.purposes import Purpose
from operations.privileges.rbac import documents, dry_run_policy, group_name, object_name, rights
from tests.samples import OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.monitor import STACK
from tests.unit.privileges.modes import MODES, configured, directory, recorded, settings_of

pytestmark = pytest.mark.unit

GRAPH, TELEPORT = "teleport-access-graph", "teleport"
READS = [Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT]
WRITING = {"create", "update", "patch", "delete", "deletecollection", "escalate", "bind", "impersonate"}


def made(mode: str, purpose: Purpose) -> list[dict[str, Any]]:
    return [
        document
        for one in rights(settings_of(mode), purpose)
        for document in documents(one, stack=STACK, purpose=purpose)
    ]


def rules(found: list[dict[str, Any]], namespace: str | None = None) -> list[dict[str, Any]]:
    """The rules of the Role in a namespace, or of the ClusterRole."""
    return [
        rule
        for document in found
        if document["kind"] in ("Role", "ClusterRole") and document["metadata"].get("namespace") == namespace
        for rule in document["rules"]
    ]


def may(
    found: list[dict[str, Any]], verb: str, group: str, resource: str, namespace: str | None, name: str = ""
) -> bool:
    """Whether these rules allow the request, decided as the API server does; `name` is empty for `create`."""
    places = [None] if namespace is None else [namespace, None]
    return any(
        verb in rule["verbs"]
        and group in rule["apiGroups"]
        and resource in rule["resources"]
        and ("resourceNames" not in rule or name in rule["resourceNames"])
        for place in places
        for rule in rules(found, place)
    )


def objects_of(mode: str) -> Iterator[tuple[str, str, str | None, str]]:
    """Type, group, namespace and name of each object that the program itself registers."""
    for item in recorded(mode).custom():
        if item.type in OBJECTS or item.type in PATCHES:
            metadata = item.plain("metadata")
            yield item.type, item.name, metadata.get("namespace"), metadata["name"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_deployment_may_make_change_and_delete_each_object_of_the_program(mode: str) -> None:
    found = made(mode, Purpose.DEPLOY)
    seen = 0
    for type_, name, namespace, object_name_ in objects_of(mode):
        resource = (OBJECTS.get(type_) or PATCHES[type_])[0]
        verbs = ["get", "list", "watch", "patch", *(() if type_ in PATCHES else ("create", "delete"))]
        for verb in verbs:
            asked = "" if verb == "create" else object_name_
            assert may(found, verb, resource.group, resource.name, namespace, asked), (verb, name)
        seen += 1
    assert seen >= 3


def test_who_deletes_the_namespace_can_watch_it_go() -> None:
    """The plugin's informer watches all namespaces, without a name, and waits until it gets an answer."""
    found = made("the least", Purpose.DEPLOY)
    for verb in ("list", "watch"):
        assert may(found, verb, "", "namespaces", None), verb
        assert not may(made("a namespace that exists", Purpose.DEPLOY), verb, "", "namespaces", None), verb
        assert not may(made("the least", Purpose.DRIFT), verb, "", "namespaces", None), verb
    assert not may(found, "delete", "", "namespaces", None, "payroll")


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_deployment_may_do_what_helm_does_for_each_release(mode: str) -> None:
    found = made(mode, Purpose.DEPLOY)
    releases = recorded(mode).of_type("kubernetes:helm.sh/v3:Release")
    assert len(releases) == {
        "somebody's Teleport": 1,
        "a Teleport without a chart": 1,
        "switched off": 1,
    }.get(mode, 2)
    for release in releases:
        namespace = release.plain("namespace")
        chart = chart_objects.ACCESS_GRAPH if namespace == GRAPH else chart_objects.TELEPORT_CLUSTER
        for resource in chart:
            for verb in ("create", "delete", "get", "list", "patch", "watch"):
                assert may(found, verb, resource.group, resource.name, namespace), (verb, resource)
        for verb in ("create", "delete", "get", "list", "update"):
            assert may(found, verb, "", "secrets", namespace), verb


@pytest.mark.parametrize("mode", MODES)
def test_a_deployment_may_look_at_what_recover_decides_by(mode: str) -> None:
    found, settings = made(mode, Purpose.DEPLOY), settings_of(mode)
    assert may(found, "get", "", "namespaces", None, "kube-system")
    assert may(found, "get", "", "namespaces", None, GRAPH)
    assert may(found, "get", "", "secrets", GRAPH)
    for entry in settings.teleport.values():
        if isinstance(entry, ReleaseTeleportSettings):
            for verb in ("get", "list"):
                assert may(found, verb, "apps", "deployments", entry.namespace), verb
                assert may(found, verb, "", "persistentvolumeclaims", entry.namespace), verb


@pytest.mark.parametrize("mode", MODES)
def test_a_deployment_may_look_for_what_recover_deletes_and_delete_it(mode: str) -> None:
    """This holds whether or not the configuration still has the object: an earlier configuration may have left one
    over."""
    found, settings = made(mode, Purpose.DEPLOY), settings_of(mode)
    entries = [one for one in settings.teleport.values() if not isinstance(one, ManualTeleportSettings)]
    scheduled = ["CronJob", "RoleBinding", "Role", "ServiceAccount"]
    places = {GRAPH: ["ConfigMap", "Job", "NetworkPolicy", "Secret", "Service", *scheduled]}
    places.update((entry.namespace, ["ConfigMap", "Job", *scheduled]) for entry in entries)
    for namespace, kinds in places.items():
        for kind in kinds:
            (resource,) = {one for type_, (one, _) in OBJECTS.items() if type_.endswith(f":{kind}")}
            for verb in ("get", "list", "delete"):
                assert may(found, verb, resource.group, resource.name, namespace), (verb, kind, namespace)


@pytest.mark.parametrize("purpose", READS)
@pytest.mark.parametrize("mode", MODES)
def test_what_only_looks_cannot_delete_replace_or_give_rights(mode: str, purpose: Purpose) -> None:
    for document in made(mode, purpose):
        for rule in document.get("rules", ()):
            writing = set(rule["verbs"]) & WRITING
            assert writing <= ({"create", "patch"} if purpose is Purpose.VALIDATED_PREVIEW else set())


def test_a_refresh_and_a_deployment_may_look_at_what_says_whether_an_object_is_ready() -> None:
    """The plugin also looks at a Service's endpoints, and at a Job's pods, when it reads the object."""
    for purpose in Purpose:
        found = made("the least", purpose)
        for resource, namespace in itertools.product(AWAITED, (None, TELEPORT)):
            looks = all(may(found, verb, resource.group, resource.name, namespace) for verb in ("get", "list", "watch"))
            # A preview too reads the claims, to learn which objects the release has.
            if resource.name != "persistentvolumeclaims":
                assert looks is (purpose in (Purpose.DRIFT, Purpose.DEPLOY)), (purpose, resource)


@pytest.mark.parametrize("mode", MODES)
def test_only_a_refresh_and_a_deployment_read_secrets(mode: str) -> None:
    for purpose in Purpose:
        reads = {
            verb
            for document in made(mode, purpose)
            for rule in document.get("rules", ())
            if SECRETS.name in rule["resources"]
            for verb in rule["verbs"]
        }
        assert bool(reads) is (purpose in (Purpose.DRIFT, Purpose.DEPLOY)), purpose


@pytest.mark.parametrize("mode", MODES)
def test_no_rule_of_a_role_is_a_pattern(mode: str) -> None:
    for purpose in Purpose:
        for document in made(mode, purpose):
            for rule in document.get("rules", ()):
                assert "*" not in [*rule["verbs"], *rule["apiGroups"], *rule["resources"]]
                assert rule["verbs"] == sorted(rule["verbs"])


def test_in_a_namespace_that_exists_nothing_reaches_another() -> None:
    """The cluster-wide part grants access only by name: to the namespaces, and to the objects of the Teleport chart
    outside its namespace."""
    found = made("a namespace that exists", Purpose.PREVIEW)
    assert {document["metadata"].get("namespace") for document in found if document["kind"] == "Role"} == {
        GRAPH,
        TELEPORT,
    }
    assert [rule for rule in rules(found) if "resourceNames" not in rule] == []


def test_in_a_namespace_that_exists_a_deployment_reaches_others_only_to_install_teleport() -> None:
    wide = [rule for rule in rules(made("a namespace that exists", Purpose.DEPLOY)) if "resourceNames" not in rule]
    assert wide == [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterrolebindings"], "verbs": ["create"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "verbs": ["create", "escalate"]},
    ]


def test_who_takes_a_teleport_over_cannot_make_roles_for_the_cluster() -> None:
    found = made("an adopted Teleport", Purpose.DEPLOY)
    for verb in ("create", "delete", "escalate", "bind"):
        assert not may(found, verb, "rbac.authorization.k8s.io", "clusterroles", None, TELEPORT), verb
    assert may(found, "patch", "rbac.authorization.k8s.io", "clusterroles", None, TELEPORT)
    assert not may(found, "patch", "rbac.authorization.k8s.io", "clusterroles", None, "cluster-admin")


def test_a_teleport_of_somebody_elses_is_looked_at_and_its_secrets_are_not_written() -> None:
    found = made("somebody's Teleport", Purpose.DEPLOY)
    own = {**configured("somebody's Teleport")}
    own["accessGraph"] = {**own["accessGraph"], "createNamespace": False}
    settings = load_settings(own, (), root=directory(), stack=STACK)
    (one,) = rights(settings, Purpose.DEPLOY)
    assert one.namespaces[TELEPORT][SECRETS] == {"get", "list"}
    (drift,) = rights(settings, Purpose.DRIFT)
    assert SECRETS not in drift.namespaces[TELEPORT], "no release of the stack's is there to refresh"
    assert may(found, "patch", "apps", "deployments", TELEPORT)
    assert not any("delete" in rule["verbs"] for rule in rules(found, TELEPORT) if "deployments" in rule["resources"])


def test_a_teleport_without_a_chart_gets_no_role() -> None:
    settings = settings_of("a Teleport without a chart")
    assert all(isinstance(entry, ManualTeleportSettings) for entry in settings.teleport.values())
    (one,) = rights(settings, Purpose.DEPLOY)
    assert TELEPORT not in one.namespaces


def test_a_teleport_elsewhere_has_its_roles_there() -> None:
    config = {**configured("policies and a way in")}
    entry = {
        **config["teleport"][TELEPORT_CLUSTER],
        "kubernetes": {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER},
        "endpoint": "graph.example.com:443",
    }
    config["teleport"] = {TELEPORT_CLUSTER: entry}
    first, second = rights(load_settings(config, (), root=directory(), stack=STACK), Purpose.DEPLOY)
    assert (first.context, second.context) == ("test", "other")
    assert TELEPORT not in first.namespaces
    assert set(second.namespaces) == {TELEPORT}
    assert not [key for key in second.named if GRAPH in key[1]]


def of_release(values: dict[str, Any], purpose: Purpose = Purpose.DEPLOY, **entry: Any) -> list[dict[str, Any]]:
    """Documents for a Teleport whose release also has `values`."""
    config = {**configured("a namespace that exists")}
    file = directory() / "more-values.yaml"
    file.write_text(yaml.safe_dump(values))
    release = config["teleport"][TELEPORT_CLUSTER]
    release = {**release, "valuesFiles": [*release["valuesFiles"], file.name], **entry}
    config["teleport"] = {TELEPORT_CLUSTER: release}
    (one,) = rights(load_settings(config, (), root=directory(), stack=STACK), purpose)
    return documents(one, stack=STACK, purpose=purpose)


EXTENSIONS, DEFINITIONS = "apiextensions.k8s.io", "customresourcedefinitions"


@pytest.mark.parametrize("adopt", [True, False])
def test_every_release_of_teleport_looks_for_the_operators_definitions(adopt: bool) -> None:
    """The chart looks for them with or without the operator, and Helm fails if that is not allowed."""
    found = of_release({}, adopt=adopt)
    assert may(found, "get", EXTENSIONS, DEFINITIONS, None, "teleportrolesv7.resources.teleport.dev")
    assert not may(found, "get", EXTENSIONS, DEFINITIONS, None, "certificates.cert-manager.io")
    assert not may(of_release({}, Purpose.DRIFT), "get", EXTENSIONS, DEFINITIONS, None, "")


@pytest.mark.parametrize(
    ("operator", "makes"),
    [
        ({"enabled": True}, True),
        ({"enabled": True, "installCRDs": "dynamic"}, True),
        ({"enabled": True, "installCRDs": "never"}, False),
        ({"enabled": False}, False),
        ({"enabled": False, "installCRDs": "always"}, True),
    ],
)
def test_who_installs_the_operator_makes_its_definitions(operator: dict[str, Any], makes: bool) -> None:
    found = of_release({"operator": operator})
    for verb in ("create", "get", "patch", "delete"):
        assert may(found, verb, EXTENSIONS, DEFINITIONS, None, "teleportrolesv8.resources.teleport.dev") is makes, verb
    adopted = of_release({"operator": operator}, adopt=True)
    assert may(adopted, "patch", EXTENSIONS, DEFINITIONS, None, "teleportrolesv8.resources.teleport.dev") is makes
    assert not may(adopted, "delete", EXTENSIONS, DEFINITIONS, None, "teleportrolesv8.resources.teleport.dev")
    assert not may(of_release({"operator": operator}, Purpose.DRIFT), "create", EXTENSIONS, DEFINITIONS, None)


def test_who_installs_the_operator_gives_it_rights_in_its_namespace_alone() -> None:
    """The operator's role allows more than a deployment may do itself; the API server requires a separate right to
    grant that."""
    rbac = "rbac.authorization.k8s.io"
    found = of_release({"operator": {"enabled": True}})
    for verb in ("escalate", "bind"):
        assert may(found, verb, rbac, "roles", TELEPORT), verb
        assert not may(found, verb, rbac, "roles", GRAPH), verb
        assert not may(of_release({}), verb, rbac, "roles", TELEPORT), verb
        assert not may(of_release({"operator": {"enabled": True}}, adopt=True), verb, rbac, "roles", TELEPORT), verb


def test_values_decide_what_else_the_teleport_chart_has() -> None:
    on = {"enabled": True}
    values = {"ingress": on, "operator": {"enabled": False}, "highAvailability": {"certManager": on}}
    assert sorted(resource.name for resource in chart_objects.asked_for(values)) == [
        "certificates",
        "ingresses",
        "issuers",
    ]


def test_a_cluster_wide_issuer_is_looked_at_by_its_name() -> None:
    config = {**configured("cert-manager")}
    config["tls"] = {**config["tls"], "issuer": {"mode": "existing", "name": "internal-ca"}}
    (one,) = rights(load_settings(config, (), root=directory(), stack=STACK), Purpose.DEPLOY)
    found = documents(one, stack=STACK, purpose=Purpose.DEPLOY)
    assert may(found, "get", "cert-manager.io", "clusterissuers", None, "internal-ca")
    assert not may(found, "get", "cert-manager.io", "clusterissuers", None, "other")


def test_a_consumer_needs_no_cluster() -> None:
    assert rights(settings_of("the least"), Purpose.CONSUMER) == []


def test_what_reaches_beyond_the_stack_is_told() -> None:
    def told(mode: str, purpose: Purpose) -> set[str]:
        return {one.right for right in rights(settings_of(mode), purpose) for one in right.unscoped}

    assert told("a namespace that exists", Purpose.PREVIEW) == set()
    assert told("the least", Purpose.PREVIEW) == {f"all of namespace {GRAPH}, in every namespace"}
    assert told("a namespace that exists", Purpose.DEPLOY) == {
        f"read secrets of namespace {GRAPH}",
        f"read secrets of namespace {TELEPORT}",
        "create and escalate clusterroles",
        "create clusterrolebindings",
    }
    assert told("the least", Purpose.DEPLOY) == told("a namespace that exists", Purpose.DEPLOY) | {
        "create namespaces",
        "list and watch namespaces",
        f"all of namespace {GRAPH}, in every namespace",
    }


@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_role_is_bound_to_the_group_once(purpose: Purpose) -> None:
    found = made("a namespace that exists", purpose)
    roles = [one for one in found if one["kind"] in ("Role", "ClusterRole")]
    bindings = [one for one in found if one["kind"].endswith("RoleBinding")]
    assert [(one["roleRef"]["kind"], one["metadata"]) for one in bindings] == [
        (one["kind"], one["metadata"]) for one in roles
    ]
    for binding in bindings:
        assert binding["subjects"] == [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group_name(STACK, purpose)}
        ]
        assert binding["roleRef"]["name"] == object_name(STACK, purpose)


@pytest.mark.parametrize("mode", MODES)
def test_dry_runs_come_with_a_policy_that_covers_each_right_to_write(mode: str) -> None:
    """The policy covers every mode: rights from an earlier configuration, or from another stack of this name, belong to
    the same group."""
    found = made(mode, Purpose.VALIDATED_PREVIEW)
    (policy,) = [one for one in found if one["kind"] == "ValidatingAdmissionPolicy"]
    (binding,) = [one for one in found if one["kind"] == "ValidatingAdmissionPolicyBinding"]
    covered = {
        (group, resource)
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    written = {
        (group, resource)
        for any_mode in MODES
        for one in made(any_mode, Purpose.VALIDATED_PREVIEW)
        for rule in one.get("rules", ())
        if {"create", "patch"} & set(rule["verbs"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert written == covered
    assert len(written) >= 10
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert [one["expression"] for one in policy["spec"]["validations"]] == ["has(request.dryRun) && request.dryRun"]
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    (condition,) = policy["spec"]["matchConditions"]
    assert f"'{group_name(STACK, Purpose.VALIDATED_PREVIEW)}' in request.userInfo.groups" in condition["expression"]


@pytest.mark.parametrize("mode", MODES)
def test_what_gives_rights_or_is_secret_may_not_even_be_tried(mode: str) -> None:
    """This holds for the program's own objects and the charts': the answer to a dry run contains the whole object."""
    found = made(mode, Purpose.VALIDATED_PREVIEW)
    granted = [rule for one in found for rule in one.get("rules", ())]
    assert [rule for rule in granted if "secrets" in rule["resources"]] == []
    giving = [rule for rule in granted if {"roles", "rolebindings", "clusterroles"} & set(rule["resources"])]
    assert giving
    assert [rule for rule in giving if WRITING & set(rule["verbs"])] == []


@pytest.mark.parametrize("mode", ["the least", "a namespace that exists"])
def test_the_policy_is_applied_before_anybody_has_a_right_to_write(mode: str) -> None:
    """Documents are applied in the order of the file, and the user may be stopped in the middle."""
    kinds = [one["kind"] for one in made(mode, Purpose.VALIDATED_PREVIEW)]
    assert kinds[:2] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    assert {kind.removeprefix("Cluster") for kind in kinds[2:]} == {"Role", "RoleBinding"}


def test_only_dry_runs_have_that_policy() -> None:
    for purpose in (Purpose.PREVIEW, Purpose.DRIFT, Purpose.DEPLOY):
        assert not [one for one in made("the least", purpose) if "Admission" in one["kind"]]


def test_no_policy_takes_the_place_of_one_for_another_group() -> None:
    """Covers stacks whose names become the same Kubernetes name, and stacks of one name whose groups are named by
    hand."""
    (found,) = rights(settings_of("the least"), Purpose.VALIDATED_PREVIEW)

    def policy(stack: str, group: str | None = None) -> str:
        made, bound, *_ = documents(found, stack=stack, purpose=Purpose.VALIDATED_PREVIEW, group=group)
        assert bound["spec"]["policyName"] == made["metadata"]["name"] == bound["metadata"]["name"]
        return str(made["metadata"]["name"])

    named = [policy("prod-eu"), policy("prod_eu"), policy("Prod-eu"), policy("prod-eu", "a"), policy("prod-eu", "b")]
    assert len({*named}) == len(named)
    assert named[0] == object_name("prod-eu", Purpose.VALIDATED_PREVIEW)
    assert policy("prod-eu", group_name("prod-eu", Purpose.VALIDATED_PREVIEW)) == named[0]
    assert all(re.fullmatch(r"[a-z0-9.-]{1,253}", one) for one in named)


def test_names_are_ones_that_kubernetes_takes() -> None:
    assert object_name("Prod_EU.1", Purpose.DEPLOY) == "teleport-access-graph-prod-eu.1-deploy"


def test_a_groups_name_cannot_end_the_text_that_it_stands_in() -> None:
    """Otherwise a quote in the name could change the expression that selects the group's members, or make it
    invalid."""
    policy, _ = dry_run_policy("x", "o'brien\\' || true")
    for rule in policy["spec"]["matchConstraints"]["resourceRules"]:
        assert rule["operations"] == ["CREATE", "UPDATE", "DELETE", "CONNECT"], "whatever can change something"
    (condition,) = policy["spec"]["matchConditions"]
    assert condition["expression"] == (
        r"has(request.userInfo.groups) && 'o\'brien\\\' || true' in request.userInfo.groups"
    )
