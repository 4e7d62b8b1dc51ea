"""The locked requirements: every package with its version and the hash of each file that may be installed for it.

Reads what `uv pip compile --generate-hashes` writes, and the pins that it starts from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?=\s|$)")


class LockError(Exception):
    """A requirements file is no valid lock; the text names the line."""


@dataclass(frozen=True, kw_only=True, order=True)
class LockedPackage:
    """One entry: `name` in canonical form, `hashes` the SHA-256 of each of its files in hexadecimal digits."""

    name: str
    version: str
    marker: str = ""
    hashes: tuple[str, ...] = ()

    def applies(self, environment: Mapping[str, str] | None = None) -> bool:
        """Whether it applies to this machine, or to `environment` (marker variables, PEP 508)."""
        return not self.marker or Marker(self.marker).evaluate(dict(environment) if environment else None)


def read_lock(path: Path) -> list[LockedPackage]:
    """All entries, in file order; a package may have several, for different Pythons.

    Raises `LockError` at the first line that is no entry with hashes.
    """
    return [_entry(line, path) for line in _lines(path)]


def read_pins(path: Path) -> dict[str, str]:
    """Canonical name to pinned version, from a `*.in` file and those it includes."""
    pins: dict[str, str] = {}
    for line in _lines(path):
        if line.startswith("-r "):
            pins |= read_pins(path.parent / line.removeprefix("-r ").strip())
            continue
        package = _entry(line, path, hashed=False)
        pins[package.name] = package.version
    return pins


def _lines(path: Path) -> Iterator[str]:
    """Lines joined as pip joins them, without comments and empty lines."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        content = re.sub(r"(^|\s)#.*", "", line).strip()
        if content:
            yield content


def _entry(line: str, path: Path, *, hashed: bool = True) -> LockedPackage:
    hashes = tuple(_HASH.findall(line))
    try:
        requirement = Requirement(_HASH.sub("", line).strip())
    except InvalidRequirement:
        raise LockError(f"{path.name}: {line[:80]!r} is no requirement") from None
    pinned = re.fullmatch(r"==([^*,]+)", str(requirement.specifier))
    if pinned is None:
        raise LockError(f"{path.name}: {requirement.name} is not pinned to one version with ==")
    if hashed and not hashes:
        raise LockError(f"{path.name}: {requirement.name} has no hash")
    return LockedPackage(
        name=canonicalize_name(requirement.name),
        version=pinned[1],
        marker=str(requirement.marker or ""),
        hashes=hashes,
    )
