"""Update or replace, and which paths: every decision of the official plugin that was recorded."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sandbox.plugins.kubernetes.cluster import Connected
from sandbox.plugins.kubernetes.configuration import Options
from sandbox.plugins.kubernetes.objects import Objects
from sandbox.plugins.kubernetes.release import RELEASE, Releases
from sandbox.plugins.kubernetes.schema import kind_of_type
from sandbox.plugins.protocol import DiffResult
from sandbox.plugins.values import Properties
from tests.unit.kubernetes_plugin import recorded

pytestmark = pytest.mark.unit


def silent(*_: Any, **__: Any) -> None:
    """A log that nobody reads."""


def diff(type_: str, outputs: Properties, news: Properties, **options: bool) -> DiffResult:
    chosen = Options(**({"config_map_mutable": True, "secret_mutable": True} | options))
    connected = Connected(chosen, None, "a diff needs no cluster", "default", threading.Event())
    if type_ == RELEASE:
        return Releases(connected, silent).diff(outputs, news, [])
    kind = kind_of_type(type_)
    assert kind is not None, type_
    return Objects(connected, silent).diff("urn", kind, outputs, news, [])


def test_another_type_of_a_secret_replaces_it_though_its_data_may_change() -> None:
    """The API server would refuse an update: provider/pkg/provider/diff_test.go of the official plugin."""
    (entry,) = (entry for (op, _), entry in recorded.steps("basics", 4).items() if op == "update")
    old, news = entry["oldState"], recorded.values(entry["newState"]["inputs"])
    outputs = recorded.outputs(old, recorded.values(old["inputs"]))
    assert diff(old["type"], outputs, news).replaces == []
    assert diff(old["type"], outputs, {**news, "type": "kubernetes.io/tls"}).replaces == ["type"]


CHANGES = [
    (program, step, op, name)
    for program, last in (("basics", 5), ("adoption", 7))
    for step in range(1, last + 1)
    for op, name in recorded.steps(program, step)
    if op in ("update", "replace")
]


def test_the_recordings_hold_every_kind_of_change() -> None:
    assert len(CHANGES) == 16, "eight in basics, eight in adoption"


@pytest.mark.parametrize(("program", "step", "op", "name"), CHANGES)
def test_a_change_is_judged_as_recorded(program: str, step: int, op: str, name: str) -> None:
    entry = recorded.steps(program, step)[op, name]
    old = entry["oldState"]
    inputs_then = recorded.values(old["inputs"])
    if old.get("initErrors") and old["type"] == RELEASE:
        # A failed update keeps the old inputs; the values that it tried are in the encrypted `__inputs` and in the
        # outputs.
        inputs_then = {**inputs_then, "values": recorded.values(old["outputs"]["values"])}
    found = diff(old["type"], recorded.outputs(old, inputs_then), recorded.values(entry["newState"]["inputs"]))
    assert found.changes
    assert found.detailed == recorded.detailed(entry)
    assert found.replaces == entry.get("replaceReasons", [])
    assert found.diffs == sorted(entry.get("diffReasons", [])), "the official plugin gives these for releases only"
    # An object with a fixed name has to be deleted before its replacement can be created.
    assert found.delete_before_replace == (op == "replace")


UNCHANGED = [
    (program, step, name)
    for program, last in (("basics", 5), ("adoption", 7))
    for step in range(1, last + 1)
    for name, entry in recorded.resources(program, step).items()
    if "initErrors" not in entry
]


@pytest.mark.slow
@pytest.mark.parametrize(("program", "step", "name"), UNCHANGED)
def test_the_same_inputs_are_no_change(program: str, step: int, name: str) -> None:
    entry = recorded.resources(program, step)[name]
    inputs = recorded.values(entry["inputs"])
    found = diff(entry["type"], recorded.outputs(entry, inputs), inputs)
    assert found == DiffResult(changes=False), "a second `up` must be empty"


def test_a_config_map_is_replaced_where_it_may_not_change() -> None:
    entry = recorded.steps("basics", 3)["update", "bundle"]
    old, news = entry["oldState"], recorded.values(entry["newState"]["inputs"])
    outputs = recorded.outputs(old, {})
    assert diff(old["type"], outputs, news, config_map_mutable=False).replaces == ['data["ca.pem"]']
    found = diff(old["type"], outputs, {**news, "immutable": True})
    assert found.replaces == ['data["ca.pem"]'], "an immutable object is replaced, whatever the provider allows"
    assert found.delete_before_replace


def test_an_autonamed_object_is_replaced_before_the_old_one_goes() -> None:
    entry = recorded.steps("basics", 3)["update", "autonamed"]
    news = recorded.values(entry["newState"]["inputs"])
    found = diff(entry["oldState"]["type"], recorded.outputs(entry["oldState"], {}), news, config_map_mutable=False)
    assert found.replaces == ["data.a"]
    assert not found.delete_before_replace


@pytest.mark.parametrize("field", ["name", "namespace"])
def test_another_identity_is_a_replacement(field: str) -> None:
    for name in ("bundle", "restart"):
        entry = recorded.resources("basics", 1)[name]
        inputs = recorded.values(entry["inputs"])
        inputs["metadata"] = {**inputs["metadata"], field: "elsewhere"}
        found = diff(entry["type"], recorded.outputs(entry, {}), inputs)
        assert found.replaces == [f"metadata.{field}"], name
        assert not found.delete_before_replace


def test_a_release_with_another_name_is_replaced() -> None:
    entry = recorded.resources("basics", 1)["release"]
    inputs = recorded.values(entry["inputs"])
    found = diff(RELEASE, recorded.outputs(entry, inputs), {**inputs, "name": "other"})
    assert found.replaces == ["name"]


def test_drift_of_the_live_object_is_a_change() -> None:
    entry = recorded.resources("basics", 1)["bundle"]
    inputs = recorded.values(entry["inputs"])
    outputs = recorded.outputs(entry, {})
    outputs["data"] = {"ca.pem": "somebody else's"}
    assert list(diff(entry["type"], outputs, inputs).detailed) == ['data["ca.pem"]']


def test_ignored_paths_are_no_change() -> None:
    entry = recorded.steps("basics", 3)["replace", "job"]
    kind = kind_of_type(entry["oldState"]["type"])
    assert kind is not None
    connected = Connected(Options(), None, "", "default", threading.Event())
    objects = Objects(connected, silent)
    outputs, news = recorded.outputs(entry["oldState"], {}), recorded.values(entry["newState"]["inputs"])
    assert objects.diff("urn", kind, outputs, news, ["spec.template.spec.containers[*].image"]).changes is False
    assert objects.diff("urn", kind, outputs, news, ["spec.template.metadata"]).changes is True
