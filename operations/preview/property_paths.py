"""The property paths of a step: which changed, and their values before and after.

The engine's `detailedDiff` names paths without values, and only coarse ones where a value is secret or unknown. So
inputs are compared leaf by leaf, and paths that only the engine reports are added.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from components.pem_certificates import UNREADABLE
from operations.preview.document import Step
from operations.preview.scrub import MASKED, UNKNOWNS

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_PLAIN_KEY = re.compile(r"[^.\[\]\"\s]+")
_QUOTED_KEY = re.compile(r'\["?([^"\]]*)"?\]')
RELEASE = "kubernetes:helm.sh/v3:Release"
_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One property; `before` or `after` is None when it is absent. Both None: the engine masks the change."""

    path: str
    before: str | None
    after: str | None
    replaces: bool = False  # whether it makes the engine replace the resource


def changed_paths(step: Step) -> frozenset[str]:
    """Paths that an update changes, from the engine; when it gives none, those of the inputs that differ."""
    paths = frozenset(step.differences) or frozenset(change.path for change in changes(step))
    return frozenset(path for path in paths if not _is_open_version(step, path, paths))


def changes(step: Step) -> list[Change]:
    """The differences between old and new inputs, sorted by path.

    A path that is masked on one side, or in the state before a refresh, is masked on both: the inputs of an adopted or
    refreshed release come from the cluster in plain text, secret values included.
    """
    before, after = dict(_leaves(step.old_inputs)), dict(_leaves(step.new_inputs))
    recorded = dict(_leaves(step.recorded_inputs))
    masked = {path for leaves in (before, after, recorded) for path, value in leaves.items() if value == MASKED}
    before, after = _veiled(before, masked), _veiled(after, masked)
    replaced = {path for path, kind in step.differences.items() if kind.endswith("replace")} | {*step.replace_reasons}
    found = [
        Change(path, _shown(before.get(path, _ABSENT)), _shown(after.get(path, _ABSENT)), _is_within(path, replaced))
        for path in sorted({*before, *after})
        if before.get(path, _ABSENT) != after.get(path, _ABSENT)
        and not _is_open_version(step, path, frozenset(step.differences))
    ]
    if step.operation not in ("create", "delete", "import"):
        covered = [change.path for change in found]
        found += [
            Change(path, None, None, path in replaced)
            for path in sorted(step.differences)
            if not any(_is_within(one, {path}) or _is_within(path, {one}) for one in covered)
            and not _is_open_version(step, path, frozenset(step.differences))
        ]
    return found


def certificates_in(text: str) -> list[x509.Certificate]:
    """The certificates in a text with PEM blocks; unreadable blocks are left out."""
    found = []
    for block in _CERTIFICATE.findall(text):
        try:
            found.append(x509.load_pem_x509_certificate(block.encode()))
        except UNREADABLE:
            continue
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, 64 lower-case hexadecimal digits, as in the output `hostAuthorityFingerprints`."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def subject(certificate: x509.Certificate) -> str:
    """RFC 4514; empty when it cannot be read."""
    try:
        return certificate.subject.rfc4514_string()
    except ValueError:
        return ""


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            step = str(key) if _PLAIN_KEY.fullmatch(str(key)) else f'["{key}"]'
            yield from _leaves(entry, f"{path}.{step}" if path and not step.startswith("[") else f"{path}{step}")
    elif isinstance(value, list) and value:
        for position, entry in enumerate(value):
            yield from _leaves(entry, f"{path}[{position}]")
    elif path:
        yield path, value


def _veiled(leaves: Mapping[str, Any], masked: set[str]) -> dict[str, Any]:
    """`leaves`, with one mask for everything at or below a masked path."""
    if not masked:
        return dict(leaves)
    outermost = sorted(masked, key=len)
    places = {path: next((one for one in outermost if _is_within(path, {one})), None) for path in leaves}
    return {places[path] or path: value if places[path] is None else MASKED for path, value in leaves.items()}


def _is_within(path: str, others: set[str]) -> bool:
    """Whether the path is at or below one of the others. Providers write keys with dots or slashes in several ways:
    `a["b/c"]`, `a.b/c`."""
    plain = _QUOTED_KEY.sub(r".\1", path)
    return any(
        plain == other or plain.startswith(f"{other}.") for other in (_QUOTED_KEY.sub(r".\1", one) for one in others)
    )


def _is_open_version(step: Step, path: str, paths: frozenset[str]) -> bool:
    """The program sets no version for a packaged chart, which contains it; a diff then shows the version as removed."""
    if path != "version" or step.type != RELEASE or "chart" in paths:
        return False
    return step.new_inputs.get("version") in (None, "", *UNKNOWNS)


def _shown(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    if isinstance(value, str):
        if value in UNKNOWNS:
            return "(known after the apply)"
        for unknown in UNKNOWNS:
            value = value.replace(unknown, "(known after the apply)")
        return _CERTIFICATE.sub(_named_certificate, value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (Mapping, list)):
        return "{}" if isinstance(value, Mapping) else "[]"
    return str(value)


def _named_certificate(match: re.Match[str]) -> str:
    """In a diff, one identifying line for a certificate instead of twenty that tell nothing."""
    found = certificates_in(match.group())
    if not found:
        return f"(a certificate that cannot be read, {hashlib.sha256(match.group().encode()).hexdigest()[:16]})"
    return f"(certificate {subject(found[0])}, SHA-256 {fingerprint(found[0])})"
