"""The external endpoint: a load balancer of the stack's own, with the settings that the cloud needs, and two
outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.external_service import address_of
from components.settings.names import external_service_name
from tests.samples import OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.monitor import Recording, unsealed
from tests.unit.program.stack import (
    COMPUTED,
    OF_THE_STACK,
    configuration,
    host_authority,
    run_program,
    values_file,
)

pytestmark = pytest.mark.unit

NAMED: dict[str, Any] = {"tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]}}
BALANCED = {
    **COMPUTED,
    "kubernetes:core/v1:Service": {"status": {"loadBalancer": {"ingress": [{"hostname": "lb-1.elb.example.com"}]}}},
}


def run(directory: Path, enabled: bool = True, **external: Any) -> Recording:
    config = configuration(directory, **NAMED)
    config["accessGraph"] |= {"enabled": enabled, "external": {"hostname": "graph.example.com", **external}}
    return run_program(config, directory, computed=BALANCED)


@pytest.mark.slow
def test_the_load_balancer_leads_to_the_releases_pods(tmp_path: Path) -> None:
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}
    stack = run(
        tmp_path,
        port=8443,
        annotations=annotations,
        sourceRanges=["10.0.0.0/8"],
        loadBalancerClass="service.k8s.aws/nlb",
        externalTrafficPolicy="Local",
    )
    service = stack["external-service-service"]
    assert service.plain("metadata") == {
        "name": "teleport-access-graph-external",
        "namespace": "teleport-access-graph",
        "annotations": {**annotations, **OF_THE_STACK},
    }
    assert service.plain("spec") == {
        "type": "LoadBalancer",
        "selector": {
            "app.kubernetes.io/name": "teleport-access-graph",
            "app.kubernetes.io/instance": "teleport-access-graph",
        },
        "ports": [{"name": "grpc", "protocol": "TCP", "port": 8443, "targetPort": 9090}],
        "externalTrafficPolicy": "Local",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "loadBalancerClass": "service.k8s.aws/nlb",
    }
    assert stack.outputs["externalEndpoint"] == "graph.example.com:8443"
    assert stack.outputs["externalAddress"] == "lb-1.elb.example.com"
    # The first endpoint stays as it was.
    assert stack.outputs["endpoint"] == "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"


@pytest.mark.slow
def test_it_waits_for_the_pods_behind_it_and_the_ledger_for_it(tmp_path: Path) -> None:
    stack = run(tmp_path)
    assert "access-graph-release" in stack.edges()["external-service-service"]
    assert unsealed(stack.outputs["ledger"])["version"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
def test_a_teleport_is_told_of_a_name_once_its_calls_get_through(enabled: bool, tmp_path: Path) -> None:
    """Teleport's proxies ask for the endpoint once, when they start, and wait long before they ask again."""
    config = configuration(tmp_path, **NAMED)
    config["accessGraph"] |= {
        "enabled": enabled,
        "external": {"hostname": "graph.example.com"},
        "networkPolicy": {"enabled": True},
    }
    config["teleport"]["second.example.com"] = {
        **config["teleport"][TELEPORT_CLUSTER],
        "kubernetes": {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER},
        "endpoint": "graph.example.com:443",
        "valuesFiles": [values_file(tmp_path, "second.example.com")],
        "hostAuthorities": {"mode": "inline", "certificates": [host_authority("second.example.com")]},
    }
    edges = run_program(config, tmp_path, computed=BALANCED).edges()
    way = {"network-policies-access-graph", "external-service-service"}
    assert edges["teleport-second.example.com-ca"] & way == (way if enabled else set())
    assert edges[f"teleport-{TELEPORT_CLUSTER}-ca"] & way == (way - {"external-service-service"} if enabled else set())


@pytest.mark.slow
def test_without_an_access_graph_there_is_nothing_to_reach(tmp_path: Path) -> None:
    stack = run(tmp_path, enabled=False)
    assert stack.of_type("kubernetes:core/v1:Service") == []
    assert not {"externalEndpoint", "externalAddress"} & set(stack.outputs)


@pytest.mark.slow
def test_the_charts_own_service_stays_inside(tmp_path: Path) -> None:
    assert run(tmp_path)["access-graph-release"].plain("values.service") == {"type": "ClusterIP"}


@pytest.mark.parametrize(
    ("status", "address"),
    [
        (None, ""),
        ({"load_balancer": {}}, ""),
        ({"load_balancer": {"ingress": [{"ip": "203.0.113.7"}]}}, "203.0.113.7"),
        ({"load_balancer": {"ingress": [{"hostname": "lb.example.com", "ip": None}]}}, "lb.example.com"),
    ],
)
def test_clouds_give_a_name_or_an_ip(status: Any, address: str) -> None:
    assert address_of(status) == address


def test_its_name_fits_beside_the_charts() -> None:
    assert external_service_name("graph") == "graph-teleport-access-graph-external"
    # The chart cuts its name at 63 characters; ours is cut further, but never right after a hyphen.
    assert external_service_name("r" * 53) == f"{'r' * 53}-external"
    assert external_service_name("r" * 40) == f"{'r' * 40}-teleport-acce-external"
