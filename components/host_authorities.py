"""Teleport's host certificate authorities: reads them, and refuses unusable ones before anything is made.

Pure, except for the opt-in fetch from a proxy; makes no resource. The access graph accepts only clients whose
certificate chains to one of these authorities; `access_graph` passes them to its chart.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from components.pem_certificates import UNREADABLE, certificates_in_pem, is_authority, is_whole, subject_of
from components.proxy_export import LARGEST_TEXT, ProxyFetchError, fetch_from_proxy

if TYPE_CHECKING:
    from components.settings import FileHostAuthorities, InlineHostAuthorities, ProxyHostAuthorities

    HostAuthoritySettings: TypeAlias = InlineHostAuthorities | FileHostAuthorities | ProxyHostAuthorities

_FINGERPRINT = re.compile(r"^[0-9a-f]{64}$")
_TCTL_YAML = re.compile(r"^kind: cert_authority\b", re.MULTILINE)


class HostAuthorityError(ValueError):
    """The host CAs of a Teleport cluster cannot be used. The message has one line for each problem."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class HostAuthority:
    """One CA certificate of a Teleport cluster."""

    pem: str
    """Normalised: one block, `\\n` line ends, a newline at the end."""
    fingerprint: str
    """SHA-256 of the DER, 64 lower-case hexadecimal digits."""
    subject: str
    """RFC 4514, printable."""
    not_after: datetime
    """An aware time, in UTC."""


def load_host_authorities(
    settings: HostAuthoritySettings,
    *,
    cluster: str,
    root: Path,
    now: datetime,
    fetch: Callable[[str, Path | None], str] = fetch_from_proxy,
) -> tuple[HostAuthority, ...]:
    """The host CAs of the Teleport cluster, each once, in the order of their fingerprints.

    Relative paths start from `root`; `now` is an aware time; `fetch` takes the proxy's host:port and a CA file.
    Raises `HostAuthorityError` with every problem found.
    """
    key = f"teleport.{cluster}.hostAuthorities"
    where, text = _read(settings, key, root, fetch)
    certificates, problems = _certificates_in(text, cluster)
    problems = [f"{where}: {problem}" for problem in problems]
    if not certificates and not problems:
        problems.append(f"{where}: there is no certificate; give the host CA of {cluster!r} as PEM or tctl's JSON")
    for position, certificate in certificates:
        problems += [f"{where}: {position} {problem}" for problem in _refusals(certificate, cluster, now)]
    if problems:
        raise HostAuthorityError(problems)
    authorities = _in_order(certificate for _, certificate in certificates)
    _check_pins(settings.fingerprints, authorities, key)
    return authorities


def parse_authorities(text: str, *, cluster: str | None = None) -> tuple[HostAuthority, ...]:
    """The certificates in a PEM bundle, in the JSON of `tctl get cert_authorities` (active and additional keys), or in
    the proxy's JSON array; each once, in the order of their fingerprints. Does not check whether they are usable.

    From tctl's JSON only host CAs are taken, and with `cluster` only that cluster's (a root cluster lists its leaves'
    too). Raises `HostAuthorityError`.
    """
    certificates, problems = _certificates_in(text, cluster)
    if problems:
        raise HostAuthorityError(problems)
    try:
        return _in_order(certificate for _, certificate in certificates)
    except ValueError as error:
        raise HostAuthorityError([f"a certificate has a part that cannot be read ({error}); copy it again"]) from None


def pinning_advice(cluster: str, authorities: Sequence[HostAuthority]) -> str:
    """Text for a user who fetches from a proxy without pins: what was found, and how to pin it."""
    found = "\n".join(f"  {authority.fingerprint}  {authority.subject}" for authority in authorities)
    return (
        f"teleport.{cluster}.hostAuthorities: fetched without a pin; compare these SHA-256 fingerprints with "
        f"`tctl get cert_authorities` and set them as `fingerprints`:\n{found}"
    )


def rotation_gap_warning(cluster: str) -> str:
    """Text for a user who fetches from a proxy, which gives active keys only, not the next one before it is in use."""
    return (
        f"teleport.{cluster}.hostAuthorities: a proxy gives active keys only, so when Teleport rotates its host CA, "
        "TAG refuses its calls from phase update_clients on, until the next `up`; before a rotation switch to mode "
        "file with `tctl get cert_authorities --format=json`, which has the next key already in phase init "
        "(docs/certificates.md)"
    )


def _read(
    settings: HostAuthoritySettings, key: str, root: Path, fetch: Callable[[str, Path | None], str]
) -> tuple[str, str]:
    """The text, and the key (with the source that it names) under which problems in the text are reported."""
    if settings.mode == "inline":
        text = "\n".join(settings.certificates)
        if len(text) > LARGEST_TEXT:
            raise HostAuthorityError([f"{key}.certificates: longer than {LARGEST_TEXT} bytes; give the host CAs alone"])
        return f"{key}.certificates", text
    if settings.mode == "file":
        where = f"{key}.path ({settings.path})"
        return where, _read_file(root / settings.path, where)
    where = f"{key}.address ({settings.address})"
    try:
        return where, fetch(settings.address, None if settings.ca_file is None else root / settings.ca_file)
    except ProxyFetchError as error:
        raise HostAuthorityError([f"{where}: {error}"]) from None


def _read_file(path: Path, where: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_TEXT + 1)
    except OSError as error:
        raise HostAuthorityError(
            [f"{where}: cannot be read ({error.strerror}); give a path relative to the project"]
        ) from None
    if len(raw) > LARGEST_TEXT:
        raise HostAuthorityError([f"{where}: longer than {LARGEST_TEXT} bytes; give a file with the host CAs alone"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HostAuthorityError(
            [f"{where}: byte {error.start} is not UTF-8; save it as PEM text (DER: `openssl x509 -inform der`)"]
        ) from None


def _certificates_in(text: str, cluster: str | None) -> tuple[list[tuple[str, x509.Certificate]], list[str]]:
    """Each certificate with its position in words, and the problems of the text itself."""
    stripped = text.lstrip("\ufeff \t\r\n")
    if stripped[:1] not in ("[", "{"):
        if _TCTL_YAML.search(stripped) and "-----BEGIN " not in stripped:
            return [], ["is YAML, as tctl prints without a format; run `tctl get cert_authorities --format=json`"]
        return certificates_in_pem(text, "certificate")
    try:
        document = json.loads(stripped)
    except (ValueError, RecursionError):
        return [], ["neither PEM nor valid JSON; give the output of `tctl get cert_authorities --format=json`"]
    entries = document if isinstance(document, list) else [document]
    if not all(isinstance(entry, dict) for entry in entries):
        return [], ["the JSON is no list of certificate authorities; give the output of `tctl get cert_authorities`"]
    if all(isinstance(entry.get("data"), str) for entry in entries):
        sources = [(f"entry {number}", entry["data"]) for number, entry in enumerate(entries, 1)]
        return _certificates_in_base64(sources)
    return _certificates_in_resources(entries, cluster)


def _certificates_in_resources(
    entries: list[dict[str, Any]], cluster: str | None
) -> tuple[list[tuple[str, x509.Certificate]], list[str]]:
    """From `cert_authority` resources as tctl prints them."""
    if _holds_key(entries):
        return [], ["the JSON holds private keys; write it again without `--with-secrets`, and delete this file"]
    sources: list[tuple[str, str]] = []
    strangers: set[str] = set()
    for entry in entries:
        spec = entry.get("spec")
        if not isinstance(spec, dict) or spec.get("type") != "host":
            continue
        metadata = entry.get("metadata")
        name = spec.get("cluster_name") or (metadata.get("name") if isinstance(metadata, dict) else None)
        if cluster is not None and isinstance(name, str) and name != cluster:
            strangers.add(name)
            continue
        for group in ("active_keys", "additional_trusted_keys"):
            keys = spec.get(group)
            pairs = keys.get("tls") if isinstance(keys, dict) else None
            for number, pair in enumerate(pairs if isinstance(pairs, list) else [], 1):
                certificate = pair.get("cert") if isinstance(pair, dict) else None
                sources.append((f"{group}.tls[{number}]", certificate if isinstance(certificate, str) else ""))
    if not sources and strangers:
        names = ", ".join(repr(name) for name in sorted(strangers))
        return [], [f"has the host CA of {names}, none of {cluster!r}; run tctl against the cluster {cluster!r}"]
    if not sources:
        return [], ["the JSON has no host CA; give the output of `tctl get cert_authorities --format=json`"]
    return _certificates_in_base64(sources)


def _certificates_in_base64(sources: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, x509.Certificate]], list[str]]:
    certificates: list[tuple[str, x509.Certificate]] = []
    problems: list[str] = []
    for position, encoded in sources:
        try:
            text = base64.b64decode(encoded, validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            problems.append(f"{position} is not the base64 of a PEM certificate; write the file again")
            continue
        found, wrong = certificates_in_pem(text, f"{position} certificate")
        if not found and not wrong:
            wrong = [f"{position} has no certificate; write the file again"]
        certificates += found
        problems += wrong
    return certificates, problems


def _holds_key(value: Any) -> bool:
    if isinstance(value, dict):
        return any(
            (name in ("key", "private_key") and bool(inner)) or _holds_key(inner) for name, inner in value.items()
        )
    return isinstance(value, list) and any(_holds_key(inner) for inner in value)


def _refusals(certificate: x509.Certificate, cluster: str, now: datetime) -> Iterator[str]:
    try:
        names = {
            str(attribute.value)
            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
            for attribute in certificate.subject.get_attributes_for_oid(oid)
        }
        subject = subject_of(certificate)
        whole, authority = is_whole(certificate), is_authority(certificate)
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except UNREADABLE:
        yield "has a subject, issuer, date or extension that cannot be read; copy it again, unchanged"
        return
    if not whole:
        yield f"({subject}) is damaged: its signature does not match its content; copy it again, unchanged"
    if not authority:
        yield (
            f"({subject}) is no certificate authority (CA:TRUE, may sign certificates); "
            "give the host CA, not a certificate that it issued"
        )
    # Teleport writes the cluster's name as CN and O of its CAs: a cheap test that the CA is the right cluster's.
    if cluster not in names:
        yield f"({subject}) does not name the cluster {cluster!r}; give that cluster's host CA, or correct the name"
    if now > not_after:
        yield f"({subject}) has expired on {not_after.isoformat()}; export the current host CA"
    if now < not_before:
        yield f"({subject}) is not valid before {not_before.isoformat()}; check this machine's clock, or wait"


def _in_order(certificates: Iterable[x509.Certificate]) -> tuple[HostAuthority, ...]:
    """One authority per distinct certificate, by fingerprint, so that another order in the source is no change."""
    unique = {certificate.fingerprint(hashes.SHA256()).hex(): certificate for certificate in certificates}
    return tuple(
        HostAuthority(
            pem=certificate.public_bytes(serialization.Encoding.PEM).decode("ascii"),
            fingerprint=fingerprint,
            subject=subject_of(certificate),
            not_after=certificate.not_valid_after_utc,
        )
        for fingerprint, certificate in sorted(unique.items())
    )


def _check_pins(pins: Sequence[str], authorities: Sequence[HostAuthority], key: str) -> None:
    """If any CA is pinned, all must be. A pin without its CA belongs to the next or the former key of a rotation."""
    pinned = {pin.lower().replace(":", "").removeprefix("sha256") for pin in pins}
    malformed = [pin for pin in sorted(pinned) if not _FINGERPRINT.match(pin)]
    if malformed:
        raise HostAuthorityError([f"{key}.fingerprints: {pin!r} is no SHA-256 (64 hex digits)" for pin in malformed])
    strangers = [authority for authority in authorities if pinned and authority.fingerprint not in pinned]
    if strangers:
        raise HostAuthorityError(
            f"{key}.fingerprints: {authority.fingerprint} ({authority.subject}) is given and not pinned; if "
            "`tctl get cert_authorities` on the cluster shows the same, add it, else it came from somewhere else"
            for authority in strangers
        )
