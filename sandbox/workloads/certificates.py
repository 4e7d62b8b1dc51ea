"""PEM blocks, fingerprints and TLS contexts, using only the standard library so that every pod stays small.

`host_authority` makes certificates, in a process of its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl
from pathlib import Path

from sandbox.workloads.journal import StartRefused

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s+-----END CERTIFICATE-----")


def certificates_in(text: str) -> list[bytes]:
    """DER of every certificate in a PEM text, in order. Raises ValueError for a block that is not base64."""
    found = []
    for match in _CERTIFICATE.finditer(text):
        try:
            found.append(base64.b64decode("".join(match.group(1).split()), validate=True))
        except binascii.Error as error:
            raise ValueError(f"a certificate block is not base64: {error}") from None
    return found


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of the DER, lower-case hex."""
    return hashlib.sha256(certificate).hexdigest()


def trusting(context: ssl.SSLContext, authorities: list[bytes], what: str) -> None:
    """Trust exactly these. Each counts as a root, as in Go, whether it is self-signed or not."""
    try:
        context.load_verify_locations(cadata=b"".join(authorities))
    except (ssl.SSLError, ValueError) as error:
        raise StartRefused(f"{what}: not certificates: {error}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN


def server_context(certificate: Path, key: Path, what: str) -> ssl.SSLContext:
    """TLS 1.2 or newer with this key pair; refused if a file is missing or the two do not match."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (certificate, key):
        if not path.is_file():
            raise StartRefused(f"{what}: open {path}: no such file or directory")
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise StartRefused(f"{what}: failed to load key pair: {error}") from None
    return context


def read_authorities(path: Path, what: str) -> list[bytes]:
    """The certificates of a PEM file; refused if the file is missing or contains none."""
    try:
        found = certificates_in(path.read_text())
    except (OSError, ValueError) as error:
        raise StartRefused(f"{what}: {error}") from None
    if not found:
        raise StartRefused(f"{what}: no certificate in {path}")
    return found
