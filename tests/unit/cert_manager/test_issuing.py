"""The engine tests' cert-manager: what it issues, when it issues anew, and when it reports that a certificate is
ready."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from components.issued_certificates import PRIVATE_KEYS, USAGES
from operations.checks.certificate import check_pair
from operations.findings import Outcome
from tests.engine.cert_manager.issuing import NotIssued, Refused, SigningPair, duration, issue, new_key, read_key
from tests.engine.cert_manager.policies import Held, not_ready, renewal_time, to_issue
from tests.unit.certificates.pki import HOST, NOW, Pair, authority, server

pytestmark = pytest.mark.unit

ROOT = authority("Root")
BETWEEN = authority("Between", signer=ROOT)
REFERENCE = {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"}
ANNOTATIONS = {
    "cert-manager.io/issuer-name": "ca",
    "cert-manager.io/issuer-kind": "Issuer",
    "cert-manager.io/issuer-group": "cert-manager.io",
}


def spec(algorithm: str = "ECDSA", **changes: Any) -> dict[str, Any]:
    """The spec as the program requests it."""
    return {
        "secretName": "pair",
        "dnsNames": [HOST],
        "duration": "2160h0m0s",
        "renewBefore": "720h0m0s",
        "privateKey": {**PRIVATE_KEYS[algorithm], "encoding": "PKCS8", "rotationPolicy": "Always"},
        "usages": USAGES[algorithm],
        "issuerRef": REFERENCE,
        **changes,
    }


def signer(*chain: Pair) -> SigningPair:
    data = {"tls.crt": "".join(one.pem for one in chain).encode(), "tls.key": chain[0].key_pem.encode()}
    return SigningPair.read("ca", data)


def held(wanted: dict[str, Any], *chain: Pair, **annotations: str) -> Held:
    return Held(issue(wanted, new_key(wanted), signer(*(chain or (ROOT,))), NOW), {**ANNOTATIONS, **annotations})


def test_what_is_issued_is_what_was_asked_for() -> None:
    found = held(spec())
    certificate, key = found.certificate, found.key
    certificate.verify_directly_issued_by(ROOT.certificate)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate.public_key()
    assert found.data["tls.key"].startswith(b"-----BEGIN PRIVATE KEY-----\n")
    assert found.data["ca.crt"].decode() == ROOT.pem
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=2160)
    parts = {type(one.value): one for one in certificate.extensions}
    names = parts[x509.SubjectAlternativeName]
    # RFC 5280, 4.2.1.6: the extension is critical, because there is no subject.
    assert (names.value.get_values_for_type(x509.DNSName), names.critical) == ([HOST], True)
    assert list(parts[x509.ExtendedKeyUsage].value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert parts[x509.KeyUsage].value.digital_signature
    assert not parts[x509.KeyUsage].value.key_encipherment
    assert parts[x509.BasicConstraints].value.ca is False
    assert x509.SubjectKeyIdentifier not in parts


def test_what_has_no_subject_is_told_by_its_name() -> None:
    data = held(spec()).data
    found = check_pair(data["tls.crt"], data["tls.key"], names=[HOST], trust=ROOT.pem, now=NOW, where="the Secret")
    assert {one.outcome for one in found} == {Outcome.PASS}
    assert found[-1].reason == f"{HOST} <- CN=Root"


@pytest.mark.slow
def test_an_rsa_key_and_the_older_encoding() -> None:
    wanted = spec("RSA", privateKey={"algorithm": "RSA", "size": 2048})
    found = held(wanted)
    assert isinstance(found.key, rsa.RSAPrivateKey)
    assert found.key.key_size == 2048
    assert found.data["tls.key"].startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")


def test_an_intermediate_authority_comes_after_the_certificate_and_its_root_apart() -> None:
    found = held(spec(), BETWEEN, ROOT)
    chain = x509.load_pem_x509_certificates(found.data["tls.crt"])
    assert chain[1:] == [BETWEEN.certificate]
    assert found.data["ca.crt"].decode() == ROOT.pem


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, 'secrets "ca" not found'),
        ({}, "tls.crt"),
        ({"tls.crt": b"x", "tls.key": b"x"}, "Error getting keypair for CA issuer"),
        ({"tls.crt": ROOT.pem.encode()}, 'no data for "tls.key"'),
    ],
)
def test_an_issuer_without_a_pair_says_why(data: dict[str, bytes] | None, words: str) -> None:
    with pytest.raises(NotIssued, match=words):
        SigningPair.read("ca", data)


def test_who_is_no_authority_signs_nothing() -> None:
    leaf = server(ROOT)
    with pytest.raises(NotIssued, match="certificate is not a CA") as raised:
        signer(leaf)
    assert raised.value.reason == "ErrInvalidKeyPair"


NO_SIGNER = authority("No signer", signs=False)


@pytest.mark.parametrize(
    ("chain", "key", "words"),
    [
        ((ROOT,), BETWEEN, "provided PrivateKey doesn't match parent's PublicKey"),
        ((ROOT, BETWEEN), BETWEEN, "provided PrivateKey doesn't match parent's PublicKey"),
        ((NO_SIGNER,), NO_SIGNER, "certificate chain is malformed or broken"),
        ((ROOT, authority("Stranger")), ROOT, "certificate chain is malformed or broken"),
    ],
)
def test_an_issuer_that_is_ready_may_fail_to_sign(chain: tuple[Pair, ...], key: Pair, words: str) -> None:
    data = {"tls.crt": "".join(one.pem for one in chain).encode(), "tls.key": key.key_pem.encode()}
    pair = SigningPair.read("ca", data)
    with pytest.raises(Refused, match=words):
        issue(spec(), new_key(spec()), pair, NOW)


def test_an_authority_whose_time_is_over_signs() -> None:
    ended = authority("Ended", ends=NOW - timedelta(days=1))
    assert held(spec(), ended).certificate.issuer == ended.certificate.subject


def test_a_root_beside_an_intermediate_authority_is_its_own_file() -> None:
    data = {"tls.crt": BETWEEN.pem.encode(), "tls.key": BETWEEN.key_pem.encode(), "ca.crt": ROOT.pem.encode()}
    issued = issue(spec(), new_key(spec()), SigningPair.read("ca", data), NOW)
    assert issued["ca.crt"].decode() == ROOT.pem
    assert x509.load_pem_x509_certificates(issued["tls.crt"])[1:] == [BETWEEN.certificate]


CASES: list[tuple[dict[str, Any], dict[str, str], str | None]] = [
    ({}, {}, None),
    ({"dnsNames": [HOST, "another.example"]}, {}, "RequestChanged"),
    ({"usages": ["digital signature", "server auth", "client auth"]}, {}, "RequestChanged"),
    ({"duration": "24h0m0s", "renewBefore": "8h0m0s"}, {}, "RequestChanged"),
    ({"privateKey": {"algorithm": "ECDSA", "size": 384}}, {}, "SecretMismatch"),
    ({"privateKey": {"algorithm": "RSA", "size": 4096}}, {}, "SecretMismatch"),
    ({"issuerRef": {"name": "another"}}, {}, "IncorrectIssuer"),
    ({}, {"cert-manager.io/issuer-kind": "ClusterIssuer"}, "IncorrectIssuer"),
]


@pytest.mark.parametrize(("changes", "annotations", "reason"), CASES)
def test_another_wish_is_issued_anew_and_is_not_ready_until_then(
    changes: dict[str, Any], annotations: dict[str, str], reason: str | None
) -> None:
    found = held(spec(), **annotations)
    for question in (to_issue, not_ready):
        violation = question(spec(**changes), found, NOW)
        assert (None if violation is None else violation.reason) == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"duration": "24h0m0s", "renewBefore": "8h0m0s"}, None),
        ({"usages": ["digital signature", "server auth", "client auth"]}, None),
        ({"dnsNames": [HOST, "another.example"]}, "SecretMismatch"),
        ({"issuerRef": {"name": "another"}}, "IncorrectIssuer"),
        ({"privateKey": {"algorithm": "RSA", "size": 4096}}, "SecretMismatch"),
    ],
)
def test_what_a_former_certificate_left_is_kept_whatever_its_life_and_uses(
    changes: dict[str, Any], reason: str | None
) -> None:
    found = replace(held(spec()), requested=False)
    for question in (to_issue, not_ready):
        violation = question(spec(**changes), found, NOW)
        assert (None if violation is None else violation.reason) == reason


def test_another_issuer_is_told_before_another_key() -> None:
    changed = spec(issuerRef={"name": "another"}, privateKey={"algorithm": "RSA", "size": 4096})
    violation = to_issue(changed, held(spec()), NOW)
    assert violation is not None
    assert violation.reason == "IncorrectIssuer"


def test_no_secret_or_half_of_one_is_issued() -> None:
    missing = to_issue(spec(), None, NOW)
    assert missing is not None
    assert missing == ("DoesNotExist", "Issuing certificate as Secret does not exist")
    whole = held(spec()).data
    for data, reason in (
        ({}, "MissingData"),
        ({"tls.key": whole["tls.key"]}, "MissingData"),
        ({**whole, "tls.crt": b"x"}, "InvalidCertificate"),
        ({**whole, "tls.key": b"x"}, "InvalidKeyPair"),
        ({**whole, "tls.key": ROOT.key_pem.encode()}, "InvalidKeyPair"),
    ):
        violation = to_issue(spec(), Held(data, ANNOTATIONS), NOW)
        assert violation is not None
        assert violation.reason == reason


def test_it_is_renewed_when_due_and_counts_until_its_end() -> None:
    found = held(spec())
    due = NOW + timedelta(hours=2160 - 720)
    assert renewal_time(found.certificate, spec()) == due
    assert to_issue(spec(), found, due - timedelta(seconds=1)) is None
    renewing = to_issue(spec(), found, due)
    assert renewing is not None
    assert renewing.reason == "Renewing"
    assert not_ready(spec(), found, due) is None
    expired = not_ready(spec(), found, NOW + timedelta(hours=2160, seconds=1))
    assert expired is not None
    assert expired.reason == "Expired"


def test_without_a_wish_the_last_third_of_its_life_is_for_renewal() -> None:
    wanted = spec(duration="3h0m0s", renewBefore=None)
    assert renewal_time(held(wanted).certificate, wanted) == NOW + timedelta(hours=2)


@pytest.mark.parametrize("text", ["30d", "1h 5m", "soon", "-1h"])
def test_a_duration_is_in_hours_minutes_and_seconds(text: str) -> None:
    assert duration("1h5m2s", timedelta()) == timedelta(hours=1, minutes=5, seconds=2)
    with pytest.raises(NotIssued, match="is no duration"):
        duration(text, timedelta())


def test_a_usage_that_it_does_not_know_is_an_error_and_not_left_out() -> None:
    with pytest.raises(NotIssued, match="does not know the usages netscape sgc"):
        issue(spec(usages=["netscape sgc"]), new_key(spec()), signer(ROOT), NOW)


def test_a_key_of_another_kind_is_no_key_here() -> None:
    with pytest.raises(ValueError, match=r"Could not deserialize|neither an RSA"):
        read_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
