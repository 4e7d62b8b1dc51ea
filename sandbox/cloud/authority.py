"""Stands in for the root that signs RDS's server certificates, and issues those certificates.

One root per home, created once; its certificate alone is the bundle that clients trust.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.pki import key_pem, key_usage, write_private

BUNDLE_NAME = "rds-ca-bundle.pem"
KEY_NAME = "rds-ca.key"

# AWS's roots of the g1 generation are valid 40 years (rsa2048) or 100 years (the others), server certificates one year.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html
ROOT_VALIDITY = datetime.timedelta(days=40 * 365)
SERVER_VALIDITY = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

DEFAULT_CA_IDENTIFIER = "rds-ca-rsa2048-g1"
CA_IDENTIFIERS = (DEFAULT_CA_IDENTIFIER, "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1")


@dataclass(frozen=True)
class ServerCertificate:
    certificate: bytes
    """PEM: the server's certificate, then the root's, as RDS sends its chain."""
    key: bytes
    """PEM, PKCS #8, not encrypted."""


class RdsAuthority:
    """Issues what RDS would: a certificate for one endpoint name, with the kind of key that its CA identifier names."""

    def __init__(self, certificate: x509.Certificate, key: PrivateKey, bundle: Path):
        self._certificate = certificate
        self._key = key
        self.bundle = bundle

    @classmethod
    def at(cls, directory: Path, region: str) -> RdsAuthority:
        """The root kept in `directory`; created if there is none."""
        bundle, key_file = directory / BUNDLE_NAME, directory / KEY_NAME
        if not (bundle.exists() and key_file.exists()):
            key: PrivateKey = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            certificate = _self_signed(key, region)
            write_private(key_file, key_pem(key))
            bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        assert isinstance(loaded, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
        return cls(x509.load_pem_x509_certificate(bundle.read_bytes()), loaded, bundle)

    def issue(self, endpoint: str, ca_identifier: str) -> ServerCertificate:
        key = _new_key(ca_identifier)
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            # A common name holds at most 64 characters; clients verify the name in the SAN.
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, endpoint[:64])]))
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + SERVER_VALIDITY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(endpoint)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.bundle.read_bytes()
        return ServerCertificate(chain, key_pem(key))


def needs_renewal(certificate_pem: bytes, now: datetime.datetime) -> bool:
    return x509.load_pem_x509_certificate(certificate_pem).not_valid_after_utc - now < RENEW_BEFORE


def _self_signed(key: PrivateKey, region: str) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "RDS stand-in"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"RDS {region} Root CA RSA2048 G1 (stand-in)"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + ROOT_VALIDITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(key_usage(sign_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _new_key(ca_identifier: str) -> PrivateKey:
    if "ecc384" in ca_identifier:
        return ec.generate_private_key(ec.SECP384R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=4096 if "rsa4096" in ca_identifier else 2048)
