"""A certificate of the tls stand-in has, byte for byte, the form that the official plugin gives one with the same
inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.plugins.tls.certificates import Issuer, issue
from sandbox.plugins.tls.keys import PublicKey

pytestmark = pytest.mark.unit

# From the official plugin tls 5.6.2: an authority and a certificate that it signed, of the same run as
# random-and-tls.json.
AUTHORITY, SERVER = x509.load_pem_x509_certificates(
    Path(__file__).with_name("recordings").joinpath("certificates.pem").read_bytes()
)
AUTHORITY_INPUTS = {
    "allowedUses": ["cert_signing", "crl_signing"],
    "isCaCertificate": True,
    "setSubjectKeyId": True,
    "setAuthorityKeyId": False,
    "validityPeriodHours": 87600,
}
SERVER_INPUTS = {
    "allowedUses": ["server_auth", "client_auth", "digital_signature"],
    "isCaCertificate": False,
    "setSubjectKeyId": False,
    "validityPeriodHours": 9000,
}
SIGNER = ec.generate_private_key(ec.SECP256R1())


def made(inputs: dict[str, Any], recorded: x509.Certificate, issuer: Issuer | None) -> x509.Certificate:
    """The certificate for the recorded inputs, with the recorded key and names; only the signing key differs."""
    key: Any = recorded.public_key()
    public: PublicKey = key
    names: list[x509.GeneralName] = []
    for extension in recorded.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = list(extension.value)
    _, outputs = issue(inputs, public, recorded.subject, names, issuer, None if issuer else SIGNER)
    return x509.load_pem_x509_certificate(outputs["certPem"].encode())


def form(certificate: x509.Certificate) -> dict[str, Any]:
    """Everything in a certificate that stays the same from one issue to the next."""
    return {
        "version": certificate.version,
        "issuer": certificate.issuer.public_bytes(),
        "subject": certificate.subject.public_bytes(),
        "signature": certificate.signature_algorithm_oid,
        "life": certificate.not_valid_after_utc - certificate.not_valid_before_utc,
        "extensions": [(one.oid, one.critical, one.value.public_bytes()) for one in certificate.extensions],
    }


def test_an_authority_has_the_recorded_form() -> None:
    assert form(made(AUTHORITY_INPUTS, AUTHORITY, None)) == form(AUTHORITY)


def test_a_server_certificate_has_the_recorded_form() -> None:
    identifier = AUTHORITY.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    issuer = Issuer(AUTHORITY.subject, identifier, SIGNER)
    assert form(made(SERVER_INPUTS, SERVER, issuer)) == form(SERVER)


def test_serial_numbers_are_of_128_random_bits_as_the_recorded_ones() -> None:
    numbers = [made(AUTHORITY_INPUTS, AUTHORITY, None).serial_number for _ in range(40)]
    assert len(set(numbers)) == 40
    for serial in (*numbers, AUTHORITY.serial_number, SERVER.serial_number):
        assert 0 < serial < 2**128
    # That the highest eight bits of forty random numbers are all empty would be no accident.
    assert max(number.bit_length() for number in numbers) > 120


def test_what_the_authority_signed_says_by_which_key() -> None:
    signer = SERVER.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    own = AUTHORITY.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert signer == own
    SERVER.verify_directly_issued_by(AUTHORITY)
