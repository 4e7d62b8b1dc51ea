"""Preflight: a world in which an `up` can work passes, and each obstacle is told by name with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from components.teleport_values import patch_values
from operations.findings import Finding, Outcome
from operations.preflight import Preflight
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.world import CLUSTER, GRAPH, OUTPUTS, PATCH, USERS, put_deployment, put_world, settings

TELEPORT = f"teleport.{CLUSTER}."


def run(root: Path, *, skip: tuple[str, ...] = (), **changes: Any) -> dict[str, Finding]:
    arguments = {"settings": settings(root), "outputs": {}, "now": lambda: datetime.now(timezone.utc), **changes}
    return {finding.check: finding for finding in Preflight(**arguments).run(skip)}


def not_passed(findings: dict[str, Finding]) -> dict[str, Outcome]:
    return {name: finding.outcome for name, finding in findings.items() if finding.outcome is not Outcome.PASS}


def put_before(api: KubernetesApi) -> None:
    """A Teleport that runs, and no access graph yet."""
    put_world(api)
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    put_release(api, 2, "superseded", {})
    put_release(api, 3, "deployed", USERS)


def test_before_the_first_up_everything_is_looked_at(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    findings = run(tmp_path)
    assert not_passed(findings) == {}
    assert list(findings) == [
        "files",
        "kubernetes.test.identifier",
        "kubernetes.test.version",
        "access-graph.namespace",
        f"{TELEPORT}namespace",
        f"{TELEPORT}enterprise",
        f"{TELEPORT}licence",
        f"{TELEPORT}version",
        f"{TELEPORT}release",
        f"{TELEPORT}values",
    ]


def test_after_an_up_the_stacks_own_patch_is_no_difference(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    findings = run(tmp_path, outputs=OUTPUTS)
    assert not_passed(findings) == {}
    assert findings["access-graph.namespace"].reason == "made by this stack"


def other_values(**changes: Any) -> Callable[[KubernetesApi], None]:
    return lambda api: put_release(api, 4, "deployed", patch_values({**USERS, **changes}, PATCH))


OBSTACLES: dict[str, tuple[Callable[[KubernetesApi], Any], str, str]] = {
    "another cluster": (
        lambda api: api.put("Namespace", "kube-system", uid="other"),
        "kubernetes.test.identifier",
        "UID of kube-system is other",
    ),
    "an old cluster": (lambda api: setattr(api, "minor", "20"), "kubernetes.test.version", "it is 1.20"),
    "a namespace of somebody else's": (
        lambda api: api.put("Namespace", GRAPH),
        "access-graph.namespace",
        "no `up` of this stack recorded it",
    ),
    "no licence": (
        lambda api: api.put("Secret", "license", "teleport", data={}),
        f"{TELEPORT}licence",
        "--from-file=license.pem",
    ),
    "an old Teleport": (
        lambda api: put_deployment(api, "teleport-auth", "teleport")["spec"]["template"]["spec"].update(
            containers=[{"name": "teleport", "image": "teleport-ent:14.3.3"}]
        ),
        f"{TELEPORT}version",
        "14.3.3 (image teleport-ent) is older",
    ),
    "a pending release": (
        lambda api: put_release(api, 4, "pending-upgrade", {}),
        f"{TELEPORT}release",
        "revision 4 of teleport is pending-upgrade; `make recover`",
    ),
    "a live value that the files lack": (other_values(log={"level": "DEBUG"}), f"{TELEPORT}values", "+ log.level"),
    "a live value that differs": (other_values(service={"type": "NodePort"}), f"{TELEPORT}values", "~ service.type"),
    "a load balancer that never comes": (
        lambda api: api.put("Service", "teleport", "teleport", spec={"type": "LoadBalancer"}),
        f"{TELEPORT}service",
        "set service.type: ClusterIP",
    ),
}


@pytest.mark.parametrize("case", OBSTACLES)
def test_each_obstacle_is_told(api: KubernetesApi, tmp_path: Path, case: str) -> None:
    put_before(api)
    obstruct, check, reason = OBSTACLES[case]
    obstruct(api)
    findings = run(tmp_path)
    assert not_passed(findings) == {check: Outcome.FAIL}
    assert reason in findings[check].reason


def test_secrets_in_the_live_values_are_named_by_path_alone(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    put_release(api, 4, "deployed", {**USERS, "auth": {"adminPassword": "hunter2"}})
    open_one = run(tmp_path)[f"{TELEPORT}values"]
    assert open_one.outcome is Outcome.FAIL
    kept = run(tmp_path, secret_values=True)[f"{TELEPORT}values"]
    assert kept.outcome is Outcome.NOT_PROVEN
    for finding in (open_one, kept):
        assert "+ auth.adminPassword" in finding.reason
        assert "hunter2" not in finding.reason


def test_a_release_to_adopt_must_be_there_and_one_to_make_must_not(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    entry = settings(tmp_path).teleport[CLUSTER]
    assert entry.adopt  # type: ignore[union-attr]
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v3"]
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v2"]
    assert "set adopt to false" in run(tmp_path)[f"{TELEPORT}release.adopt"].reason


def test_unknown_outputs_make_no_accusation(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    assert not_passed(run(tmp_path, outputs=None)) == {"access-graph.namespace": Outcome.NOT_PROVEN}


def test_checks_can_be_left_out(api: KubernetesApi, tmp_path: Path) -> None:
    put_before(api)
    api.minor = "20"
    assert not_passed(run(tmp_path, skip=("kubernetes.test.version",))) == {}


def test_a_cluster_that_does_not_answer_is_one_line(api: KubernetesApi, tmp_path: Path) -> None:
    api.refuse = {"/namespaces/kube-system": 403}
    findings = run(tmp_path)
    assert not_passed(findings) == {"kubernetes.test": Outcome.FAIL}
    assert "not allowed to read Namespace kube-system (403)" in findings["kubernetes.test"].reason
