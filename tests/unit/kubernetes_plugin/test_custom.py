"""Custom resources: their kind is looked up in the cluster, a preview works without it, and readiness follows their own
status."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.plugins.kubernetes import objects as objects_module
from sandbox.plugins.kubernetes import readiness
from sandbox.plugins.kubernetes.connection import path
from sandbox.plugins.kubernetes.custom import kind_of_custom
from sandbox.plugins.kubernetes.schema import Kind, kind_of_type
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from tests.unit.kubernetes_plugin.scripted_server import ScriptedServer
from tests.unit.kubernetes_plugin.test_objects import objects

pytestmark = pytest.mark.unit

TOKEN = "kubernetes:cert-manager.io/v1:Certificate"
URN = f"urn:pulumi:s::p::{TOKEN}::certificate"
DISCOVERY = "/apis/cert-manager.io/v1"
DEFINITIONS = [
    {"name": "certificates/status", "kind": "Certificate", "namespaced": True},
    {"name": "certificates", "kind": "Certificate", "namespaced": True},
    {"name": "clusterissuers", "kind": "ClusterIssuer", "namespaced": False},
]


def given(**annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": "pair", "namespace": "graph", "annotations": annotations},
        "spec": {"secretName": "pair", "commonName": None},
    }


def server(*, defined: bool = True) -> Any:
    return ScriptedServer(definitions={DISCOVERY: DEFINITIONS} if defined else {})


def kind(of: Any) -> Kind:
    found = kind_of_custom(TOKEN, of)
    assert found is not None
    return found


def with_status(*conditions: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    live = given()
    live["metadata"] |= {"uid": "1", "generation": generation}
    return {**live, "status": {"conditions": list(conditions)}}


def test_a_kind_is_what_the_cluster_says_of_it() -> None:
    assert path(kind(server()), "graph", "pair") == f"{DISCOVERY}/namespaces/graph/certificates/pair"
    issuer = kind_of_custom("kubernetes:cert-manager.io/v1:ClusterIssuer", server())
    assert issuer is not None
    assert path(issuer, "graph", "ca") == f"{DISCOVERY}/clusterissuers/ca"


@pytest.mark.parametrize("token", ["v1:Pod", "apps/v1:Other", "x.k8s.io/v1:Other", "cert-manager.io/v1:IssuerPatch"])
def test_kinds_of_kubernetes_own_are_no_custom_ones(token: str) -> None:
    assert kind_of_custom(f"kubernetes:{token}", server()) is None


@pytest.mark.parametrize("cluster", [server(defined=False), None])
def test_without_a_definition_a_preview_shows_what_was_given(cluster: Any) -> None:
    undefined = kind(cluster)
    assert not undefined.is_defined
    checked = objects(cluster).check(URN, undefined, {}, given(), b"")
    assert checked.failures == []
    assert checked.inputs["spec"] == {"secretName": "pair"}
    assert objects(cluster).create(URN, undefined, checked.inputs, 0, True) == ("", checked.inputs)
    assert cluster is None or cluster.verbs() == ["get"]


def test_without_a_definition_nothing_is_created_and_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "CREATE_PAUSES_SECONDS", (0.0, 0.0))
    cluster = server(defined=False)
    with pytest.raises(ResourceError) as caught:
        objects(cluster).create(URN, kind(cluster), given(), 0, False)
    assert str(caught.value) == (
        "creation of resource graph/pair failed because the Kubernetes API server reported that the apiVersion for "
        "this resource does not exist. Verify that any required CRDs have been created: "
        'no matches for kind "Certificate" in version "cert-manager.io/v1"'
    )
    assert cluster.verbs() == ["get"] * 3


def test_a_definition_that_comes_meanwhile_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "CREATE_PAUSES_SECONDS", (0.0, 0.0))
    cluster = server(defined=False)
    undefined = kind(cluster)
    cluster.definitions[DISCOVERY] = DEFINITIONS
    assert objects(cluster).create(URN, undefined, given(), 0, False)[0] == "graph/pair"


def test_an_object_whose_definition_went_is_gone_with_it() -> None:
    cluster = server(defined=False)
    assert objects(cluster).read(URN, kind(cluster), "graph/pair", given(), given()) is None
    objects(cluster).delete(URN, kind(cluster), "graph/pair", given(), 0)
    assert cluster.verbs() == ["get", "get"]


def test_what_the_server_drops_is_a_change_for_ever_where_the_plugin_knows_no_type() -> None:
    """pulumi-kubernetes issue 3538. Of built-in kinds except Secrets, the plugin itself drops the empty map too."""
    empty = {"name": "pair", "namespace": "graph", "labels": {}}
    dropped = {key: value for key, value in empty.items() if key != "labels"}
    secret, account = kind_of_type("kubernetes:core/v1:Secret"), kind_of_type("kubernetes:core/v1:ServiceAccount")
    assert secret is not None
    assert account is not None
    for of, changes in ((kind(server()), ["metadata.labels"]), (secret, ["metadata.labels"]), (account, [])):
        inputs = {"apiVersion": of.api_version, "kind": of.name, "metadata": empty}
        outputs = {**inputs, "metadata": dropped, "__inputs": inputs}
        assert list(objects(server()).diff(URN, of, outputs, inputs, []).detailed) == changes, of.name


@pytest.mark.parametrize(
    ("wanted", "conditions", "ready"),
    [
        ("condition=Ready", [], False),
        ("condition=Ready", [{"type": "Ready", "status": "False"}], False),
        ("condition=Ready", [{"type": "Issuing", "status": "True"}], False),
        ("condition=Ready", [{"type": "Ready", "status": "True"}], True),
        ("condition=ready=true", [{"type": "Ready", "status": "True"}], True),
        ("condition=Ready=False", [{"type": "Ready", "status": "True"}], False),
        ("condition=Ready", [{"type": "Ready", "status": "True", "observedGeneration": 1}], False),
        ("condition=Ready", [{"type": "Ready", "status": "True", "observedGeneration": 2}], True),
        ('["condition=Ready", "condition=Issued"]', [{"type": "Ready", "status": "True"}], False),
    ],
)
def test_an_object_is_ready_when_the_condition_it_names_is_met(
    wanted: str, conditions: list[dict[str, Any]], ready: bool
) -> None:
    rule = readiness.readiness_of(kind(server()), wanted)
    assert rule is not None
    assert rule.rule(server(), with_status(*conditions, generation=2)).ready is ready


def test_an_object_that_names_no_condition_is_ready_at_once() -> None:
    assert readiness.readiness_of(kind(server()), None) is None


@pytest.mark.slow
def test_one_that_does_not_become_ready_is_kept_and_says_what_its_condition_says() -> None:
    cluster = server()
    issuing = {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "the Secret does not exist"}
    cluster.add(with_status(issuing))
    waiting = given(**{"pulumi.com/waitFor": "condition=Ready"})
    with pytest.raises(InitializationFailed) as caught:
        objects(cluster).create(URN, kind(cluster), waiting, 0.1, False)
    assert "[DoesNotExist] the Secret does not exist" in caught.value.reasons
    assert caught.value.outputs["status"]["conditions"] == [issuing]


def test_an_expression_that_is_not_known_here_is_refused_before_anything_is_made() -> None:
    waiting = given(**{"pulumi.com/waitFor": "jsonpath={.status.phase}"})
    (failure,) = objects(server()).check(URN, kind(server()), {}, waiting, b"").failures
    assert failure.property == 'metadata.annotations["pulumi.com/waitFor"]'
    assert failure.reason == "'jsonpath={.status.phase}' is no condition=<type> or condition=<type>=<status>"
