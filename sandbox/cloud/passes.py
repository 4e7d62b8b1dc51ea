"""Client certificates with which only a database's front logs in users whom IAM has let in.

The authority lives only in the service's memory, as long as the service; a server trusts it through its `ssl_ca_file`.
"""

from __future__ import annotations

import datetime
import os
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_NAME = "front of the databases"
# Longer than any sandbox runs; no pass outlives the service.
VALIDITY = datetime.timedelta(days=3650)


class Passes:
    """Makes one pass per user. May be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
        certificate = (
            self._builder(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.authority = certificate.public_bytes(serialization.Encoding.PEM)
        """PEM."""
        self._made: dict[str, bytes] = {}

    def present(self, context: ssl.SSLContext, user: str) -> None:
        """Make connections of `context` log in as `user`."""
        with self._lock:
            if user not in self._made:
                self._made[user] = self._make(user)
            pem = self._made[user]
        # The ssl module reads only files; this one has no name that anybody could open.
        descriptor = os.memfd_create("pass")
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def _make(self, user: str) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        # PostgreSQL compares the common name, which holds 64 characters; PostgreSQL's own names have at most 63 bytes.
        certificate = (
            self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)]), key)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + VALIDITY)
        )
