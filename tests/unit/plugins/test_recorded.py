"""The stand-ins for random and tls do what the official plugins were recorded to do, step by step."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins.protocol import DiffResult, ResourceProvider
from sandbox.plugins.random.provider import RandomProvider
from sandbox.plugins.tls.provider import TlsProvider
from sandbox.plugins.values import UNKNOWN, Secret, unwrap

pytestmark = pytest.mark.unit

RECORDING = json.loads(Path(__file__).with_name("recordings").joinpath("random-and-tls.json").read_text())
# Values that differ in every run; that they are there, and what they look like, is compared instead.
RANDOM = {"b64Std", "b64Url", "dec", "hex", "id", "validityStartTime", "validityEndTime"}
FINGERPRINTS = {"publicKeyFingerprintMd5", "publicKeyFingerprintSha256"}


@dataclass
class Live:
    inputs: dict[str, Any]
    id: str
    outputs: dict[str, Any]


@dataclass
class Seen:
    """What happened to one resource in one step."""

    op: str
    difference: DiffResult
    preview: dict[str, Any]
    live: Live


@dataclass
class Engine:
    """The order of calls that the engine makes: check, diff, then preview and create."""

    providers: dict[str, ResourceProvider] = field(
        default_factory=lambda: {"random": RandomProvider(), "tls": TlsProvider()}
    )
    state: dict[str, Live] = field(default_factory=dict)

    def step(self, recorded: dict[str, Any]) -> Seen:
        type_, name = recorded["type"], recorded["name"]
        provider = self.providers[type_.split(":")[0]]
        urn = f"urn:pulumi:test::test::{type_}::{name}"
        news = {key: self._value(value) for key, value in recorded["inputs"].items()}
        old = self.state.get(name)
        checked = provider.check(urn, type_, old.inputs if old else {}, news, b"")
        assert checked.failures == []
        assert checked.inputs == news, "inputs are kept as they are given: no defaults are put in"
        difference = DiffResult(changes=True)
        if old is not None:
            difference = provider.diff(urn, type_, old.id, old.inputs, old.outputs, checked.inputs, [])
            if not difference.changes:
                return Seen("same", difference, {}, old)
        op = "create" if old is None else "replace" if difference.replaces else "update"
        _, preview = provider.create(urn, type_, checked.inputs, 0, True)
        id_, outputs = provider.create(urn, type_, checked.inputs, 0, False)
        self.state[name] = Live(checked.inputs, id_, outputs)
        return Seen(op, difference, preview, self.state[name])

    def _value(self, recorded: dict[str, Any]) -> Any:
        if "reference" not in recorded:
            return recorded["value"]
        name, output = recorded["reference"].split(".")
        return self.state[name].outputs[output]


@pytest.fixture(scope="module")
def replayed() -> dict[str, Seen]:
    """Every step once, in order: later steps need the state of earlier ones."""
    engine = Engine()
    return {
        f"{step['step']}-{recorded['name']}": engine.step(recorded)
        for step in RECORDING["steps"]
        for recorded in step["resources"]
    }


CASES = [
    pytest.param(f"{step['step']}-{recorded['name']}", recorded, id=f"step {step['step']}: {recorded['name']}")
    for step in RECORDING["steps"]
    for recorded in step["resources"]
]


def test_the_recording_has_all_that_the_comparison_needs() -> None:
    assert [step["step"] for step in RECORDING["steps"]] == [1, 2, 4, 5]
    operations = [recorded["op"] for step in RECORDING["steps"] for recorded in step["resources"]]
    assert (operations.count("create"), operations.count("replace"), operations.count("same")) == (7, 2, 19)


@pytest.mark.slow
@pytest.mark.parametrize(("key", "recorded"), CASES)
def test_same_operation_for_the_same_reasons(key: str, recorded: dict[str, Any], replayed: dict[str, Seen]) -> None:
    seen = replayed[key]
    assert seen.op == recorded["op"]
    assert seen.difference.diffs == recorded.get("diffReasons", [])
    assert seen.difference.replaces == recorded.get("replaceReasons", [])


@pytest.mark.slow
@pytest.mark.parametrize(("key", "recorded"), CASES)
def test_same_outputs_and_the_same_ones_secret(key: str, recorded: dict[str, Any], replayed: dict[str, Seen]) -> None:
    outputs = replayed[key].live.outputs
    assert sorted(outputs) == sorted(recorded["outputs"])
    for name, expected in recorded["outputs"].items():
        assert isinstance(outputs[name], Secret) == bool(expected.get("secret")), name
        if "value" in expected and name not in RANDOM | FINGERPRINTS:
            assert outputs[name] == expected["value"], name
        if "text" in expected:
            assert outputs[name].startswith(expected["text"]), name


@pytest.mark.slow
@pytest.mark.parametrize(("key", "recorded"), CASES)
def test_ids_and_random_outputs_have_the_same_shape(
    key: str, recorded: dict[str, Any], replayed: dict[str, Seen]
) -> None:
    live = replayed[key].live
    for expected, actual in [
        (recorded["id"], live.id),
        *(
            (recorded["outputs"][name]["value"], live.outputs[name])
            for name in (RANDOM - {"id", "validityStartTime", "validityEndTime"}) | FINGERPRINTS
            if name in recorded["outputs"]
        ),
    ]:
        assert re.fullmatch(_shape(expected), actual), (expected, actual)


@pytest.mark.parametrize(("key", "recorded"), [case for case in CASES if "previewOutputs" in case.values[1]])
def test_same_unknowns_at_preview(key: str, recorded: dict[str, Any], replayed: dict[str, Seen]) -> None:
    preview = replayed[key].preview
    assert sorted(preview) == sorted(recorded["previewOutputs"])
    unknown = {name for name, value in preview.items() if value is UNKNOWN}
    assert unknown == {name for name, value in recorded["previewOutputs"].items() if value.get("unknown")}
    secret = {name for name, value in preview.items() if isinstance(value, Secret)}
    assert secret == {name for name, value in recorded["previewOutputs"].items() if value.get("secret")}


def test_certificates_have_the_recorded_extensions_in_their_order(replayed: dict[str, Seen]) -> None:
    from cryptography import x509

    leaf = x509.load_pem_x509_certificate(unwrap(replayed["1-server"].live.outputs["certPem"]).encode())
    authority = x509.load_pem_x509_certificate(unwrap(replayed["1-ca"].live.outputs["certPem"]).encode())
    named = [(extension.oid.dotted_string, extension.critical) for extension in leaf.extensions]
    # Key usage, extended key usage, basic constraints, authority key identifier, alternative names.
    assert named == [
        ("2.5.29.15", True),
        ("2.5.29.37", False),
        ("2.5.29.19", True),
        ("2.5.29.35", False),
        ("2.5.29.17", False),
    ]
    assert [(extension.oid.dotted_string, extension.critical) for extension in authority.extensions] == [
        ("2.5.29.15", True),
        ("2.5.29.19", True),
        ("2.5.29.14", False),
    ]
    leaf.verify_directly_issued_by(authority)


def _shape(value: str) -> str:
    """A pattern from an example: the same kind of text, and the same length where that is fixed."""
    if value == "none":
        return "none"
    if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2})+", value):
        return r"[0-9a-f]{2}(:[0-9a-f]{2}){15}"
    if value.isdigit():
        return r"[0-9]+"
    if re.fullmatch(r"[0-9a-f]+", value):
        return rf"[0-9a-f]{{{len(value)}}}"
    return rf"[A-Za-z0-9+/=:_-]{{{len(value)}}}"
