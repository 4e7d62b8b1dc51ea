"""PEM bundles of certificate authorities: reads, checks and joins them, and tells authorities apart by their keys.

Pure. Others decide when a bundle changes; Teleport's host authorities have a module of their own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from components.pem_certificates import (
    UNREADABLE,
    certificates_in_pem,
    is_authority,
    is_self_signed,
    is_whole,
    subject_of,
)

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")


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
    """The authority's `authority_identity`."""
    not_after: datetime


def parse_trust_bundle(text: str, *, now: datetime) -> tuple[Authority, ...]:
    """The authorities in `text`, such as a file that a person wrote: comments, CRLF and repetitions do not matter.

    Keeps their order, so that nothing but a real change looks like one. `now` is an aware time. Raises
    `TrustBundleError` for a bundle that is empty, has anything but certificates, or has one that is broken, expired or
    no authority's.
    """
    return _authorities(text, lambda certificate: _refusals(certificate, now))


def parse_database_bundle(text: str, *, now: datetime) -> tuple[Authority, ...]:
    """The authorities that a database's clients should trust, from a file such as AWS's own with every region's roots.

    As `parse_trust_bundle`, but accepts a server's self-signed certificate, and expired ones beside valid ones: such
    files come from elsewhere, and clients ignore what has expired.
    """
    authorities = _authorities(text, _database_refusals)
    if all(authority.not_after <= now for authority in authorities):
        last = max(authority.not_after for authority in authorities)
        raise TrustBundleError([f"has none that is still valid, the last ended at {_moment(last)}; get the file anew"])
    return authorities


def _authorities(text: str, refusals: Callable[[x509.Certificate], Iterator[str]]) -> tuple[Authority, ...]:
    certificates, problems = certificates_in_pem(text, "certificate")
    if not certificates and not problems:
        problems.append("has no PEM certificate; give the authorities' certificates as PEM")
    found: dict[bytes, Authority] = {}
    for position, certificate in certificates:
        try:
            problems.extend(f"{position} {refusal}" for refusal in refusals(certificate))
            found.setdefault(_der(certificate), _authority(certificate))
        except UNREADABLE:
            problems.append(f"{position} has a part that cannot be read; copy it again, unchanged")
    if problems:
        raise TrustBundleError(problems)
    return tuple(found.values())


def joined(pems: Iterable[str]) -> str:
    """One bundle from several, each certificate once, in their order. Drops text that is no certificate."""
    seen: dict[str, None] = {}
    for pem in pems:
        for block in _CERTIFICATE.finditer(pem):
            seen.setdefault("\n".join(line.strip() for line in block.group(0).splitlines()) + "\n", None)
    return "".join(seen)


def authorities_of(bundle: str) -> tuple[Authority, ...]:
    """The authorities in a bundle from `joined` or checked by `parse_trust_bundle`; none for empty text."""
    return tuple(map(_authority, x509.load_pem_x509_certificates(bundle.encode()))) if bundle else ()


def authority_identities(authorities: Iterable[Authority]) -> frozenset[str]:
    """The identities of all authorities in a bundle: by these a client verifies."""
    return frozenset(authority.identity for authority in authorities)


def authority_identity(certificate: x509.Certificate) -> str:
    """SHA-256 over subject and public key, 64 hexadecimal digits. A certificate renewed with its key keeps its
    identity, since old and new both verify what the key has signed."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(certificate.subject.public_bytes() + key).hexdigest()


def _refusals(certificate: x509.Certificate, now: datetime) -> Iterator[str]:
    yield from _unusable(certificate, vouches=is_authority(certificate))
    if certificate.not_valid_after_utc <= now:
        yield f"({_subject(certificate)}) expired at {_moment(certificate.not_valid_after_utc)}; take it out"


def _database_refusals(certificate: x509.Certificate) -> Iterator[str]:
    yield from _unusable(certificate, vouches=is_authority(certificate) or is_self_signed(certificate))


def _unusable(certificate: x509.Certificate, *, vouches: bool) -> Iterator[str]:
    subject = _subject(certificate)
    if not is_whole(certificate):
        yield f"({subject}) is damaged: its signature does not match its content; copy it again, unchanged"
    if not vouches:
        yield f"({subject}) is no authority's; give that of the authority which signed it"


def _subject(certificate: x509.Certificate) -> str:
    return subject_of(certificate) or "without a subject"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        pem=certificate.public_bytes(Encoding.PEM).decode(),
        subject=subject_of(certificate),
        identity=authority_identity(certificate),
        not_after=certificate.not_valid_after_utc,
    )


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
