"""Authorities and server certificates made for a test; valid unless the test asks otherwise."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOST = "teleport-access-graph.teleport-access-graph.svc.cluster.local"
NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Pair:
    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def authority(
    name: str = "Authority",
    *,
    key: Key | None = None,
    begins: datetime = NOW - timedelta(days=3650),
    ends: datetime = NOW + timedelta(days=3650),
    is_authority: bool = True,
    signs: bool = True,
    signer: Pair | None = None,
) -> Pair:
    """A self-signed authority, or an intermediate one signed by `signer`; `signs` sets its key usage. With the `key` of
    another authority, it is that authority renewed."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=False,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=signs,
                crl_sign=True,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    return Pair(builder.sign(key if signer is None else signer.key, hashes.SHA256()), key)


def server(
    signer: Pair,
    *,
    names: Sequence[str] | bytes = (HOST,),
    begins: datetime = NOW - timedelta(days=1),
    ends: datetime = NOW + timedelta(days=90),
    uses: Sequence[x509.ObjectIdentifier] | None = (ExtendedKeyUsageOID.SERVER_AUTH,),
) -> Pair:
    """A server certificate. With `uses` None it has no such extension; `names` may be DER that nobody can parse."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Teleport Access Graph")]))
        .issuer_name(signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()),
            critical=False,
        )
    )
    if isinstance(names, bytes):
        builder = builder.add_extension(
            x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, names), critical=False
        )
    elif names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    if uses is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return Pair(builder.sign(signer.key, hashes.SHA256()), key)


def of_unknown_version(pem: str) -> str:
    """The same certificate with a version that X.509 does not define."""
    der = ssl.PEM_cert_to_DER_cert(pem)
    return ssl.DER_cert_to_PEM_cert(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01", 1))
