"""What platforms require of TAG's pods, rendered: labels, digests, pull secrets; and the selectors of those pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import Objects, Render
from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, run_program

pytestmark = pytest.mark.charts

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
RELEASE, NAMESPACE = "graph", "identity"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory: Path = tmp_path_factory.mktemp("platform")
    config = configuration(
        directory,
        labels={"example.com/team": "identity"},
        annotations={"example.com/contact": "#identity"},
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    )
    config["accessGraph"] |= {
        "release": RELEASE,
        "namespace": NAMESPACE,
        "imageDigest": DIGEST,
        "imagePullSecrets": ["registry"],
        "external": {"hostname": "graph.example.com"},
        "networkPolicy": {"enabled": True, "clientCidrs": ["10.9.0.0/16"]},
    }
    return run_program(config, directory)


@pytest.fixture(scope="module")
def rendered(stack: Recording, render: Render) -> Objects:
    values = stack["access-graph-release"].plain("values")
    return render("teleport-access-graph", values, release=RELEASE, namespace=NAMESPACE)


def template(rendered: Objects) -> dict[str, Any]:
    ((_, deployment),) = [item for item in rendered.items() if item[0][0] == "Deployment"]
    found: dict[str, Any] = deployment["spec"]["template"]
    return found


def test_the_image_is_a_reference_by_digest(rendered: Objects) -> None:
    (container,) = template(rendered)["spec"]["containers"]
    assert container["image"] == f"public.ecr.aws/gravitational/access-graph@{DIGEST}"
    assert template(rendered)["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_the_pods_and_their_account_carry_the_marks(rendered: Objects) -> None:
    metadata = template(rendered)["metadata"]
    assert metadata["labels"]["example.com/team"] == "identity"
    assert metadata["annotations"]["example.com/contact"] == "#identity"
    account = rendered["ServiceAccount", template(rendered)["spec"]["serviceAccountName"]]
    assert account["metadata"]["annotations"] == {"example.com/contact": "#identity"}


def test_marks_do_not_reach_what_selects_the_pods(rendered: Objects) -> None:
    """Selectors are immutable: an upgrade that adds a label to them would fail."""
    ((_, deployment),) = [item for item in rendered.items() if item[0][0] == "Deployment"]
    assert deployment["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "teleport-access-graph",
        "app.kubernetes.io/instance": RELEASE,
    }


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("network-policies-access-graph", "spec.podSelector.matchLabels"),
        ("external-service-service", "spec.selector"),
    ],
)
def test_our_selectors_find_the_charts_pods(stack: Recording, rendered: Objects, resource: str, path: str) -> None:
    assert stack[resource].plain(path).items() <= template(rendered)["metadata"]["labels"].items()


def test_the_ports_are_those_that_the_pods_have(stack: Recording, rendered: Objects) -> None:
    (container,) = template(rendered)["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 9090}
    assert stack["network-policies-access-graph"].plain("spec.ingress.0.ports.0.port") == ports["grpc"]
    assert stack["external-service-service"].plain("spec.ports.0.targetPort") == ports["grpc"]


def test_the_policy_admits_auth_and_proxy_of_the_published_charts_labels(stack: Recording, render: Render) -> None:
    objects = render("teleport-cluster", {"clusterName": "t", "enterprise": True}, release="teleport", namespace="t")
    selector = stack["network-policies-access-graph"].plain("spec.ingress.0.from.0.podSelector")
    (expression,) = selector["matchExpressions"]
    admitted = set()
    for (kind, name), item in objects.items():
        if kind == "Deployment":
            labels = item["spec"]["template"]["metadata"]["labels"]
            if selector["matchLabels"].items() <= labels.items() and labels[expression["key"]] in expression["values"]:
                admitted.add(name)
    assert admitted == {"teleport-auth", "teleport-proxy"}
