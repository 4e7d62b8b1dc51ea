"""Before an `up`, preflight asks for the custom kinds in each cluster in which the stack would create such objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from operations.checks.definitions import check_definitions, wanted_kinds
from operations.cluster import Cluster
from operations.findings import Outcome
from tests.unit.operations.kubernetes_api import KubernetesApi
from tests.unit.operations.world import CLUSTER, configuration, settings

PROMETHEUS, OPERATOR = "monitoring.coreos.com/v1", "resources.teleport.dev/v1"
EVERYTHING: dict[str, Any] = {
    "accessGraph": {"metrics": True},
    "monitoring": {"serviceMonitor": True, "rules": True, "lockoutWatch": {}},
}
OTHER = {"context": "other", "clusterIdentifier": "00000000-0000-4000-8000-000000000002"}


def entry(**changes: Any) -> dict[str, Any]:
    return {CLUSTER: {**configuration()["teleport"][CLUSTER], **changes}}


def serve(api: KubernetesApi, api_version: str, *kinds: str) -> None:
    common = {"namespaced": True, "verbs": ["get"], "singularName": ""}
    resources = [{"kind": kind, "name": f"{kind.lower()}s", **common} for kind in kinds]
    api.objects[f"/apis/{api_version}"] = {
        "kind": "APIResourceList",
        "groupVersion": api_version,
        "resources": resources,
    }


def test_nothing_is_asked_for_that_is_not_made(tmp_path: Path) -> None:
    assert wanted_kinds(settings(tmp_path), "test") == []
    off = settings(tmp_path, **{**EVERYTHING, "accessGraph": {"metrics": True, "enabled": False}})
    assert wanted_kinds(off, "test") == []
    let_go = {**EVERYTHING, "monitoring": {"lockoutWatch": {}, "rules": True}}
    second = {"second.example.com": {**configuration()["teleport"][CLUSTER], "connected": False, "namespace": "second"}}
    del second["second.example.com"]["hostAuthorities"]
    both = settings(tmp_path, **let_go, teleport={**entry(), **second})
    assert wanted_kinds(both, "test") == [(PROMETHEUS, "PrometheusRule")]
    second["second.example.com"] |= {"kubernetes": OTHER, "endpoint": "graph.example.com:443"}
    named = {"mode": "generated", "extraDnsNames": ["graph.example.com"]}
    both = settings(tmp_path, **let_go, tls=named, teleport={**entry(), **second})
    assert wanted_kinds(both, "other") == []


def test_each_kind_is_asked_for_where_it_would_be_made(tmp_path: Path) -> None:
    here = settings(tmp_path, **EVERYTHING, teleport=entry(applyReaderRole=True))
    assert wanted_kinds(here, "test") == [
        (PROMETHEUS, "ServiceMonitor"),
        (PROMETHEUS, "PrometheusRule"),
        (OPERATOR, "TeleportRoleV7"),
    ]
    there = settings(
        tmp_path,
        **EVERYTHING,
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
        teleport=entry(applyReaderRole=True, kubernetes=OTHER, endpoint="graph.example.com:443"),
    )
    assert wanted_kinds(there, "test") == [(PROMETHEUS, "ServiceMonitor"), (PROMETHEUS, "PrometheusRule")]
    assert wanted_kinds(there, "other") == [(PROMETHEUS, "PrometheusRule"), (OPERATOR, "TeleportRoleV7")]


def test_what_is_missing_is_told_with_what_brings_it(api: KubernetesApi, cluster: Cluster, tmp_path: Path) -> None:
    serve(api, PROMETHEUS, "ServiceMonitor")
    found = check_definitions(settings(tmp_path, **EVERYTHING, teleport=entry(applyReaderRole=True)), cluster)
    assert {finding.check: finding.outcome for finding in found} == {
        "definitions.test.ServiceMonitor": Outcome.PASS,
        "definitions.test.PrometheusRule": Outcome.FAIL,
        "definitions.test.TeleportRoleV7": Outcome.FAIL,
    }
    assert "install the Prometheus Operator" in found[1].reason
    assert "operator.enabled" in found[2].reason


def test_what_is_there_passes(api: KubernetesApi, cluster: Cluster, tmp_path: Path) -> None:
    serve(api, PROMETHEUS, "ServiceMonitor", "PrometheusRule")
    found = check_definitions(settings(tmp_path, **EVERYTHING), cluster)
    assert [finding.outcome for finding in found] == [Outcome.PASS] * 2
