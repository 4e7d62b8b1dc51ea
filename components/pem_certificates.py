"""Certificates in PEM text, pasted by people or written by programs: returns all of them, and every fault of the text.

Pure, and one pass over the text however long it is. Each caller decides what a certificate may be used for; only the
questions that several callers ask are here.
"""

from __future__ import annotations

import base64
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from components.printable import printable

# Ends at the next line that begins a block, so that a block without its end does not swallow the others.
_BLOCK = re.compile(r"-----BEGIN ([^-\n]*)-----(.*?)(-----END [^-\n]*-----|(?=-----BEGIN )|\Z)", re.DOTALL)
_FRAGMENT = re.compile(r"-(BEGIN|END)|(BEGIN|END) CERTIFICATE|^[A-Za-z0-9+/=]{40,}$", re.MULTILINE)

# Errors that reading a certificate may raise, also later: its parts are parsed only when they are asked for.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def certificates_in_pem(text: str, noun: str) -> tuple[list[tuple[str, x509.Certificate]], list[str]]:
    """Each certificate with its position (`<noun> 1`), and the problems of the text, each with its remedy.

    Text between blocks is a comment, as for openssl; line ends and a byte order mark do not matter.
    """
    certificates: list[tuple[str, x509.Certificate]] = []
    problems: list[str] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    blocks = list(_BLOCK.finditer(lines))
    if not blocks and text.strip("\ufeff \t\r\n"):
        problems.append("has no PEM block; give the text from -----BEGIN CERTIFICATE----- on")
    elif _FRAGMENT.search(_BLOCK.sub("\n", lines)):
        # Otherwise a certificate with a mangled first line would pass as a comment, and silently be missing.
        problems.append("has part of a certificate outside of any whole block; copy the certificates again, unchanged")
    for number, block in enumerate(blocks, 1):
        label, body, end = block.groups()
        if "PRIVATE KEY" in label:
            problems.append(
                f"block {number} is a private key; only certificates belong here: take it out, and renew it"
            )
        elif label != "CERTIFICATE":
            problems.append(f"block {number} is {label!r}, not a CERTIFICATE; take it out")
        elif end != "-----END CERTIFICATE-----":
            problems.append(f"{noun} {number} is cut off: -----END CERTIFICATE----- is missing; copy it whole")
        else:
            try:
                der = base64.b64decode("".join(body.split()), validate=True)
                certificates.append((f"{noun} {number}", x509.load_der_x509_certificate(der)))
            except UNREADABLE:
                problems.append(f"{noun} {number} is damaged; copy it again, unchanged")
    return certificates, problems


def subject_of(certificate: x509.Certificate) -> str:
    """RFC 4514, made printable: the library leaves line breaks and a terminal's control characters in."""
    return printable(certificate.subject.rfc4514_string())


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign certificates: CA:TRUE, and certificate signing in its key usage, if it has a key usage."""
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
    except x509.ExtensionNotFound:
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Judged by the names only; `is_whole` checks the signature."""
    return certificate.issuer == certificate.subject


def is_whole(certificate: x509.Certificate) -> bool:
    """Whether a self-signed certificate is as it was signed; for others, only whether the signature is whole bytes."""
    # The byte before the signature counts its missing bits. OpenSSL verifies a signature that lacks zero bits as if it
    # had them.
    if certificate.public_bytes(Encoding.DER)[-len(certificate.signature) - 1] != 0:
        return False
    if not is_self_signed(certificate):
        return True
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
