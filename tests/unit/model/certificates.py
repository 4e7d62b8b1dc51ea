"""Certificates of the model's world. They are real, because the program parses them, and each is made once per test
run."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from components.host_authorities import HostAuthority, parse_authorities
from components.trust_bundles import authorities_of, authority_identities, joined
from tests.samples import TELEPORT_CLUSTER

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


@cache
def _key(subject: str, number: int) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def authority(subject: str, key: int = 0, renewal: int = 0, organization: str | None = None) -> str:
    """PEM of an authority. Another `key` gives a different authority with the same name; another `renewal` gives
    another certificate of the same authority."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, subject)]
    if organization is not None:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    own = _key(f"{subject} {organization}", key)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name(names))
        .public_key(own.public_key())
        .serial_number(1000 + renewal)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), critical=True)
        .sign(own, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


@cache
def host_authority(number: int) -> HostAuthority:
    """The host CA with this number; the model has one Teleport cluster."""
    (parsed,) = parse_authorities(authority(TELEPORT_CLUSTER, number, organization=TELEPORT_CLUSTER))
    return parsed


@cache
def identities(bundle: str) -> frozenset[str]:
    """Identities of the authorities that a bundle trusts; an empty bundle trusts none."""
    return authority_identities(authorities_of(bundle))


@cache
def identity(pem: str) -> str:
    (found,) = identities(pem)
    return found


@cache
def bundle_of(pems: tuple[str, ...]) -> str:
    return joined(pems)
