"""Makes certificates for the tests of this directory; none is stored."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLUSTER = "teleport.example.com"
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(
    *,
    cluster: str = CLUSTER,
    organization: str | None = None,
    ca: bool | None = True,
    sign: bool | None = True,
    start: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=3650),
    serial: int = 1,
) -> str:
    """The PEM of a certificate in the form of Teleport's CAs: CN and, unless `organization` is given, O are the
    cluster's name."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization or cluster),
            x509.NameAttribute(NameOID.COMMON_NAME, cluster),
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key().public_key())
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if sign is not None:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=sign,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    return builder.sign(key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@cache
def authority(serial: int = 1) -> str:
    return certificate(serial=serial)


@cache
def private_key() -> str:
    return (
        key()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def encoded(pem: str) -> str:
    return base64.b64encode(pem.encode()).decode()


def tctl_json(
    active: list[str], additional: list[str] | None = None, cluster: str = CLUSTER, secret: str | None = None
) -> str:
    """The output of `tctl get cert_authorities --format=json`: CAs of every type, with the host CA among them."""

    def pairs(certificates: list[str]) -> dict[str, Any]:
        return {"tls": [{"cert": encoded(pem), "key": secret} for pem in certificates], "ssh": [{"public_key": "eA=="}]}

    resources = [
        {
            "kind": "cert_authority",
            "version": "v2",
            "metadata": {"name": cluster},
            "spec": {
                "type": kind,
                "cluster_name": cluster,
                "active_keys": pairs(certificates),
                "additional_trusted_keys": pairs(additional or []) if kind == "host" else {},
            },
        }
        for kind, certificates in (("user", [certificate(serial=999)]), ("host", active))
    ]
    return json.dumps(resources)
