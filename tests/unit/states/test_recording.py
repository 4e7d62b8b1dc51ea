"""A recorded state says what a version of the program made, and nothing about the deployment from which it was
taken."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.home import CHECKOUT
from sandbox.plugins.values import SECRET_SIGNATURE, SIGNATURE_KEY
from tests.states.inputs import STATES
from tests.states.recording import CLIENT, FILE, MARKER, RULE, with_deployment, without_deployment

pytestmark = pytest.mark.unit

FILES = sorted(STATES.glob(f"*/{FILE}"))
CIPHERTEXT = re.compile(r"v1:[0-9A-Za-z+/]{16}:")


def export(client: str = "sg-1", **inputs: Any) -> dict[str, Any]:
    rule = {"urn": f"urn::rule-{client}", "type": RULE, "inputs": {"referencedSecurityGroupId": client}}
    return {"version": 3, "deployment": {"resources": [rule, {"urn": "urn::a", "type": "a", "inputs": inputs}]}}


def secret(value: str) -> dict[str, str]:
    return {SIGNATURE_KEY: SECRET_SIGNATURE, "plaintext": value}


ONE = export(name="graph", port=1, key=secret("same"), keys=["a", "b"], gone=[1], spec={"deep": "x", "far": "y"})
OTHER = export(
    "sg-2", name="graph", port=2, key=secret("same"), keys=["a", "c"], gone=[], spec={"deep": "x", "far": "z"}
)
COMMON = {
    "name": "graph",
    "port": MARKER,
    "key": MARKER,
    "keys": ["a", MARKER],
    "gone": MARKER,
    "spec": {"deep": "x", "far": MARKER},
}
RECORDED = without_deployment(ONE, OTHER)


def test_what_only_one_deployment_has_and_every_secret_is_a_marker() -> None:
    rule, resource = RECORDED
    assert resource == {"urn": "urn::a", "type": "a", "inputs": COMMON}
    assert rule["urn"] == f"urn::rule-{CLIENT}"
    assert rule["inputs"] == {"referencedSecurityGroupId": CLIENT}


def test_where_and_when_it_was_asked_for_is_not_kept() -> None:
    one = export()
    one["deployment"]["resources"][1] |= {"sourcePosition": "project:///a.py#1", "created": "now", "custom": True}
    assert without_deployment(one, one)[1] == {"urn": "urn::a", "type": "a", "inputs": {}, "custom": True}


def test_exports_of_other_resources_are_no_pair() -> None:
    other = export()
    other["deployment"]["resources"][1]["urn"] = "urn::b"
    with pytest.raises(ValueError, match=r"not the same resources: \['urn::a', 'urn::b'\]"):
        without_deployment(ONE, other)


@pytest.mark.parametrize("deployed", [ONE, OTHER], ids=["one", "other"])
def test_the_markers_of_a_deployment_are_filled_from_it(deployed: dict[str, Any]) -> None:
    assert with_deployment(RECORDED, deployed) == deployed


def test_what_was_recorded_goes_before_what_is_deployed() -> None:
    resource = with_deployment(RECORDED, export(name="another", port=3))["deployment"]["resources"][1]
    assert resource["inputs"]["name"] == "graph"
    assert resource["inputs"]["port"] == 3


def test_a_list_that_has_grown_since_is_taken_from_what_is_deployed() -> None:
    """Once the lengths differ, nobody knows which items the markers stood for. Such lists are dependencies: without the
    deployed list, a marker would become a dependency on nothing."""
    deployed = export(keys=["a", "c", "d"])
    assert with_deployment(RECORDED, deployed)["deployment"]["resources"][1]["inputs"]["keys"] == ["a", "c", "d"]


def test_a_resource_that_is_not_deployed_is_filled_from_one_of_its_type() -> None:
    deployed = export(port=3)
    deployed["deployment"]["resources"][1]["urn"] = "urn::new"
    filled = with_deployment(RECORDED, deployed)["deployment"]["resources"][1]
    assert (filled["urn"], filled["inputs"]["port"]) == ("urn::a", 3)
    deployed["deployment"]["resources"][1]["type"] = "b"
    assert with_deployment(RECORDED, deployed)["deployment"]["resources"][1]["inputs"]["port"] == "unknown"


def test_what_the_recorded_version_did_not_have_is_depended_on_by_nothing() -> None:
    """The engine imports no state in which a dependency is missing or comes later."""

    def depending(*on: str) -> dict[str, Any]:
        state = export()
        state["deployment"]["resources"][1] |= {"dependencies": [*on], "propertyDependencies": {"port": [*on]}}
        return state

    recorded = without_deployment(depending("urn::rule-sg-1", "urn::gone"), depending("urn::rule-sg-1"))
    filled = with_deployment(recorded, depending("urn::new", "urn::rule-sg-1", "urn::a"))["deployment"]["resources"][1]
    assert filled["dependencies"] == ["urn::rule-sg-1"]
    assert filled["propertyDependencies"] == {"port": ["urn::rule-sg-1"]}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.parent.name))
def test_no_secret_and_no_machine_is_in_a_recorded_state(file: Path) -> None:
    text = file.read_text()
    for foreign in ("PRIVATE KEY", "BEGIN CERTIFICATE", "ciphertext", SIGNATURE_KEY):
        assert foreign not in text, foreign
    for place in ("/home/", "/root", "/tmp/tag-", "127.0.", str(CHECKOUT)):
        assert place not in text, place
    assert not CIPHERTEXT.search(text)
    secrets = [one for one in json.loads(text) if one["type"].endswith((":RandomPassword", ":PrivateKey"))]
    assert secrets
    for one in secrets:
        assert MARKER in (one["outputs"].get("result"), one["outputs"].get("privateKeyPem"))
