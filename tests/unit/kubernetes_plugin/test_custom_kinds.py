"""Objects of kinds that a cluster's definitions add: taken as they are, and not there before their definition is."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.plugins.kubernetes import objects as module
from sandbox.plugins.kubernetes.connection import path
from sandbox.plugins.kubernetes.readiness import readiness_of
from sandbox.plugins.kubernetes.schema import Kind, custom_kind_of_type
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from tests.unit.kubernetes_plugin.scripted_server import ScriptedServer
from tests.unit.kubernetes_plugin.test_objects import URN, objects

pytestmark = pytest.mark.unit

TOKEN = "kubernetes:monitoring.coreos.com/v1:ServiceMonitor"
GIVEN = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "ServiceMonitor",
    "metadata": {"name": "graph", "namespace": "identity"},
    "spec": {"endpoints": [{"port": "metrics", "params": None}]},
}
DEFINED = {"monitoring.coreos.com/v1/ServiceMonitor": ("servicemonitors", True)}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CREATE_PAUSES_SECONDS", (0.0, 0.0))


def custom(token: str = TOKEN) -> Kind:
    found = custom_kind_of_type(token)
    assert found is not None
    return found


def test_its_properties_are_its_definitions_business_but_for_the_metadata() -> None:
    server = ScriptedServer(definitions=DEFINED)
    checked = objects(server).check(URN, custom(), {}, GIVEN, b"")
    assert checked.failures == []
    assert checked.inputs["spec"] == {"endpoints": [{"port": "metrics"}]}
    wrong = objects(server).check(URN, custom(), {}, {**GIVEN, "metadata": {"name": "x", "label": {}}}, b"")
    assert [failure.property for failure in wrong.failures] == ["metadata.label"]


def test_before_its_definition_it_counts_as_namespaced() -> None:
    given = {**GIVEN, "metadata": {"name": "graph"}}
    absent = objects(ScriptedServer()).check(URN, custom(), {}, given, b"").inputs
    assert absent["metadata"]["namespace"] == "default"
    cluster_wide = ScriptedServer(definitions={"monitoring.coreos.com/v1/ServiceMonitor": ("servicemonitors", False)})
    assert "namespace" not in objects(cluster_wide).check(URN, custom(), {}, given, b"").inputs["metadata"]


def test_a_preview_before_its_definition_shows_what_was_given() -> None:
    server = ScriptedServer()
    assert objects(server).create(URN, custom(), GIVEN, 0, preview=True) == ("", GIVEN)
    assert server.verbs() == ["defined"]


def test_an_up_waits_a_moment_for_the_definition_and_then_says_what_is_missing() -> None:
    server = ScriptedServer()
    with pytest.raises(
        ResourceError, match=r'no matches for kind "ServiceMonitor" in version "monitoring\.coreos\.com/v1"'
    ):
        objects(server).create(URN, custom(), GIVEN, 0, preview=False)
    assert server.verbs() == ["defined"] * 3


def test_its_definition_says_where_it_is() -> None:
    server = ScriptedServer(definitions=DEFINED)
    identity, _ = objects(server).create(URN, custom(), GIVEN, 0, preview=False)
    assert identity == "identity/graph"
    assert server.verbs() == ["defined", "create"]
    defined = server.defined(custom())  # type: ignore[arg-type]
    assert path(defined, "identity", "graph") == (
        "/apis/monitoring.coreos.com/v1/namespaces/identity/servicemonitors/graph"
    )


def test_it_is_gone_with_its_definition() -> None:
    server = ScriptedServer()
    outputs: dict[str, Any] = {"__inputs": GIVEN, **GIVEN}
    assert objects(server).read(URN, custom(), "identity/graph", GIVEN, outputs) is None
    objects(server).delete(URN, custom(), "identity/graph", outputs, 0)
    assert server.verbs() == ["defined", "defined"]


def waiting(asked: str, *conditions: dict[str, str]) -> tuple[ScriptedServer, dict[str, Any]]:
    annotations = {"pulumi.com/waitFor": asked, "pulumi.com/timeoutSeconds": "0"}
    given = {**GIVEN, "metadata": {**GIVEN["metadata"], "annotations": annotations}}  # type: ignore[dict-item]
    server = ScriptedServer(definitions=DEFINED)
    server.add({**given, "status": {"conditions": list(conditions)}})
    return server, given


def test_a_condition_that_is_asked_for_is_waited_for() -> None:
    ready = {"type": "Ready", "status": "True"}
    server, given = waiting("condition=Ready", ready)
    assert objects(server).create(URN, custom(), given, 0, preview=False)[0] == "identity/graph"
    server, given = waiting("condition=Ready", {**ready, "status": "False", "reason": "Pending", "message": "soon"})
    with pytest.raises(InitializationFailed) as failure:
        objects(server).create(URN, custom(), given, 0, preview=False)
    assert "[Pending] soon" in failure.value.reasons


def test_what_cannot_be_waited_for_is_no_silent_success() -> None:
    with pytest.raises(ResourceError, match="is not supported by this stand-in"):
        readiness_of(custom(), {"metadata": {"annotations": {"pulumi.com/waitFor": "jsonpath={.status.phase}=Done"}}})


@pytest.mark.parametrize(
    "token", ["kubernetes:v1:Thing", "kubernetes:apps/v1:Thing", "kubernetes:gateway.networking.k8s.io/v1:Gateway"]
)
def test_kubernetes_own_groups_have_no_custom_kinds_here(token: str) -> None:
    assert custom_kind_of_type(token) is None
