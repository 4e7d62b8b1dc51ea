"""What restarts, how many of its pods, and that the order is the access graph, auth, proxies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from operations.preview.restarts import restarts
from operations.preview.scrub import UNKNOWNS
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import unsealed
from tests.unit.preview.previews import (
    GRAPH_RELEASE,
    HANDED_OVER,
    PROXIES,
    TELEPORT_RELEASE,
    preview_of,
    recorded,
    step,
)
from tests.unit.program.stack import configuration, run_program

pytestmark = pytest.mark.unit

UNKNOWN = min(UNKNOWNS)
RECREATED = "its Deployment is recreated, not rolled: Teleport has no auth until the new pod is ready"


def found(*steps: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    return [(one.role, one.cluster, one.pods) for one in restarts(preview_of(*steps))]


def graph(paths: list[str], values: dict[str, Any] | None = None) -> dict[str, Any]:
    return step("update", GRAPH_RELEASE, "access-graph-release", new={"values": values or {}}, paths=paths)


def teleport(paths: list[str], values: dict[str, Any] | None = None, cluster: str = "a.example.com") -> dict[str, Any]:
    return step("update", TELEPORT_RELEASE, f"teleport-{cluster}-release", new={"values": values or {}}, paths=paths)


def test_a_renewed_authority_restarts_everything_in_order() -> None:
    assert [(str(one), one.note) for one in restarts(recorded("renewed-authority"))] == [
        ("the access graph, 2 pods", ""),
        ("auth of teleport.example.com, 1 pod", RECREATED),
        ("proxies of teleport.example.com, 1 pod", ""),
    ]


def test_switching_off_restarts_auth_and_proxies() -> None:
    assert [str(one) for one in restarts(recorded("switched-off"))] == [
        "auth of teleport.example.com, 1 pod",
        "proxies of teleport.example.com, 1 pod",
    ]


@pytest.mark.parametrize("name", ["quiet", "replicas", "refused"])
def test_what_reaches_no_pod_restarts_none(name: str) -> None:
    assert restarts(recorded(name)) == []


def test_clusters_restart_one_role_after_the_other() -> None:
    proxies = [step("update", PROXIES, f"teleport-{cluster}-proxies") for cluster in ("b", "a")]
    releases = [teleport(["values.auth.x"], {}, cluster) for cluster in ("b", "a")]
    assert found(*proxies, *releases, graph(["values.clusterHostCAs[0]"], {"replicaCount": 3})) == [
        ("the access graph", "", 3),
        ("auth", "a", 1),
        ("auth", "b", 1),
        ("proxies", "a", 1),
        ("proxies", "b", 1),
    ]


@pytest.mark.parametrize(
    ("paths", "rolls"),
    [
        (["values.podAnnotations.checksum/credentials"], True),
        (["values.replicaCount"], False),
        (["values.podDisruptionBudget.minAvailable"], False),
        (["values.service.type"], False),
        (["timeout"], False),
        (["values"], True),  # masked as a whole, so it may
        (["chart"], True),
        (["values.replicaCount", "values.log.level"], True),
    ],
)
def test_the_access_graph_rolls_by_what_reaches_its_pods(paths: list[str], rolls: bool) -> None:
    assert bool(found(graph(paths))) is rolls


@pytest.mark.parametrize(
    ("paths", "roles"),
    [
        (["values.auth.teleportConfig.access_graph"], ["auth"]),
        (["values.proxy.annotations.pod.x"], ["proxies"]),
        (["values.authentication.type"], ["auth"]),
        (["values.log.level"], ["auth", "proxies"]),
        # The name begins like the proxies' values, but the value is in auth's configuration.
        (["values.proxyListenerMode"], ["auth", "proxies"]),
        (["values"], ["auth", "proxies"]),
        (["timeout"], []),
    ],
)
def test_teleports_release_restarts_the_side_that_its_values_reach(paths: list[str], roles: list[str]) -> None:
    assert [role for role, _, _ in found(teleport(paths))] == roles


def test_the_open_version_of_a_packaged_chart_restarts_nothing() -> None:
    opened = step(
        "update",
        TELEPORT_RELEASE,
        "teleport-a-release",
        old={"version": "18.10.3", "values": {}},
        new={"version": "", "values": {}},
        paths=["timeout", "version"],
    )
    assert found(opened) == []
    opened["newState"]["inputs"]["version"] = "18.11.0"
    assert [role for role, _, _ in found(opened)] == ["auth", "proxies"]


@pytest.mark.parametrize(
    ("values", "auth", "proxies"),
    [
        ({}, 1, 1),
        ({"highAvailability": {"replicaCount": 2}}, 2, 1),
        ({"highAvailability": {"replicaCount": 2}, "tls": {"existingSecretName": "x"}}, 2, 2),
        ({"tls": {"existingSecretName": "x"}}, 1, 2),
        ({"auth": {"highAvailability": {"replicaCount": 3}}}, 3, 1),
        ({"proxy": {"highAvailability": {"replicaCount": 5}}, "tls": {"existingSecretName": "x"}}, 1, 5),
        ({"proxy": {"highAvailability": {"replicaCount": 5}}}, 1, 1),
        ({"highAvailability": {"replicaCount": 2}, "ingress": {"enabled": True}}, 2, 2),
        ({"highAvailability": {"replicaCount": "[secret]"}}, None, 1),
    ],
)
def test_pods_are_counted_as_the_chart_counts_them(
    values: dict[str, Any], auth: int | None, proxies: int | None
) -> None:
    assert found(teleport(["values.log.level"], values)) == [
        ("auth", "a.example.com", auth),
        ("proxies", "a.example.com", proxies),
    ]


def test_proxies_are_counted_by_their_release_though_it_does_not_change() -> None:
    values = {"tls": {"existingSecretName": "x"}, "highAvailability": {"replicaCount": 4}}
    release = step("same", TELEPORT_RELEASE, "teleport-a-release", new={"values": values})
    assert found(release, step("update", PROXIES, "teleport-a-proxies")) == [("proxies", "a", 4)]
    assert found(step("update", PROXIES, "teleport-a-proxies")) == [("proxies", "a", None)]
    # The program marks auth's Deployment only to wait for it; the mark does not change the pods.
    assert found(release, step("update", PROXIES, "teleport-a-auth")) == []


CONNECTED = {"auth": {"teleportConfig": {"access_graph": {"enabled": True}}}}


def handed_over(operation: str, before: Any, after: Any) -> dict[str, Any]:
    old, new = (
        {"data": {"values.yaml": text if isinstance(text, str) else json.dumps(text)}} for text in (before, after)
    )
    return step(operation, HANDED_OVER, "teleport-a-values", old=old, new=new)


@pytest.mark.parametrize(
    ("change", "restarted"),
    [
        (handed_over("create", {}, CONNECTED), [("auth", 1)]),
        (handed_over("create", {}, {"clusterName": "a"}), []),
        (
            handed_over("update", {}, {**CONNECTED, "highAvailability": {"replicaCount": 2}}),
            [("auth", 2), ("proxies", 1)],
        ),
        (handed_over("update", CONNECTED, {}), [("auth", 1)]),
        (handed_over("update", CONNECTED, {**CONNECTED, "proxy": {"extraArgs": ["--debug"]}}), [("proxies", 1)]),
        # Known after the apply, as with a renewed authority.
        (handed_over("update", CONNECTED, UNKNOWN), [("auth", None), ("proxies", None)]),
        # Taken away, they leave a running Teleport as it is.
        (handed_over("delete", CONNECTED, {}), []),
    ],
)
def test_values_that_are_handed_over_restart_what_they_reach(
    change: dict[str, Any], restarted: list[tuple[str, int | None]]
) -> None:
    assert found(change) == [(role, "a", pods) for role, pods in restarted]


def test_a_restart_by_the_releases_owner_says_so() -> None:
    (auth,) = restarts(preview_of(handed_over("create", {}, CONNECTED)))
    assert auth.note == f"once the release's owner rolls out the values that it is given; {RECREATED}"


def test_proxies_of_a_release_of_somebody_elses_are_counted_by_what_it_is_given() -> None:
    values = {"tls": {"existingSecretName": "x"}, "highAvailability": {"replicaCount": 4}}
    assert found(handed_over("same", values, values), step("update", PROXIES, "teleport-a-proxies")) == [
        ("proxies", "a", 4)
    ]


def test_the_programs_own_hand_over_is_taken_for_one(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    entry = config["teleport"][TELEPORT_CLUSTER]
    entry["mode"] = "values"
    del entry["chart"]
    made = run_program(config, tmp_path)[f"teleport-{TELEPORT_CLUSTER}-values"]
    state = {"urn": made.urn, "type": made.type, "custom": True, "inputs": unsealed(made.inputs)}
    assert [str(one) for one in restarts(preview_of({"op": "create", "urn": made.urn, "newState": state}))] == [
        f"auth of {TELEPORT_CLUSTER}, 1 pod"
    ]
