"""Whether a certificate, its key and what Teleport trusts fit together, before anything is served or dialled.

Pure functions of what was read. Of the key they only tell whether it belongs to the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from components.pem_certificates import UNREADABLE, is_authority, subject_of
from components.printable import printable
from operations.findings import Finding, failed, not_proven, passed

# Time enough for somebody to notice that a renewal is stuck.
SOON = timedelta(days=14)
# A bundle has a few authorities, a machine's trust store more than a hundred, whose names tell nobody anything.
_MOST_LISTED = 10


def check_pair(
    certificate: bytes | None,
    key: bytes | None,
    *,
    names: Sequence[str],
    trust: str | None,
    now: datetime,
    where: str,
    store: str = "the bundle",
) -> list[Finding]:
    """Whether TAG can serve the pair and Teleport verify it.

    `certificate` is a PEM chain, the server's own first; `names` are the hosts that Teleports dial; `trust` is the PEM
    of the authorities that Teleport trusts, None where those are its system's; `where` says what was read, and
    `store` what `trust` is.
    """
    statement = f"{where} has a certificate and its key"
    try:
        chain = x509.load_pem_x509_certificates(certificate or b"")
    except UNREADABLE:
        return [failed("certificate.pair", statement, "tls.crt has no readable PEM certificate; write it again")]
    server, *others = chain
    try:
        return [
            _pair(server, key, statement),
            _names(server, names, where),
            _uses(server, where),
            _dates(server, now, where),
            _chain(server, others, trust, now, where, store),
        ]
    except UNREADABLE:
        reason = "a certificate in tls.crt, or one that Teleport trusts, has a part that cannot be read; issue it anew"
        return [failed("certificate.pair", statement, reason)]


def authority_problem(certificate: bytes, key: bytes, *, trust: str | None, now: datetime) -> str | None:
    """Why nobody would trust what this pair signs, with the remedy; `trust` as for `check_pair`.

    cert-manager does not check this: it calls an issuer ready whose key belongs to another certificate, or that has
    expired.
    """
    try:
        authority, *others = x509.load_pem_x509_certificates(certificate)
        if (problem := _key_problem(authority, key)) is not None:
            return problem
        name = _name(authority)
        if not is_authority(authority):
            return f"the first certificate in tls.crt, {name}, is no authority's; write the authority's first"
        begins, ends = authority.not_valid_before_utc, authority.not_valid_after_utc
        if not begins <= now < ends:
            return (
                f"{name} is valid from {begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC; take one that is valid now"
            )
        trusted = [] if trust is None else x509.load_pem_x509_certificates(trust.encode())
        if trust is None or authority in trusted or _path(authority, others, trusted, now) is not None:
            return None
    except UNREADABLE:
        return "tls.crt, or the bundle that Teleport trusts, has no readable PEM certificate; write it again"
    listed = _listed(trusted)
    return f"Teleport would not trust what {name} signs, the bundle has {listed}; put its root into tls.trustBundleFile"


def check_issued(certificate: bytes, *, trust: str, now: datetime, where: str, remedy: str) -> Finding:
    """Whether Teleport will trust the certificate that is served now, however it is renewed later."""
    check, statement = "certificate.chain", f"what Teleport is to trust signed the certificate in {where}"
    try:
        server, *others = x509.load_pem_x509_certificates(certificate)
        trusted = x509.load_pem_x509_certificates(trust.encode())
        path = _path(server, others, trusted, now)
    except UNREADABLE:
        return failed(check, statement, "it, or the bundle, has no readable PEM certificate; write it again")
    if path is None:
        issuer, listed = printable(server.issuer.rfc4514_string()), _listed(trusted)
        return failed(check, statement, f"its issuer is {issuer}, and the bundle has {listed}; {remedy}")
    return passed(check, statement, _told(path))


def _pair(server: x509.Certificate, key: bytes | None, statement: str) -> Finding:
    check = "certificate.pair"
    if not key:
        return failed(check, statement, "it has no tls.key; write both")
    if (problem := _key_problem(server, key)) is not None:
        return failed(check, statement, problem)
    return passed(check, statement, f"serial number {server.serial_number:x}")


def _key_problem(certificate: x509.Certificate, key: bytes) -> str | None:
    try:
        private = load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls.key is no readable PEM key without a password; write it again"
    own, certified = (
        one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for one in (private.public_key(), certificate.public_key())
    )
    return (
        None if own == certified else "tls.key belongs to another certificate; write the two that were issued together"
    )


def _names(server: x509.Certificate, names: Sequence[str], where: str) -> Finding:
    check, statement = "certificate.names", f"the certificate in {where} is for every name that Teleport dials"
    certified = dns_names(server)
    if certified is None:
        return failed(check, statement, "it has no subject alternative name, and the common name does not count")
    missing = [name for name in names if not any(_matches(pattern, name) for pattern in certified)]
    if missing:
        has = ", ".join(certified) or "no DNS name"
        return failed(check, statement, f"{', '.join(missing)} is not in it, it has {has}; issue one with that name")
    return passed(check, statement, ", ".join(names))


def dns_names(certificate: x509.Certificate) -> list[str] | None:
    """The DNS names among the subject alternative names; None when the certificate has no alternative names at all."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return None
    return extension.value.get_values_for_type(x509.DNSName)


def _matches(pattern: str, name: str) -> bool:
    """RFC 6125, section 6.4.3: a wildcard stands for exactly one label, the first."""
    if pattern.startswith("*."):
        return name.partition(".")[2].lower() == pattern[2:].lower() and not name.startswith(".")
    return pattern.lower() == name.lower()


def _uses(server: x509.Certificate, where: str) -> Finding:
    check, statement = "certificate.uses", f"the certificate in {where} may be a server's"
    try:
        uses = list(server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return passed(check, statement, "its uses are not limited")
    if ExtendedKeyUsageOID.SERVER_AUTH in uses or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in uses:
        return passed(check, statement, "serverAuth")
    return failed(check, statement, "serverAuth is not among its extended key usages; issue one with it")


def _dates(server: x509.Certificate, now: datetime, where: str) -> Finding:
    check, statement = "certificate.dates", f"the certificate in {where} is valid now, and for a while"
    begins, ends = server.not_valid_before_utc, server.not_valid_after_utc
    if now < begins:
        return failed(check, statement, f"it begins at {begins:%Y-%m-%d %H:%M} UTC; look at the issuer's clock")
    if ends <= now:
        return failed(check, statement, f"it ended at {ends:%Y-%m-%d %H:%M} UTC; issue another")
    left = f"until {ends:%Y-%m-%d %H:%M} UTC"
    # A short-lived certificate is renewed later than SOON before its end, but before its last third begins.
    if ends - now < min(SOON, (ends - begins) / 3):
        return not_proven(check, statement, f"{left}: it should have been renewed by now; look at its issuer")
    return passed(check, statement, left)


def _chain(
    server: x509.Certificate,
    others: Sequence[x509.Certificate],
    trust: str | None,
    now: datetime,
    where: str,
    store: str,
) -> Finding:
    check, statement = "certificate.chain", f"what Teleport trusts signed the certificate in {where}"
    if trust is None:
        return not_proven(
            check, statement, "Teleport verifies with its own trust store, which cannot be seen from here"
        )
    try:
        trusted = x509.load_pem_x509_certificates(trust.encode())
    except ValueError:
        return failed(check, statement, "the bundle that it trusts holds no certificates in PEM; look at tls")
    path = _path(server, others, trusted, now)
    if path is None:
        late = _out_of_time(_path(server, others, trusted, None) or (), now)
        if late:
            return failed(check, statement, f"{late}; have it renewed, or another authority sign the certificate")
        issuer = server.issuer.rfc4514_string()
        return failed(
            check,
            statement,
            f"its issuer is {issuer}, and {store} has {_listed(trusted)}; put the issuer's root into {store}, and "
            "intermediate certificates after the server's in tls.crt",
        )
    return passed(check, statement, _told(path))


def _out_of_time(path: Sequence[x509.Certificate], now: datetime) -> str:
    """Which authorities of the path are not valid now; empty when all are."""
    said = []
    for authority in path[1:]:
        begins, ends = authority.not_valid_before_utc, authority.not_valid_after_utc
        if ends <= now:
            said.append(f"the authority {_name(authority)} ended at {ends:%Y-%m-%d %H:%M} UTC")
        elif now < begins:
            said.append(f"the authority {_name(authority)} begins at {begins:%Y-%m-%d %H:%M} UTC")
    return ", ".join(said)


def _listed(trusted: Sequence[x509.Certificate]) -> str:
    if len(trusted) > _MOST_LISTED:
        return f"{len(trusted)} others"
    return ", ".join(_name(one) for one in trusted)


def _told(path: Sequence[x509.Certificate]) -> str:
    return " <- ".join(map(_name, path))


def _name(certificate: x509.Certificate) -> str:
    """The subject, else the names: cert-manager issues server certificates without a subject."""
    return subject_of(certificate) or ", ".join(dns_names(certificate) or ()) or "one without a subject"


def _path(
    server: x509.Certificate,
    others: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    now: datetime | None,
) -> list[x509.Certificate] | None:
    """A shortest path from the server's certificate to a trusted one. Without `now`, authorities outside their validity
    count too.

    Visits each certificate once: a server may send many authorities that cross-signed each other.
    """
    left, ways = list(others), [[server]]
    for way in ways:
        for authority in trusted:
            if _signed(way[-1], authority, now):
                return [*way, authority]
        reached = [authority for authority in left if _signed(way[-1], authority, now)]
        left = [authority for authority in left if authority not in reached]
        ways += [[*way, authority] for authority in reached]
    return None


def _signed(certificate: x509.Certificate, authority: x509.Certificate, now: datetime | None) -> bool:
    if not is_authority(authority):
        return False
    if now is not None and not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
        return False
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
