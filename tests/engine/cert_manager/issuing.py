"""Keys and certificates from a Certificate's `spec`, signed by the pair of a CA issuer.

Pure. `policies` decides when one is due. The contents are those of cert-manager's CA issuer: no subject key identifier,
the issuer's as authority key identifier, `tls.crt` without the root, the root as `ca.crt`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components.pem_certificates import is_authority

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Spec: TypeAlias = Mapping[str, Any]

CURVES: dict[int, ec.EllipticCurve] = {256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
DEFAULT_SIZES = {"RSA": 2048, "ECDSA": 256}
DEFAULT_USAGES = ("digital signature", "key encipherment")
DEFAULT_HOURS = 2160

KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "key agreement": "key_agreement",
    "data encipherment": "data_encipherment",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
EXTENDED_USAGES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


class NotIssued(Exception):
    """Nothing can be issued in this state; the text says why, `reason` in one word."""

    def __init__(self, text: str, reason: str = "ErrGetKeyPair") -> None:
        super().__init__(text)
        self.reason = reason


class Refused(Exception):
    """An issuer that reported itself ready could not sign: a failure, after which nobody retries for an hour."""


@dataclass(frozen=True)
class SigningPair:
    """An authority's chain, its own certificate first, and its key."""

    chain: tuple[x509.Certificate, ...]
    key: Key

    @classmethod
    def read(cls, secret: str, data: Mapping[str, bytes] | None) -> SigningPair:
        """From the Secret of a CA issuer. Raises `NotIssued` with the text that cert-manager writes to the issuer's
        status.

        Like cert-manager, compares neither the key with the certificate nor its dates with the clock.
        """
        if data is None:
            raise NotIssued(f'Error getting keypair for CA issuer: secrets "{secret}" not found')
        for part in ("tls.crt", "tls.key"):
            if not data.get(part):
                raise NotIssued(f'Error getting keypair for CA issuer: no data for "{part}" in secret {secret!r}')
        try:
            chain = x509.load_pem_x509_certificates(data["tls.crt"])
            key = read_key(data["tls.key"])
            roots = x509.load_pem_x509_certificates(data["ca.crt"]) if data.get("ca.crt") else []
        except ValueError as error:
            raise NotIssued(f"Error getting keypair for CA issuer: {error}") from None
        constraints = [one.value for one in chain[0].extensions if isinstance(one.value, x509.BasicConstraints)]
        if not constraints or not constraints[0].ca:
            raise NotIssued("Error getting keypair for CA issuer: certificate is not a CA", "ErrInvalidKeyPair")
        return cls((*chain, *(one for one in roots if one not in chain)), key)


def duration(text: str | None, default: timedelta) -> timedelta:
    """A Go duration of hours, minutes and seconds."""
    if text is None:
        return default
    found = _DURATION.fullmatch(text)
    if found is None:
        raise NotIssued(f"{text!r} is no duration of hours, minutes and seconds")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def lifetime(spec: Spec) -> timedelta:
    return duration(spec.get("duration"), timedelta(hours=DEFAULT_HOURS))


def usages(spec: Spec) -> tuple[str, ...]:
    return tuple(spec.get("usages") or DEFAULT_USAGES)


def new_key(spec: Spec) -> Key:
    wanted = spec.get("privateKey") or {}
    algorithm, size = key_form(wanted)
    if algorithm == "ECDSA":
        return ec.generate_private_key(CURVES[size])
    if algorithm == "RSA":
        return rsa.generate_private_key(65537, size)
    raise NotIssued(f"this cert-manager makes no {algorithm} keys")


def key_form(wanted: Mapping[str, Any]) -> tuple[str, int]:
    """Algorithm and size in bits, defaults filled in."""
    algorithm = wanted.get("algorithm") or "RSA"
    return algorithm, int(wanted.get("size") or DEFAULT_SIZES.get(algorithm, 0))


def encode_key(key: Key, spec: Spec) -> bytes:
    """PKCS#1 (for an ECDSA key SEC 1), unless the spec says PKCS8."""
    encoding = (spec.get("privateKey") or {}).get("encoding") or "PKCS1"
    form = PrivateFormat.PKCS8 if encoding == "PKCS8" else PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def read_key(pem: bytes) -> Key:
    """Raises `ValueError`."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from None
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise ValueError("neither an RSA nor an ECDSA key")
    return key


def issue(spec: Spec, key: Key, signer: SigningPair, now: datetime) -> dict[str, bytes]:
    """The data of the Secret. Raises `NotIssued` and `Refused`."""
    authority = signer.chain[0]
    if signer.key.public_key() != authority.public_key():
        raise Refused(
            "Error signing certificate: error creating x509 certificate: x509: provided PrivateKey doesn't match "
            "parent's PublicKey"
        )
    common_name = spec.get("commonName")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.replace(microsecond=0))
        .not_valid_after(now.replace(microsecond=0) + lifetime(spec))
    )
    for extension, critical in _extensions(spec, authority, named=bool(common_name)):
        builder = builder.add_extension(extension, critical)
    leaf = builder.sign(signer.key, hashes.SHA256())
    if not all(_signed(one, by) for one, by in pairwise((leaf, *signer.chain))):
        raise Refused("Error signing certificate: certificate chain is malformed or broken")
    *between, last = signer.chain
    chain: Sequence[x509.Certificate] = [leaf, *between]
    if last.issuer != last.subject:
        chain = [*chain, last]
    return {
        "tls.crt": b"".join(one.public_bytes(Encoding.PEM) for one in chain),
        "tls.key": encode_key(key, spec),
        "ca.crt": last.public_bytes(Encoding.PEM),
    }


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether `authority` signed the certificate: one that may not sign counts as having signed nothing."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return is_authority(authority)


def _extensions(spec: Spec, authority: x509.Certificate, named: bool) -> list[tuple[x509.ExtensionType, bool]]:
    wanted = usages(spec)
    unknown = [usage for usage in wanted if usage not in KEY_USAGES and usage not in EXTENDED_USAGES]
    if unknown:
        raise NotIssued(f"this cert-manager does not know the usages {', '.join(unknown)}")
    flags = {KEY_USAGES[usage] for usage in wanted if usage in KEY_USAGES}
    extended = [EXTENDED_USAGES[usage] for usage in wanted if usage in EXTENDED_USAGES]
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if flags:
        extensions.append((x509.KeyUsage(**{flag: flag in flags for flag in KEY_USAGES.values()}), True))
    if extended:
        extensions.append((x509.ExtendedKeyUsage(extended), False))
    extensions.append((x509.BasicConstraints(ca=False, path_length=None), True))
    try:
        identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False))
    except x509.ExtensionNotFound:
        pass  # an authority without one is referred to by name only
    names = spec.get("dnsNames") or []
    if names:
        extensions.append((x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), not named))
    return extensions
