"""A Teleport that does not exist yet, in two `up`s: the first makes it, the second connects it to the access graph. And
one of two Teleports, which is disconnected and connected again while the other stays connected."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.existing_teleport import export_host_authorities, license_secret
from sandbox.home import CHECKOUT
from sandbox.kubelet.claims import claim_path
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import OwnStack, graph_pods, own_stack, up_without_a_change

pytestmark = pytest.mark.engine

CLUSTER = "new.example.com"
NAMESPACE = RELEASE = "new-teleport"
VALUES = {
    "clusterName": CLUSTER,
    "chartMode": "standalone",
    "enterprise": True,
    "service": {"type": "ClusterIP"},
    # A null, which removes the chart's default.
    "log": {"output": None},
}


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    """Configured for the first `up`: the access graph off, no host CA, an empty namespace with a licence in it."""
    values = tmp_path_factory.mktemp("values") / "teleport.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    licence = tmp_path_factory.mktemp("licence") / "objects.json"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    licence.write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [namespace, license_secret({"namespace": NAMESPACE})]})
    )
    running_sandbox.kubectl("apply", "--filename", str(licence))

    def change(settings: dict[str, Any]) -> None:
        (chart,) = {entry["chart"]["path"] for entry in _entries(running_sandbox).values()}
        settings["accessGraph"]["enabled"] = False
        settings["teleport"] = {
            CLUSTER: {
                "mode": "release",
                "namespace": NAMESPACE,
                "release": RELEASE,
                "chart": {"path": chart},
                "valuesFiles": [os.path.relpath(values, CHECKOUT)],
                "timeoutSeconds": 300,
            }
        }

    try:
        with own_stack(running_sandbox, "new", change) as configured:
            yield configured
        left = running_sandbox.helm("list", "--namespace", NAMESPACE, "--all", "--output", "json")
        assert json.loads(left.stdout) == [], "a release that the stack made goes with it"
    finally:
        running_sandbox.kubectl("delete", "namespace", NAMESPACE, "--wait=true")


def _entries(sandbox: RunningSandbox) -> dict[str, Any]:
    document = yaml.safe_load(sandbox.configuration.read_text())
    entries: dict[str, Any] = document["config"]["teleport-access-graph:teleport"]
    return entries


def plugins(sandbox: RunningSandbox) -> list[str]:
    return [value for name, value in sandbox.sandbox.facts() if name == "plugin"]


def auth_configuration(stack: OwnStack) -> dict[str, Any]:
    configuration = stack.get("configmap", f"{RELEASE}-auth", "--namespace", NAMESPACE)["data"]["teleport.yaml"]
    parsed: dict[str, Any] = yaml.safe_load(configuration)
    return parsed


def test_an_access_graph_without_any_host_ca_is_refused_with_the_way_there(stack: OwnStack) -> None:
    stack.change(lambda settings: settings["accessGraph"].update(enabled=True))
    refused = stack.pulumi("preview", check=False)
    stack.change(lambda settings: settings["accessGraph"].update(enabled=False))
    output = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "The configuration has 1 problem" in output
    assert f"teleport.{CLUSTER}.hostAuthorities" in output
    assert "accessGraph.enabled" in output
    assert "Traceback" not in output


def test_the_first_up_makes_an_unpatched_teleport_and_everything_that_needs_no_host_ca(stack: OwnStack) -> None:
    stack.pulumi("up")
    assert "access_graph" not in auth_configuration(stack)
    # The plugin passes a null on to Helm since 4.30. The source that `make official` can compile is older.
    kept = "stderr" if any(re.match(r"kubernetes .*\(official source\)", one) for one in plugins(stack)) else None
    assert auth_configuration(stack)["teleport"]["log"].get("output") == kept
    assert graph_pods(stack, stack.namespace) == []
    outputs = stack.outputs()
    assert "releaseName" not in outputs
    assert "BEGIN CERTIFICATE" in outputs["caBundle"]
    assert outputs["databaseSecretName"] == "teleport-access-graph-postgres"
    assert outputs["hostAuthorityFingerprints"] == {}


def test_the_second_up_brings_it_its_access_graph(stack: OwnStack, tmp_path: Path) -> None:
    authorities = tmp_path / "host-authorities.pem"
    export_host_authorities(stack.home, authorities, host=f"{RELEASE}.{NAMESPACE}.svc.cluster.local")

    def change(settings: dict[str, Any]) -> None:
        settings["accessGraph"]["enabled"] = True
        settings["teleport"][CLUSTER]["hostAuthorities"] = {
            "mode": "file",
            "path": os.path.relpath(authorities, CHECKOUT),
        }

    stack.change(change)
    stack.pulumi("up")
    endpoint = f"teleport-access-graph.{stack.namespace}.svc.cluster.local:443"
    assert auth_configuration(stack)["auth_service"] is not None
    assert auth_configuration(stack)["access_graph"]["endpoint"] == endpoint
    assert len(graph_pods(stack, stack.namespace)) == 2
    identity = claim_path(stack.home.kubelet, NAMESPACE, RELEASE) / "host-identity.pem"
    verified = stack.operations("verify", "--json", "--host-identity", str(identity))
    findings = json.loads(verified.stdout)["findings"]
    assert len(findings) >= 20
    assert [finding for finding in findings if finding["outcome"] != "pass"] == []
    assert {step["op"] for step in stack.preview()["steps"]} <= {"same", "read"}


def test_one_teleport_of_two_is_let_go_and_comes_back_while_the_other_keeps_its_access_graph(
    stack: OwnStack, running_sandbox: RunningSandbox
) -> None:
    ((first, entry),) = _entries(running_sandbox).items()

    def connect(connected: bool) -> None:
        other = {"mode": "manual", "hostAuthorities": entry["hostAuthorities"]}
        stack.change(lambda settings: settings["teleport"].update({first: other}))
        stack.change(lambda settings: settings["teleport"][CLUSTER].update(connected=connected))
        stack.pulumi("up")

    connect(False)
    assert "access_graph" not in auth_configuration(stack)
    assert len(graph_pods(stack, stack.namespace)) == 2
    assert list(stack.outputs()["hostAuthorityFingerprints"]) == [first]
    up_without_a_change(stack)
    connect(True)
    assert auth_configuration(stack)["access_graph"]["enabled"] is True
    assert sorted(stack.outputs()["hostAuthorityFingerprints"]) == sorted([first, CLUSTER])
