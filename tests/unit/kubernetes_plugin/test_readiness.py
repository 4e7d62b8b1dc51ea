"""When an object of each kind counts as ready, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sandbox.plugins.kubernetes import readiness
from sandbox.plugins.kubernetes.connection import ApiServer
from tests.unit.kubernetes_plugin.scripted_server import ScriptedServer

pytestmark = pytest.mark.unit


def judge(live: Mapping[str, Any], *others: Mapping[str, Any]) -> readiness.Progress:
    server = ScriptedServer()
    for other in others:
        server.add(other)
    typed: Any = server
    answering: ApiServer = typed
    key = f"{live['apiVersion']}/{live['kind']}"
    return readiness.BY_KIND[key].rule(answering, live)


def object_of(version: str, kind: str, **parts: Any) -> dict[str, Any]:
    metadata = {"name": "x", "namespace": "n", "uid": "1", "generation": 2, **parts.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def condition(type_: str, status: str, reason: str = "r", message: str = "m") -> dict[str, str]:
    return {"type": type_, "status": status, "reason": reason, "message": message}


def deployment(observed: int = 2, revision: str = "3", progressing: str = "NewReplicaSetAvailable") -> dict[str, Any]:
    return object_of(
        "apps/v1",
        "Deployment",
        metadata={"annotations": {readiness.REVISION: revision}},
        spec={"selector": {"matchLabels": {"app": "x"}}},
        status={
            "observedGeneration": observed,
            "conditions": [condition("Available", "True"), condition("Progressing", "True", progressing)],
        },
    )


def replica_set(revision: str, replicas: int, ready: int, owner: str = "1") -> dict[str, Any]:
    return object_of(
        "apps/v1",
        "ReplicaSet",
        metadata={
            "name": f"x-{revision}-{owner}",
            "annotations": {readiness.REVISION: revision},
            "ownerReferences": [{"uid": owner}],
        },
        spec={"replicas": replicas},
        status={"readyReplicas": ready},
    )


def test_a_deployment_is_ready_when_its_newest_replica_set_is() -> None:
    old, new = replica_set("2", 0, 0), replica_set("3", 2, 2)
    assert judge(deployment(), old, new).ready
    assert not judge(deployment(), old, replica_set("3", 2, 1)).ready
    assert not judge(deployment(), old).ready, "the new replica set is not there yet"
    assert not judge(deployment(), replica_set("3", 2, 2, owner="another")).ready


def test_a_deployment_whose_controller_has_not_seen_the_change_is_not_ready() -> None:
    assert not judge(deployment(observed=1), replica_set("3", 1, 1)).ready


def test_a_roll_out_must_have_ended_except_the_first() -> None:
    assert not judge(deployment(progressing="ReplicaSetUpdated"), replica_set("3", 1, 1)).ready
    assert judge(deployment(revision="1", progressing="ReplicaSetUpdated"), replica_set("1", 1, 1)).ready


def test_a_stuck_deployment_says_why() -> None:
    live = deployment()
    live["status"]["conditions"] = [condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")]
    assert judge(live, replica_set("3", 1, 0)).problems == ("[ProgressDeadlineExceeded] timed out",)


@pytest.mark.parametrize(
    ("status", "ready", "failed"),
    [
        ({}, False, False),
        ({"active": 1}, False, False),
        ({"conditions": [condition("Complete", "True")]}, True, False),
        ({"conditions": [condition("Failed", "True")]}, False, True),
        ({"conditions": [condition("Failed", "False")]}, False, False),
    ],
)
def test_a_job_is_ready_when_it_is_complete(status: dict[str, Any], ready: bool, failed: bool) -> None:
    found = judge(object_of("batch/v1", "Job", status=status))
    assert (found.ready, found.failed) == (ready, failed)


@pytest.mark.parametrize(
    ("status", "ready", "failed"),
    [
        ({"phase": "Pending"}, False, False),
        ({"phase": "Running"}, False, False),
        ({"phase": "Running", "conditions": [condition("Ready", "True")]}, True, False),
        ({"phase": "Succeeded"}, True, False),
        ({"phase": "Failed"}, False, True),
    ],
)
def test_a_pod_is_ready_when_it_is_running_and_ready_or_done(status: dict[str, Any], ready: bool, failed: bool) -> None:
    found = judge(object_of("v1", "Pod", status=status))
    assert (found.ready, found.failed) == (ready, failed)


@pytest.mark.parametrize(
    ("spec", "status", "ready"),
    [
        ({"type": "ExternalName"}, {}, True),
        ({"clusterIP": "None", "selector": {"a": "b"}}, {}, True),
        ({"type": "ClusterIP"}, {}, True),
        ({"type": "LoadBalancer"}, {}, False),
        ({"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"hostname": "h"}]}}, True),
    ],
)
def test_a_service_waits_for_an_address_or_for_pods(spec: dict[str, Any], status: dict[str, Any], ready: bool) -> None:
    assert judge(object_of("v1", "Service", spec=spec, status=status)).ready == ready


@pytest.mark.parametrize(
    ("mode", "phase", "ready"),
    [
        ("Immediate", "Pending", False),
        ("Immediate", "Bound", True),
        ("WaitForFirstConsumer", "Pending", True),
        ("WaitForFirstConsumer", "Bound", True),
    ],
)
def test_a_claim_waits_as_its_storage_class_binds(mode: str, phase: str, ready: bool) -> None:
    storage = {"kind": "StorageClass", "metadata": {"name": "s"}, "volumeBindingMode": mode}
    live = object_of("v1", "PersistentVolumeClaim", spec={"storageClassName": "s"}, status={"phase": phase})
    assert judge(live, storage).ready == ready


def test_stateful_and_daemon_sets_wait_for_all_their_pods() -> None:
    done = {"observedGeneration": 2, "currentRevision": "b", "updateRevision": "b", "readyReplicas": 2}
    spec = {"replicas": 2}
    assert judge(object_of("apps/v1", "StatefulSet", spec=spec, status=done)).ready
    for change in ({"observedGeneration": 1}, {"currentRevision": "a"}, {"readyReplicas": 1}):
        assert not judge(object_of("apps/v1", "StatefulSet", spec=spec, status=done | change)).ready, change
    done = {"observedGeneration": 2, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}
    assert judge(object_of("apps/v1", "DaemonSet", status=done)).ready
    for change in ({"observedGeneration": 1}, {"updatedNumberScheduled": 1}, {"numberAvailable": 1}):
        assert not judge(object_of("apps/v1", "DaemonSet", status=done | change)).ready, change


def test_problems_of_pods_name_the_container_and_what_it_said() -> None:
    server: Any = ScriptedServer()
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'configmap "a" not found'}}
    server.add(object_of("v1", "Pod", status={"containerStatuses": [{"name": "c", "state": waiting}]}))
    server.add(
        object_of(
            "v1", "Event", metadata={"name": "e"}, reason="FailedMount", message="no such volume", lastTimestamp="1"
        )
    )
    assert readiness.pod_problems(server, "n", {"app": "x"}) == [
        '[Pod n/x]: container c is waiting: CreateContainerConfigError: configmap "a" not found',
        "[Pod n/x]: FailedMount: no such volume",
    ]
    assert readiness.pod_problems(server, "n", {}) == [], "no selector selects nothing, not everything"
