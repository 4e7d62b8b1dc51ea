"""The authorities and the server certificate that each step registers, and which of their parts are protected and
secret."""

from __future__ import annotations

import gc
from typing import Any

import pulumi
import pytest

from components.certificates import Certificates
from tests.unit.certificates.pki import HOST
from tests.unit.monitor import Recording, RecordingMonitor, certificate_named, leaves, record

pytestmark = pytest.mark.unit

STEPS = [(1, "stable"), (2, "introduce"), (2, "switch"), (2, "retire"), (2, "stable"), (3, "introduce")]
ALWAYS = {"certificates-server-key", "certificates-server-request", "certificates-server"}


def registered(**arguments: Any) -> Recording:
    def program() -> None:
        made = Certificates("certificates", {"dns_names": [HOST], **arguments})  # type: ignore[arg-type]
        pulumi.export("bundle", made.trust_bundle)

    return record(program)


def names(recording: Recording) -> set[str]:
    return {item.name for item in recording.custom()}


def pem(generation: int) -> str:
    """The certificate that the recording monitor answers with."""
    return certificate_named(f"certificates-ca-{generation}")


@pytest.mark.parametrize(
    ("generation", "phase", "existing", "protected", "signing"),
    [
        (1, "stable", {1}, {1}, 1),
        (2, "introduce", {1, 2}, {1}, 1),
        (2, "switch", {1, 2}, {1, 2}, 2),
        (2, "retire", {1, 2}, {2}, 2),
        (2, "stable", {2}, {2}, 2),
        (3, "introduce", {2, 3}, {2}, 2),
    ],
)
def test_each_step_has_its_authorities(
    generation: int, phase: str, existing: set[int], protected: set[int], signing: int
) -> None:
    recording = registered(generation=generation, phase=phase)
    keys = {f"certificates-ca-{number}-key" for number in existing}
    assert names(recording) == ALWAYS | keys | {f"certificates-ca-{number}" for number in existing}
    assert {item.name for item in recording.custom() if item.protect} == {
        f"certificates-ca-{number}-key" for number in protected
    }
    assert recording["certificates-server"].plain("caCertPem") == pem(signing)
    assert recording.edges()["certificates-server"] == {
        "certificates-server-request",
        f"certificates-ca-{signing}",
        f"certificates-ca-{signing}-key",
    }


def test_an_authority_and_a_server_certificate_ask_for_exactly_this() -> None:
    """Both ask for the identifier of their own key, and the authority also for that of its signer's key: chains are
    found by these identifiers."""
    recording = registered(dns_names=[HOST, "other.example.com"])
    authority, server = recording["certificates-ca-1"], recording["certificates-server"]
    assert {key: value for key, value in authority.inputs.items() if not key.endswith("Pem")} == {
        "subject": {"commonName": "Teleport Access Graph CA 1"},
        "isCaCertificate": True,
        "setSubjectKeyId": True,
        "setAuthorityKeyId": True,
        "allowedUses": ["cert_signing", "crl_signing"],
        "validityPeriodHours": 87600,
        "earlyRenewalHours": 8760,
    }
    assert {key: value for key, value in server.inputs.items() if not key.endswith("Pem")} == {
        "setSubjectKeyId": True,
        "allowedUses": ["digital_signature", "server_auth", "client_auth"],
        "validityPeriodHours": 9528,
        "earlyRenewalHours": 720,
    }
    request = recording["certificates-server-request"]
    assert request.plain("dnsNames") == [HOST, "other.example.com"]
    assert request.plain("subject") == {"commonName": "Teleport Access Graph"}


@pytest.mark.slow
def test_protection_can_be_lifted() -> None:
    for generation, phase in STEPS:
        recording = registered(generation=generation, phase=phase, protect=False)
        assert not any(item.protect for item in recording.custom())


def test_authorities_are_told_apart_by_name_and_live_for_the_same_settings() -> None:
    recording = registered(generation=2, phase="introduce", ca_validity_hours=1000, ca_early_renewal_hours=100)
    subjects = [recording[f"certificates-ca-{number}"].plain("subject.commonName") for number in (1, 2)]
    assert subjects == ["Teleport Access Graph CA 1", "Teleport Access Graph CA 2"]
    for number in (1, 2):
        authority = recording[f"certificates-ca-{number}"]
        assert (authority.plain("validityPeriodHours"), authority.plain("earlyRenewalHours")) == (1000, 100)
        assert authority.plain("isCaCertificate") is True


def test_an_authority_keeps_its_algorithm_when_the_next_has_another() -> None:
    introduced = registered(generation=2, phase="introduce", algorithm="RSA", previous_algorithm="ECDSA")
    kinds = {item.name: item.plain("algorithm") for item in introduced.of_type("tls:index/privateKey:PrivateKey")}
    assert kinds == {
        "certificates-ca-1-key": "ECDSA",
        "certificates-ca-2-key": "RSA",
        "certificates-server-key": "ECDSA",
    }
    assert "key_encipherment" not in introduced["certificates-server"].plain("allowedUses")
    switched = registered(generation=2, phase="switch", algorithm="RSA", previous_algorithm="ECDSA")
    assert switched["certificates-server-key"].plain("rsaBits") == 4096
    assert "key_encipherment" in switched["certificates-server"].plain("allowedUses")
    assert switched["certificates-ca-1-key"].plain("ecdsaCurve") == "P256"


def test_a_bundle_of_one_authority_is_its_certificate_as_it_is() -> None:
    assert registered().outputs["bundle"] == pem(1)
    assert registered(generation=2, phase="retire").outputs["bundle"] == pem(2)


@pytest.mark.slow
def test_a_bundle_has_the_older_authority_first_and_somebody_elses_last() -> None:
    other = certificate_named("somebody-else")
    for phase in ("introduce", "switch"):
        assert registered(generation=2, phase=phase).outputs["bundle"] == pem(1) + pem(2)
        further = registered(generation=2, phase=phase, further_authorities=other)
        assert further.outputs["bundle"] == pem(1) + pem(2) + other


def test_an_authority_that_only_is_trusted_ahead_signs_nothing_and_is_not_protected() -> None:
    recording = registered(serves=False)
    assert names(recording) == {"certificates-ca-1", "certificates-ca-1-key"}
    assert not any(item.protect for item in recording.custom())
    with pytest.raises(ValueError, match="phase: 'switch' is for an authority that serves"):
        registered(serves=False, generation=2, phase="switch")


@pytest.mark.slow
def test_every_private_key_is_secret_wherever_it_goes() -> None:
    for generation, phase in STEPS:
        recording = registered(generation=generation, phase=phase)
        values = {item.name: item.inputs for item in recording.registrations}
        values |= {f"output of {name}": outputs for name, outputs in recording.component_outputs.items()}
        found = [
            (name, path, secret)
            for name, inputs in values.items()
            for path, value, secret in leaves(inputs)
            if isinstance(value, str) and "BEGIN canary" in value
        ]
        assert len(found) == len(recording.of_type("tls:index/selfSignedCert:SelfSignedCert")) + 3
        assert all(secret for _, _, secret in found), found


def test_a_guard_that_fails_stops_the_step_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    register = RecordingMonitor.RegisterResource

    def watched(monitor: RecordingMonitor, request: Any) -> Any:
        asked.append(request.name)
        return register(monitor, request)

    def refuse(_: Any) -> bool:
        raise pulumi.RunError("not now")

    def program() -> None:
        permitted = pulumi.Output.from_input(1).apply(refuse)
        Certificates("certificates", {"dns_names": [HOST], "permitted": permitted})  # type: ignore[arg-type]

    monkeypatch.setattr(RecordingMonitor, "RegisterResource", watched)
    with pytest.raises(Exception, match="not now"):
        record(program)
    # Finalizers report what the stopped program leaves waiting. They may run while a module is being parsed, which
    # CPython 3.11 does not survive (gh-106905), so collect now.
    gc.collect()
    assert [name for name in asked if name.startswith("certificates-")] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "DSA"}, "algorithm: 'DSA' is not one of ECDSA, RSA"),
        ({"previous_algorithm": "DSA"}, "algorithm: 'DSA' is not one of ECDSA, RSA"),
        ({"phase": "begin"}, "phase: 'begin' is not one of"),
        ({"phase": "switch"}, "generation: 1 is less than 2"),
    ],
)
def test_what_there_is_not_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registered(**arguments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dns_names": []}, "dns_names: is empty; pass the names by which Teleport dials the access graph"),
        (
            {"certificate_validity_hours": 720},
            "certificate_early_renewal_hours: 720 is not below the 720 of certificate_validity_hours",
        ),
        ({"ca_validity_hours": 8760}, "ca_early_renewal_hours: 8760 is not below the 8760 of ca_validity_hours"),
        ({"certificate_validity_hours": 9529}, "certificate_validity_hours: 9529 is more than 397 days"),
    ],
)
def test_a_certificate_without_a_name_or_with_a_life_that_cannot_be_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        registered(**changes)


def test_what_is_known_later_and_what_is_not_made_is_not_looked_at() -> None:
    def program() -> None:
        later = {"dns_names": [HOST], "certificate_validity_hours": 24}
        Certificates("certificates", {key: pulumi.Output.from_input(value) for key, value in later.items()})  # type: ignore[arg-type]

    later = record(program)
    assert later["certificates-server"].plain("validityPeriodHours") == 24
    ahead = registered(dns_names=[], serves=False, certificate_validity_hours=24)
    assert names(ahead) == {"certificates-ca-1", "certificates-ca-1-key"}
