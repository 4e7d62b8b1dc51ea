"""PEM bundles of certificate authorities: read and checked, put together, and told apart by their keys.

Pure. Whose bundle it is, and when it changes, is decided by others; host authorities have a reader of their own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

# A block ends before the next begins: a text of nothing but beginnings takes no longer than any other of its length.
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(?:(?!-----BEGIN ).)*?-----END \1-----", re.DOTALL)
_CERTIFICATE = "CERTIFICATE"


class TrustBundleError(ValueError):
    """A bundle cannot be used; `problems` has every reason, each with its remedy."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


@dataclass(frozen=True, kw_only=True)
class Authority:
    """One authority of a bundle."""

    pem: str
    """Ends with a line break."""
    subject: str
    """RFC 4514."""
    identity: str
    """See `authority_identity`."""
    not_after: datetime


def parse_trust_bundle(text: str, *, now: datetime) -> tuple[Authority, ...]:
    """The authorities in `text`, as a person's file has them: comments, CRLF and repetitions do not matter.

    Their order is kept, so that only a real change is one. `now` is an aware time. Raises `TrustBundleError` for a
    bundle that is empty, has a private key, or has a certificate that is broken, expired or no authority's.
    """
    found: dict[str, Authority] = {}
    problems: list[str] = []
    blocks = list(_BLOCK.finditer(text))
    if any("PRIVATE KEY" in block.group(1) for block in blocks):
        raise TrustBundleError(["holds a private key; give a file with the authorities' certificates alone"])
    certificates = [block.group(0) for block in blocks if block.group(1) == _CERTIFICATE]
    if text.count(f"BEGIN {_CERTIFICATE}-----") != len(certificates):
        problems.append("has a certificate without its end line; copy the file again as a whole")
    if not certificates and not problems:
        problems.append("has no PEM certificate; give the authorities' certificates as PEM")
    for number, pem in enumerate(certificates, start=1):
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            problems.extend(f"certificate {number} {refusal}" for refusal in _refusals(certificate, now))
            found.setdefault(hashlib.sha256(_der(certificate)).hexdigest(), _authority(certificate))
        except ValueError:
            problems.append(f"certificate {number} cannot be read; copy it again as a whole")
    if problems:
        raise TrustBundleError(problems)
    return tuple(found.values())


def joined(pems: Iterable[str]) -> str:
    """One bundle of several, each certificate once, in their order. Text that is no certificate goes."""
    seen: dict[str, None] = {}
    for pem in pems:
        for block in _BLOCK.finditer(pem):
            seen.setdefault("\n".join(line.strip() for line in block.group(0).splitlines()) + "\n", None)
    return "".join(seen)


def authority_identities(bundle: str) -> frozenset[str]:
    """The identities of the authorities in a bundle that was made by `joined` or checked by `parse_trust_bundle`."""
    certificates = x509.load_pem_x509_certificates(bundle.encode())
    return frozenset(authority_identity(certificate) for certificate in certificates)


def authority_identity(certificate: x509.Certificate) -> str:
    """SHA-256 over subject and public key, 64 hexadecimal digits: the same for a certificate that was renewed with
    its key, since either of the two verifies what the key has signed."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(certificate.subject.public_bytes() + key).hexdigest()


def is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _refusals(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    subject = certificate.subject.rfc4514_string() or "without a subject"
    if not is_authority(certificate):
        yield f"({subject}) is no authority's; give that of the authority which signed it"
    if certificate.not_valid_after_utc <= now:
        yield f"({subject}) expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; take it out"


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        subject=certificate.subject.rfc4514_string(),
        identity=authority_identity(certificate),
        not_after=certificate.not_valid_after_utc,
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
