"""Certificate requests and certificates, with extensions in the order and form that Go's crypto/x509 gives them.

Owns the contents of certificates; `provider.py` decides when one is renewed.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.tls.keys import PrivateKey, PublicKey, public_key_der
from sandbox.plugins.tls.schemas import EXTENDED_KEY_USAGES, KEY_USAGES
from sandbox.plugins.values import Properties

# The order of Go's pkix.Name.
SUBJECT_ORDER = (
    ("country", NameOID.COUNTRY_NAME),
    ("organization", NameOID.ORGANIZATION_NAME),
    ("organizationalUnit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("locality", NameOID.LOCALITY_NAME),
    ("province", NameOID.STATE_OR_PROVINCE_NAME),
    ("streetAddresses", NameOID.STREET_ADDRESS),
    ("postalCode", NameOID.POSTAL_CODE),
    ("commonName", NameOID.COMMON_NAME),
    ("serialNumber", NameOID.SERIAL_NUMBER),
    ("emailAddress", NameOID.EMAIL_ADDRESS),
)


@dataclass(frozen=True)
class Issuer:
    """The signer: its name, its subject key identifier (if it has one) and its key."""

    name: x509.Name
    key_identifier: bytes | None
    key: PrivateKey


def subject_name(subject: Mapping[str, Any] | None) -> x509.Name:
    attributes = []
    for field, oid in SUBJECT_ORDER:
        given = (subject or {}).get(field)
        values = given if isinstance(given, list) else [given]
        try:
            attributes += [x509.NameAttribute(oid, value) for value in values if value]
        except ValueError as error:
            raise ResourceError(f"subject.{field}: {error}") from error
    return x509.Name(attributes)


def alternative_names(
    dns_names: Sequence[str], ip_addresses: Sequence[str], uris: Sequence[str]
) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
    for address in ip_addresses:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError as error:
            raise ResourceError(f'Invalid IP address: Failed to parse "{address}"') from error
    for uri in uris:
        # As in Go's net/url, whatever precedes a colon in the first segment is a scheme.
        scheme, colon, _ = uri.partition("/")[0].partition(":")
        if colon and not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
            raise ResourceError(f'Invalid URI: Failed to parse "{uri}"')
        names.append(x509.UniformResourceIdentifier(uri))
    return names


def request(key: PrivateKey, name: x509.Name, alternatives: Sequence[x509.GeneralName]) -> tuple[str, Properties]:
    """The id (SHA-1 of the request, hexadecimal) and the PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signed = builder.sign(key, _hash(key))
    pem = signed.public_bytes(serialization.Encoding.PEM).decode()
    digest = hashlib.sha1(signed.public_bytes(serialization.Encoding.DER)).hexdigest()
    return digest, {"certRequestPem": pem}


def parse_request(pem: str) -> x509.CertificateSigningRequest:
    _expect(pem, "CERTIFICATE REQUEST", "certificate request")
    try:
        parsed = x509.load_pem_x509_csr(pem.encode())
    except ValueError as error:
        raise ResourceError(f"Failed to parse certificate request PEM: {error}") from error
    return parsed


def parse_certificate(pem: str) -> x509.Certificate:
    """The first certificate in the text, as the official plugin reads it."""
    _expect(pem, "CERTIFICATE", "CA certificate")
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise ResourceError(f"Failed to parse CA certificate PEM: {error}") from error


def _expect(pem: str, label: str, what: str) -> None:
    if not pem.lstrip().startswith(f"-----BEGIN {label}-----"):
        raise ResourceError(f'Failed to parse {what} PEM: failed to decode PEM of expected type "{label}" from bytes')


def request_contents(
    parsed: x509.CertificateSigningRequest,
) -> tuple[PublicKey, x509.Name, list[x509.GeneralName]]:
    """The key, the subject and the names that a certificate adopts: DNS names, addresses and URIs, no others."""
    try:
        given = list(parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        given = []
    kept = [
        name
        for kind in (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier)
        for name in given
        if isinstance(name, kind)
    ]
    return parsed.public_key(), parsed.subject, kept  # type: ignore[return-value]


def locally(ca_pem: str, ca_key: PrivateKey) -> tuple[Issuer, bool]:
    """The issuer, and whether its certificate marks it as a CA (if not, the official plugin only warns)."""
    certificate = parse_certificate(ca_pem)
    if public_key_der(certificate.public_key()) != public_key_der(ca_key.public_key()):  # type: ignore[arg-type]
        raise ResourceError("Failed to create certificate: caPrivateKeyPem is not the key of caCertPem")
    try:
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_authority = False
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        identifier = None
    return Issuer(certificate.subject, identifier, ca_key), is_authority


def issue(
    wanted: Mapping[str, Any],
    public_key: PublicKey,
    name: x509.Name,
    alternatives: Sequence[x509.GeneralName],
    issuer: Issuer | None,
    self_key: PrivateKey | None = None,
) -> tuple[str, Properties]:
    """The id (serial number, decimal) and the computed outputs. With `issuer` None, `self_key` signs for itself."""
    authority = wanted["isCaCertificate"]
    if authority and not name.rdns:
        raise ResourceError(
            "Invalid Certificate Subject: Must contain at least one Distinguished Name "
            "when creating Certificate Authority (CA)"
        )
    if wanted.get("maxPathLength") is not None and not authority:
        raise ResourceError("Failed to create certificate: only CAs are allowed to specify maxPathLength")
    identifier = key_identifier(public_key) if authority or wanted["setSubjectKeyId"] else None
    if issuer is None:
        assert self_key is not None
        if wanted.get("setAuthorityKeyId") and identifier is None:
            raise ResourceError("Invalid Certificate Authority: Could not determine Authority Key Identifier")
        issuer = Issuer(name, identifier if wanted.get("setAuthorityKeyId") else None, self_key)

    start = datetime.now(timezone.utc)
    end = start + timedelta(hours=wanted["validityPeriodHours"])
    serial = secrets.randbelow(2**128 - 1) + 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.name)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(start.replace(microsecond=0))
        .not_valid_after(end.replace(microsecond=0))
    )
    for extension, critical in _extensions(wanted, identifier, issuer.key_identifier, alternatives, bool(name.rdns)):
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(issuer.key, _hash(issuer.key))
    return str(serial), {
        "certPem": signed.public_bytes(serialization.Encoding.PEM).decode(),
        "validityStartTime": format_time(start),
        "validityEndTime": format_time(end),
    }


def _extensions(
    wanted: Mapping[str, Any],
    identifier: bytes | None,
    issuer_identifier: bytes | None,
    alternatives: Sequence[x509.GeneralName],
    named: bool,
) -> list[tuple[x509.ExtensionType, bool]]:
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    uses = wanted["allowedUses"]
    plain = {KEY_USAGES[use] for use in uses if use in KEY_USAGES}
    if plain:
        if plain & {"encipher_only", "decipher_only"} and "key_agreement" not in plain:
            # RFC 5280, 4.2.1.3 leaves their meaning undefined then; Go writes them all the same, this library does not.
            raise ResourceError("allowedUses: encipher_only and decipher_only have a meaning only with key_agreement")
        flags = {flag: flag in plain for flag in KEY_USAGES.values()}
        extensions.append((x509.KeyUsage(**flags), True))
    extended = [x509.ObjectIdentifier(EXTENDED_KEY_USAGES[use]) for use in uses if use in EXTENDED_KEY_USAGES]
    if extended:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    length = wanted.get("maxPathLength")
    extensions.append((x509.BasicConstraints(ca=wanted["isCaCertificate"], path_length=length), True))
    if identifier is not None:
        extensions.append((x509.SubjectKeyIdentifier(identifier), False))
    if issuer_identifier is not None:
        extensions.append((x509.AuthorityKeyIdentifier(issuer_identifier, None, None), False))
    if alternatives:
        # RFC 5280, 4.2.1.6: critical when no subject names the holder.
        extensions.append((x509.SubjectAlternativeName(alternatives), not named))
    return extensions


def key_identifier(key: PublicKey) -> bytes:
    """SHA-1 of the public key; for ED25519, of its encoding as an OCTET STRING, as in the official plugin."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return hashlib.sha1(b"\x04\x20" + key.public_bytes_raw()).digest()
    return x509.SubjectKeyIdentifier.from_public_key(key).digest


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC to the nanosecond, as Go writes it: without trailing zeros in the fraction."""
    # Python's clock stops at microseconds; a state written by the official plugin has all nine digits.
    nanoseconds = moment.microsecond * 1000 + time.time_ns() % 1000
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def _hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return hashes.SHA512() if key.key_size > 384 else hashes.SHA384() if key.key_size == 384 else hashes.SHA256()
    return hashes.SHA256()
