"""Recover: objects that carry the stack's names in the cluster, or its tag in AWS, and are not in the state."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.settings import AwsSettings, load_settings
from components.settings.names import STACK_TAG as TAG
from operations.cluster import ClusterError
from operations.recover import Recovery
from operations.unrecorded import Carrying
from tests.samples import minimal_configuration
from tests.unit.operations.kubernetes_api import PLURALS, KubernetesApi, put_release
from tests.unit.operations.recover_world import (
    ALL_RECORDED,
    CA_RECORDED,
    ENGINES,
    GRAPH_VALUES,
    LOCK,
    NAMESPACE_RECORDED,
    OTHERS,
    OURS,
    RELEASE_RECORDED,
    Programs,
    begun,
    no_engines,
    of_another_owner,
    run,
    steps,
)
from tests.unit.operations.world import CLUSTER, GRAPH, configuration, put_world, settings


@pytest.mark.parametrize("kind", ["Namespace", "Secret", "Job"])
@pytest.mark.parametrize("metadata", [OTHERS, ENGINES], ids=["another stack's", "nobody's"])
def test_what_this_stack_did_not_certainly_make_is_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path, kind: str, metadata: dict[str, Any]
) -> None:
    """Another stack may use the same names in the same cluster."""
    put_world(api)
    # A kill cannot leave a namespace unrecorded while the state has objects in it.
    recorded = [CA_RECORDED] if kind == "Namespace" else ALL_RECORDED
    programs.state(*recorded)
    name = {"Namespace": GRAPH, "Secret": "teleport-access-graph-tls", "Job": "teleport-access-graph-database-access-1"}
    namespace = None if kind == "Namespace" else GRAPH
    api.put(kind, name[kind], namespace, metadata=metadata)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.problem.startswith(f"{kind} {name[kind]}")
    if metadata is OTHERS:
        assert step.remedy.startswith("leave it, the stack acme/graph/test made it")
    else:
        place = "" if namespace is None else f" --namespace {namespace}"
        assert f"`kubectl --context test{place} delete {kind.lower()} {name[kind]}`" in step.remedy
    assert api.deleted == []


@pytest.mark.slow
def test_objects_that_the_state_does_not_know_are_deleted(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED, f"Secret:{GRAPH}/teleport-access-graph-tls")
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-postgres", GRAPH, metadata=OURS)
    api.put("Service", "teleport-access-graph-external", GRAPH, metadata=OURS)
    api.put("NetworkPolicy", "teleport-access-graph-database-jobs", GRAPH, metadata=OURS)
    api.put("Job", "teleport-access-graph-database-access-0a1b", GRAPH, metadata=OURS)
    put_release(api, 1, "deployed", {}, name="other", namespace=GRAPH)
    found = steps(tmp_path)
    assert [step.problem.partition(" exists")[0] for step in found] == [
        f"Secret teleport-access-graph-postgres in {GRAPH}",
        f"Service teleport-access-graph-external in {GRAPH}",
        f"NetworkPolicy teleport-access-graph-database-jobs in {GRAPH}",
        f"Job teleport-access-graph-database-access-0a1b in {GRAPH}",
    ]
    for step in found:
        assert step.act is not None
        assert step.act() == "deleted"
    assert [path.rpartition("/")[2] for path in api.deleted] == [
        "teleport-access-graph-postgres",
        "teleport-access-graph-external",
        "teleport-access-graph-database-jobs",
        "teleport-access-graph-database-access-0a1b",
    ]


def test_a_namespace_that_the_stack_does_not_make_is_nobodys_orphan(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """That holds even if the engine once made the namespace and the stack gave it away. The stack's own objects in it
    are still examined."""
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    programs.state(*ALL_RECORDED[1:])
    found = steps(tmp_path, accessGraph={"createNamespace": False})
    assert [step.problem.partition(" exists")[0] for step in found] == [f"Secret teleport-access-graph-tls in {GRAPH}"]


@pytest.mark.parametrize("metadata", [OURS, ENGINES, {}], ids=["ours", "of an earlier program", "somebody's"])
def test_a_namespace_in_which_the_stack_runs_is_never_an_orphan(
    metadata: dict[str, Any], api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The namespace was given away, or never belonged to the stack: deleting it would take the running graph with it.
    Other unrecorded objects in it are still found."""
    put_world(api)
    api.put("Namespace", GRAPH, metadata=metadata)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    programs.state(*ALL_RECORDED[1:])
    step, secret = steps(tmp_path)
    assert step.act is None
    assert step.problem == f"this stack runs in the namespace {GRAPH}, and the state does not know the namespace"
    assert "leave it: set accessGraph.createNamespace to false" in step.remedy
    assert f"pulumi import kubernetes:core/v1:Namespace namespace-namespace {GRAPH} --stack test" in step.remedy
    assert secret.problem.startswith("Secret teleport-access-graph-tls")
    # Nobody is told to import a namespace that another stack made.
    api.put("Namespace", GRAPH, metadata=OTHERS)
    assert steps(tmp_path)[0].remedy.startswith("leave it, the stack acme/graph/test made it")


def test_a_namespace_that_was_to_be_kept_is_not_deleted_with_what_it_was_kept_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """After a `destroy` the state has no objects."""
    put_world(api)
    programs.state()
    api.put("Namespace", GRAPH, metadata=OURS)
    step = steps(tmp_path, accessGraph={"keepNamespace": True})[0]
    assert step.act is None
    assert "leave it with what is in it: set accessGraph.createNamespace to false in place of keepN" in step.remedy


ACCESS, RESTARTER = "teleport-access-graph-database-access", "teleport-access-graph-certificate-restarter"
WATCH = "teleport-access-graph-lockout-watch"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "recorded"),
    [
        ("Secret", ACCESS, "ServiceAccount"),
        ("ServiceAccount", ACCESS, "Secret"),
        ("NetworkPolicy", RESTARTER, "ServiceAccount"),
        ("CronJob", RESTARTER, "NetworkPolicy"),
        ("Role", RESTARTER, "RoleBinding"),
    ],
)
def test_of_several_kinds_with_one_name_the_one_that_is_not_recorded_is_deleted(
    api: KubernetesApi, programs: Programs, tmp_path: Path, kind: str, name: str, recorded: str
) -> None:
    put_world(api)
    for one in (kind, recorded):
        api.put(one, name, GRAPH, metadata=OURS)
    programs.state(*ALL_RECORDED, f"{recorded}:{GRAPH}/{name}")
    (step,) = steps(tmp_path)
    assert step.problem == f"{kind} {name} in {GRAPH} exists, and the state does not know it"
    assert step.act is not None
    assert step.act() == "deleted"
    assert [path.split("/")[-2:] for path in api.deleted] == [[PLURALS[kind][1], name]]
    programs.state(*ALL_RECORDED, f"{recorded}:{GRAPH}/{name}", f"{kind}:{GRAPH}/{name}")
    api.put(kind, name, GRAPH, metadata=OURS)
    assert steps(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("namespace", "name", "kinds"),
    [
        (GRAPH, "teleport-access-graph-postgres-iam", ["Secret"]),
        (GRAPH, ACCESS, ["Secret", "ServiceAccount"]),
        (GRAPH, RESTARTER, ["NetworkPolicy", "CronJob", "RoleBinding", "Role", "ServiceAccount"]),
        ("teleport", WATCH, ["CronJob", "RoleBinding", "Role", "ServiceAccount"]),
    ],
)
def test_each_kind_of_the_stacks_names_is_looked_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path, namespace: str, name: str, kinds: list[str]
) -> None:
    """A workload is deleted before the rights that it runs with."""
    put_world(api)
    for kind in kinds:
        api.put(kind, name, namespace, metadata=OURS)
    programs.state(*ALL_RECORDED)
    found = steps(tmp_path)
    assert [step.problem.partition(" exists")[0] for step in found] == [
        f"{kind} {name} in {namespace}" for kind in kinds
    ]
    assert [step.act() for step in found if step.act] == ["deleted"] * len(kinds)
    assert [path.split("/")[-2:] for path in api.deleted] == [[PLURALS[kind][1], name] for kind in kinds]
    programs.state(*ALL_RECORDED, *(f"{kind}:{namespace}/{name}" for kind in kinds))
    for kind in kinds:
        api.put(kind, name, namespace, metadata=OURS)
    assert steps(tmp_path) == []


@pytest.mark.slow
def test_another_stacks_watch_beside_the_same_teleport_is_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("CronJob", WATCH, "teleport", metadata=OTHERS)
    programs.state(*ALL_RECORDED)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.remedy.startswith("leave it, the stack acme/graph/test made it")


def test_what_the_auth_of_another_release_mounts_is_left_to_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """An entry may replace another in one namespace before the owner of the former release has rolled out the
    change."""
    put_world(api)
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED)
    entry = configuration()["teleport"][CLUSTER] | {"release": "another"}
    (step,) = [one for one in steps(tmp_path, teleport={CLUSTER: entry}) if "teleport-access-graph-ca" in one.problem]
    assert step.act is None
    assert "without it auth could not start" in step.remedy


@pytest.mark.slow
def test_what_somebody_else_made_and_what_auth_mounts_is_left_alone(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata={"managedFields": [{"manager": "kubectl"}]})
    theirs, mounted = steps(tmp_path)
    assert theirs.act is None
    assert "somebody else made it" in theirs.remedy
    assert mounted.act is None
    assert "without it auth could not start" in mounted.remedy
    # Without its provider, the engine would look in the cluster of the current context, or refuse because there is
    # none.
    assert mounted.remedy.endswith(
        f"pulumi import kubernetes:core/v1:ConfigMap teleport-{CLUSTER}-ca teleport/teleport-access-graph-ca --stack "
        f"test --protect=false --generate-code=false --parent cluster=<URN of teleport-{CLUSTER}> "
        "--provider kubernetes=<URN of the provider kubernetes>"
    )
    assert api.deleted == []


@pytest.mark.slow
def test_a_namespace_that_somebody_deleted_leaves_the_state_before_an_up(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    elsewhere = f"Secret:{GRAPH}-2/teleport-access-graph-tls"
    programs.state(NAMESPACE_RECORDED, CA_RECORDED, f"Secret:{GRAPH}/teleport-access-graph-tls", elsewhere)
    programs.record(
        {"urn": f"urn::release::{GRAPH}", "id": f"{GRAPH}/{GRAPH}", "type": "kubernetes:helm.sh/v3:Release"}
    )
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    namespace, release = steps(tmp_path)
    assert namespace.problem == f"the state has the namespace {GRAPH}, and the cluster does not"
    assert release.problem == f"the state has the release {GRAPH} in {GRAPH}, and Helm does not"
    assert namespace.act is not None
    assert namespace.act() == "taken out"
    assert programs.calls[-1] == (
        f"pulumi refresh --target urn::{NAMESPACE_RECORDED} --target urn::Secret:{GRAPH}/teleport-access-graph-tls "
        "--yes --skip-preview --stack test --non-interactive"
    )


def test_a_namespace_that_was_made_last_goes_with_everything_in_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    (step,) = steps(tmp_path)
    assert step.problem.startswith(f"Namespace {GRAPH} exists")


@pytest.mark.slow
def test_what_carries_the_stacks_tag_and_is_not_recorded_is_named(
    api: KubernetesApi, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that died reported nothing to the engine, so the state has no note of what it made."""
    asked: list[Mapping[str, str]] = []
    group, instance = "aws:ec2/securityGroup:SecurityGroup", "aws:rds/instance:Instance"

    def carrying(_: AwsSettings, tags: Mapping[str, str]) -> Carrying:
        asked.append(tags)
        found = Carrying()
        found.extend([(group, "sg-1"), (group, "sg-2"), (instance, "graph")])
        found.unasked.append("aws:kms/key:Key (kms:ListKeys is denied)")
        return found

    monkeypatch.setattr("operations.recover.carrying", carrying)
    # No AWS account is behind these functions; their own tests show what they do.
    monkeypatch.setattr("operations.recover.closed_groups", lambda *_: iter(()))
    monkeypatch.setattr("operations.recover.identity_of", lambda _: ("123456789012", "someone"))
    put_world(api)
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "123456789012"})
    config = minimal_configuration()
    config["database"]["identifier"] = "graph"
    database = load_settings(config, (), root=tmp_path, stack="test").database
    ours = dataclasses.replace(settings(tmp_path), aws=aws, database=database)

    def named() -> list[str]:
        recovery = Recovery(settings=ours, stack="acme/p/test", processes=no_engines, root=tmp_path)
        steps = [step for step in recovery.steps() if not step.problem.endswith(LOCK.partition("test ")[2])]
        assert [step.act for step in steps] == [None] * len(steps)
        # An instance must not be deleted.
        assert all(step.remedy.startswith("leave it: ") == (instance in step.problem) for step in steps)
        return [step.problem.partition(" carries")[0] for step in steps]

    programs.state(*ALL_RECORDED)
    closed = "AWS does not let these credentials ask for aws:kms/key:Key (kms:ListKeys is denied)"
    assert named() == [closed, f"{group} sg-1", f"{group} sg-2", f"{instance} graph"]
    recorded = [
        {"urn": "urn::group", "type": group, "id": "sg-1", "inputs": {"tags": {TAG: "acme/graph/test"}}},
        {"urn": "urn::instance", "type": instance, "id": "db-ABC", "outputs": {"identifier": "graph"}},
    ]
    programs.record(*recorded)
    assert named() == [closed, f"{group} sg-2"]
    assert asked == [{TAG: "acme/p/test"}, {TAG: "acme/graph/test"}]


@pytest.mark.slow
def test_what_does_not_go_is_an_error_that_says_so(
    api: KubernetesApi, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next `up` could not create the object again."""
    monkeypatch.setattr("operations.mending._GONE_TIMEOUT", 0.5)
    put_world(api)
    programs.state()
    api.put("Namespace", GRAPH, metadata=OURS)
    api.held.add(f"/api/v1/namespaces/{GRAPH}")
    with pytest.raises(ClusterError, match=rf"Namespace {GRAPH} is still being deleted after 0.5 s: a finalizer"):
        run(tmp_path)
    api.held.clear()
    assert run(tmp_path) == ["deleted"]


def test_what_was_handed_over_and_not_recorded_is_deleted_kind_by_kind(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    theirs = settings(tmp_path, teleport=of_another_owner())
    rollout = "teleport-access-graph-rollout"
    for kind, name in (
        ("ConfigMap", "teleport-access-graph-values"),
        ("ServiceAccount", rollout),
        ("Role", rollout),
        ("RoleBinding", rollout),
        ("Job", f"{rollout}-0a1b2c3d4e"),
    ):
        role = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": rollout}}
        api.put(kind, name, "teleport", metadata=OURS, **(role if kind == "RoleBinding" else {}))

    def found() -> list[str]:
        recovery = Recovery(settings=theirs, stack="test", processes=no_engines, root=tmp_path)
        return [step.problem.partition(" exists")[0] for step in recovery.steps() if step.problem != LOCK]

    programs.state(*ALL_RECORDED, f"ServiceAccount:teleport/{rollout}", f"Job:teleport/{rollout}-0a1b2c3d4e")
    assert found() == [
        "ConfigMap teleport-access-graph-values in teleport",
        f"Role {rollout} in teleport",
        f"RoleBinding {rollout} in teleport",
    ]


@pytest.mark.parametrize("makes", [True, False], ids=["the stack's namespace", "somebody's namespace"])
def test_an_access_graph_that_runs_by_another_state_is_left_with_its_namespace(
    api: KubernetesApi, programs: Programs, tmp_path: Path, makes: bool
) -> None:
    """As with the wrong backend: a stack of the same name made these objects, and all of them are in use."""
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    programs.state(CA_RECORDED)
    (step,) = steps(tmp_path, accessGraph={"createNamespace": makes})
    assert step.act is None
    assert step.problem == (
        f"the access graph {GRAPH} in {GRAPH} was made by a stack of this name, and the state has no record of it"
    )
    assert "another backend (`pulumi whoami --verbose` names this one)" in step.remedy
    assert f"`helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test`, and `recover` again" in step.remedy


@pytest.mark.parametrize("trace", ["its release was begun", "it was half installed", "another stack made it"])
def test_what_a_kill_leaves_is_no_access_graph_of_another_state(
    api: KubernetesApi, programs: Programs, tmp_path: Path, trace: str
) -> None:
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OTHERS if trace == "another stack made it" else OURS)
    status = "pending-install" if trace == "it was half installed" else "deployed"
    put_release(api, 1, status, GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    installing = begun("kubernetes:helm.sh/v3:Release", "access-graph-release", name=GRAPH, namespace=GRAPH)
    programs.state(CA_RECORDED, pending=[installing] if trace == "its release was begun" else [])
    assert f"Namespace {GRAPH} exists, and the state does not know it" in [step.problem for step in steps(tmp_path)]
