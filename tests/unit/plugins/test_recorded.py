"""The stand-ins for random and tls do what the official plugins were recorded to do, step by step."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sandbox.plugins.random.provider import RandomProvider
from sandbox.plugins.tls.provider import TlsProvider
from sandbox.plugins.values import UNKNOWN, Secret, unwrap
from tests.unit.plugins.replay import CASES, RECORDING, Seen, replay

pytestmark = pytest.mark.unit

# These values differ in every run; the test compares only their presence and their shape.
RANDOM = {"b64Std", "b64Url", "dec", "hex", "id", "validityStartTime", "validityEndTime"}
FINGERPRINTS = {"publicKeyFingerprintMd5", "publicKeyFingerprintSha256"}


@pytest.fixture(scope="module")
def replayed() -> dict[str, Seen]:
    return replay({"random": RandomProvider(), "tls": TlsProvider()})


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
    """A pattern made from an example: the same kind of text, and the same length where the length is fixed."""
    if value == "none":
        return "none"
    if re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2})+", value):
        return r"[0-9a-f]{2}(:[0-9a-f]{2}){15}"
    if value.isdigit():
        return r"[0-9]+"
    if re.fullmatch(r"[0-9a-f]+", value):
        return rf"[0-9a-f]{{{len(value)}}}"
    return rf"[A-Za-z0-9+/=:_-]{{{len(value)}}}"
