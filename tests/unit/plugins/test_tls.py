"""The tls stand-in: forms of keys, contents of certificates, renewal, and what it refuses."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.tls import schemas
from sandbox.plugins.tls.provider import TlsProvider
from sandbox.plugins.values import UNKNOWN, Properties, Secret, unwrap

pytestmark = pytest.mark.unit

PROVIDER = TlsProvider()
AUTHORITY = {
    "allowedUses": ["cert_signing", "crl_signing"],
    "isCaCertificate": True,
    "validityPeriodHours": 100,
    "subject": {"commonName": "the authority", "organization": "Example"},
}
LEAF = {"allowedUses": ["server_auth"], "validityPeriodHours": 10, "earlyRenewalHours": 2}


def make(type_: str, inputs: Properties) -> Properties:
    checked = PROVIDER.check("urn", type_, {}, inputs, b"")
    assert checked.failures == []
    return PROVIDER.create("urn", type_, checked.inputs, 0, False)[1]


def key(algorithm: str = "ECDSA", **inputs: Any) -> Properties:
    curve = {"ecdsaCurve": "P256"} if algorithm == "ECDSA" else {}
    return make(schemas.PRIVATE_KEY, {"algorithm": algorithm, **curve, **inputs})


@pytest.fixture(scope="module")
def authority_key() -> Properties:
    return key()


@pytest.fixture(scope="module")
def authority(authority_key: Properties) -> Properties:
    return make(schemas.SELF_SIGNED, {**AUTHORITY, "privateKeyPem": authority_key["privateKeyPem"]})


@pytest.fixture(scope="module")
def leaf_inputs(authority_key: Properties, authority: Properties) -> Properties:
    names = {"dnsNames": ["a.example", "b.example"], "ipAddresses": ["127.0.0.1", "::1"], "uris": ["spiffe://a/b"]}
    request = make(schemas.CERT_REQUEST, {"privateKeyPem": key()["privateKeyPem"], **names})
    return {
        **LEAF,
        "certRequestPem": request["certRequestPem"],
        "caCertPem": authority["certPem"],
        "caPrivateKeyPem": authority_key["privateKeyPem"],
    }


def certificate(outputs: Properties) -> x509.Certificate:
    return x509.load_pem_x509_certificate(outputs["certPem"].encode())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("inputs", "label", "kind"),
    [
        ({"algorithm": "RSA"}, "RSA PRIVATE KEY", rsa.RSAPrivateKey),
        ({"algorithm": "ECDSA", "ecdsaCurve": "P384"}, "EC PRIVATE KEY", ec.EllipticCurvePrivateKey),
        ({"algorithm": "ED25519"}, "PRIVATE KEY", ed25519.Ed25519PrivateKey),
    ],
)
def test_every_form_of_a_key_is_the_same_key(inputs: Properties, label: str, kind: type) -> None:
    outputs = unwrap(key(**inputs))
    assert outputs["privateKeyPem"].startswith(f"-----BEGIN {label}-----\n")
    assert outputs["privateKeyPemPkcs8"].startswith("-----BEGIN PRIVATE KEY-----\n")
    usual = serialization.load_pem_private_key(outputs["privateKeyPem"].encode(), None)
    assert isinstance(usual, kind)
    others = [
        serialization.load_pem_private_key(outputs["privateKeyPemPkcs8"].encode(), None).public_key(),
        serialization.load_ssh_private_key(outputs["privateKeyOpenssh"].encode(), None).public_key(),
        serialization.load_pem_public_key(outputs["publicKeyPem"].encode()),
        serialization.load_ssh_public_key(outputs["publicKeyOpenssh"].encode()),
    ]
    assert all(public == usual.public_key() for public in others)
    der = usual.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert outputs["id"] == hashlib.sha1(der).hexdigest()


def test_openssh_knows_no_p224_which_is_the_default_curve() -> None:
    outputs = unwrap(make(schemas.PRIVATE_KEY, {"algorithm": "ECDSA"}))
    assert outputs["ecdsaCurve"] == "P224"
    assert {outputs[name] for name in outputs if "penssh" in name or "Fingerprint" in name} == {""}


def test_an_rsa_size_that_is_no_keys_is_an_error_of_the_resource() -> None:
    with pytest.raises(ResourceError, match="rsaBits 100"):
        key("RSA", rsaBits=100)


def test_an_authority_has_what_a_chain_needs(authority: Properties) -> None:
    found = certificate(authority)
    assert found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "Example"
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length, constraints.critical) == (True, None, True)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    identifier = found.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert identifier == x509.SubjectKeyIdentifier.from_public_key(found.public_key())
    assert authority["id"] == str(found.serial_number)
    assert authority["keyAlgorithm"] == "ECDSA"


def test_a_leaf_has_the_names_of_its_request_and_chains_to_its_authority(
    leaf_inputs: Properties, authority: Properties
) -> None:
    outputs = make(schemas.LOCALLY_SIGNED, leaf_inputs)
    found = certificate(outputs)
    found.verify_directly_issued_by(certificate(authority))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["a.example", "b.example"]
    assert [str(address) for address in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://a/b"]
    assert names.critical, "a certificate without a subject is named by these alone"
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
    issuer = found.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    subject = certificate(authority).extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert issuer.key_identifier == subject.digest
    assert found.not_valid_after_utc - found.not_valid_before_utc == timedelta(hours=10)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,8}[1-9])?Z", outputs["validityEndTime"])


def test_the_path_length_is_kept_also_when_it_is_zero(authority_key: Properties) -> None:
    outputs = make(
        schemas.SELF_SIGNED, {**AUTHORITY, "privateKeyPem": authority_key["privateKeyPem"], "maxPathLength": 0}
    )
    assert certificate(outputs).extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def difference(inputs: Properties, outputs: Properties, **changed: Any) -> tuple[bool, list[str]]:
    news = {**inputs, **changed}
    found = PROVIDER.diff("urn", schemas.LOCALLY_SIGNED, outputs["id"], inputs, outputs, news, [])
    return found.changes, found.replaces


def ending(outputs: Properties, hours: float) -> Properties:
    end = datetime.now(timezone.utc) + timedelta(hours=hours)
    # Nine fractional digits, as the official plugin writes them: a state may come from there.
    return {**outputs, "validityEndTime": end.strftime("%Y-%m-%dT%H:%M:%S.123456789Z")}


def test_renewal_is_due_when_its_window_begins(leaf_inputs: Properties) -> None:
    outputs = make(schemas.LOCALLY_SIGNED, leaf_inputs)
    assert difference(leaf_inputs, outputs) == (False, [])
    assert difference(leaf_inputs, ending(outputs, 2.1)) == (False, [])
    assert difference(leaf_inputs, ending(outputs, 1.9)) == (True, ["readyForRenewal"])
    assert difference(leaf_inputs, ending(outputs, -1)) == (True, ["readyForRenewal"])


def test_a_refresh_says_that_renewal_is_due_and_the_next_update_still_renews(leaf_inputs: Properties) -> None:
    outputs = ending(make(schemas.LOCALLY_SIGNED, leaf_inputs), 1)
    read = PROVIDER.read("urn", schemas.LOCALLY_SIGNED, outputs["id"], leaf_inputs, outputs)
    assert read is not None
    assert read[2]["readyForRenewal"] is True
    assert difference(leaf_inputs, read[2]) == (True, ["readyForRenewal"])


def test_a_longer_window_is_an_update_that_keeps_the_certificate(leaf_inputs: Properties) -> None:
    outputs = make(schemas.LOCALLY_SIGNED, leaf_inputs)
    assert difference(leaf_inputs, outputs, earlyRenewalHours=3) == (True, [])
    news = {**leaf_inputs, "earlyRenewalHours": 3}
    updated = PROVIDER.update("urn", schemas.LOCALLY_SIGNED, outputs["id"], leaf_inputs, outputs, news, 0, False, [])
    assert updated == {**outputs, "earlyRenewalHours": 3}


def test_a_window_that_is_not_known_yet_is_refused_once_there_is_a_certificate(leaf_inputs: Properties) -> None:
    outputs = make(schemas.LOCALLY_SIGNED, leaf_inputs)
    with pytest.raises(ResourceError, match="early_renewal_hours"):
        difference(leaf_inputs, outputs, earlyRenewalHours=UNKNOWN)


@pytest.mark.parametrize("uri", [":", "a b://c", "://host"])
def test_a_uri_without_a_scheme_before_its_colon_is_refused(uri: str) -> None:
    with pytest.raises(ResourceError, match="Invalid URI"):
        make(schemas.CERT_REQUEST, {"privateKeyPem": key()["privateKeyPem"], "uris": [uri]})


@pytest.mark.parametrize("name", ["caCertPem", "caPrivateKeyPem", "certRequestPem"])
def test_a_leaf_is_issued_again_when_what_it_comes_from_will_change(leaf_inputs: Properties, name: str) -> None:
    outputs = make(schemas.LOCALLY_SIGNED, leaf_inputs)
    assert difference(leaf_inputs, outputs, **{name: UNKNOWN}) == (True, [name])


@pytest.mark.parametrize(
    ("type_", "changed", "failure"),
    [
        (schemas.PRIVATE_KEY, {"algorithm": "DSA"}, ("algorithm", "'DSA' is none of")),
        (schemas.PRIVATE_KEY, {"ecdsaCurve": "P255"}, ("ecdsaCurve", "'P255' is none of")),
        (schemas.PRIVATE_KEY, {"algorithm": None}, ("algorithm", "missing required")),
        (schemas.PRIVATE_KEY, {"ecdsacurve": "P256"}, ("ecdsacurve", "did you mean 'ecdsaCurve'")),
        (schemas.PRIVATE_KEY, {"rsaBits": "2048"}, ("rsaBits", "must be an integer")),
        (schemas.SELF_SIGNED, {"allowedUses": ["server"]}, ("allowedUses", "'server' is none of")),
        (schemas.SELF_SIGNED, {"validityPeriodHours": -1}, ("validityPeriodHours", "-1 is less than 0")),
        (schemas.SELF_SIGNED, {"subject": {"common_name": "x"}}, ("subject.common_name", "did you mean 'commonName'")),
        (schemas.SELF_SIGNED, {"isCaCertificate": "true"}, ("isCaCertificate", "must be a boolean")),
        (schemas.SELF_SIGNED, {"privateKeyPemWo": "x"}, ("privateKeyPemWo", "has no property")),
        (schemas.SELF_SIGNED, {"dnsNames": "a.example"}, ("dnsNames", "must be a list of strings")),
    ],
)
def test_a_wrong_input_is_refused_by_name(type_: str, changed: Properties, failure: tuple[str, str]) -> None:
    correct: dict[str, Properties] = {
        schemas.PRIVATE_KEY: {"algorithm": "ECDSA"},
        schemas.SELF_SIGNED: {**AUTHORITY, "privateKeyPem": Secret("pem")},
    }
    failures = PROVIDER.check("urn", type_, {}, {**correct[type_], **changed}, b"").failures
    assert [found.property for found in failures] == [failure[0]]
    assert failure[1] in failures[0].reason


def test_all_failures_come_at_once() -> None:
    failures = PROVIDER.check("urn", schemas.LOCALLY_SIGNED, {}, {"allowedUses": ["x"], "colour": "red"}, b"").failures
    assert {failure.property for failure in failures} == {
        "allowedUses",
        "colour",
        "caCertPem",
        "caPrivateKeyPem",
        "certRequestPem",
        "validityPeriodHours",
    }


def test_a_private_key_given_in_plain_becomes_a_secret() -> None:
    checked = PROVIDER.check("urn", schemas.CERT_REQUEST, {}, {"privateKeyPem": "pem"}, b"")
    assert checked.inputs == {"privateKeyPem": Secret("pem")}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"caPrivateKeyPem": "nonsense hunter2"}, "CA private key PEM: not a private key"),
        ({"caCertPem": "nonsense"}, 'expected type "CERTIFICATE"'),
        ({"certRequestPem": "nonsense"}, 'expected type "CERTIFICATE REQUEST"'),
        ({"maxPathLength": 1}, "only CAs are allowed"),
        ({"allowedUses": ["encipher_only"]}, "only with key_agreement"),
    ],
)
def test_what_cannot_be_signed_is_an_error_without_the_key_in_it(
    leaf_inputs: Properties, changed: Properties, message: str
) -> None:
    with pytest.raises(ResourceError, match=message) as caught:
        make(schemas.LOCALLY_SIGNED, {**leaf_inputs, **changed})
    assert "hunter2" not in str(caught.value)


def test_an_authority_signs_only_with_its_own_key(leaf_inputs: Properties) -> None:
    with pytest.raises(ResourceError, match="is not the key of caCertPem"):
        make(schemas.LOCALLY_SIGNED, {**leaf_inputs, "caPrivateKeyPem": key()["privateKeyPem"]})


def test_an_authority_needs_a_name(authority_key: Properties) -> None:
    with pytest.raises(ResourceError, match="Invalid Certificate Subject"):
        make(schemas.SELF_SIGNED, {**AUTHORITY, "subject": {}, "privateKeyPem": authority_key["privateKeyPem"]})


def test_who_signs_without_being_an_authority_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(PROVIDER, "log", lambda severity, message, urn: warnings.append(f"{severity}: {message}"))
    pem = key()["privateKeyPem"]
    signer = make(schemas.SELF_SIGNED, {**AUTHORITY, "isCaCertificate": False, "privateKeyPem": pem})
    request = make(schemas.CERT_REQUEST, {"privateKeyPem": pem})
    inputs = {"certRequestPem": request["certRequestPem"], "caCertPem": signer["certPem"], "caPrivateKeyPem": pem}
    make(schemas.LOCALLY_SIGNED, {**LEAF, **inputs})
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: Potentially Invalid Certificate Authority")


@pytest.mark.parametrize("type_", sorted(schemas.SCHEMAS))
def test_nothing_can_be_imported(type_: str) -> None:
    with pytest.raises(ResourceError, match="does not support import"):
        PROVIDER.read("urn", type_, "id", {}, {})


def test_another_type_is_refused() -> None:
    with pytest.raises(
        ResourceError, match="has no resource type tls:index/other:Other; install the official tls plugin"
    ):
        PROVIDER.check("urn", "tls:index/other:Other", {}, {}, b"")
