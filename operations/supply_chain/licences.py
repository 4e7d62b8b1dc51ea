"""The licences of the installed packages, and whether this project accepts them.

Reads the packages' own metadata: the SPDX expression where there is one, else the older fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from operations.supply_chain.lock import LockedPackage

# These only ask that their text is passed on (MPL also for changes to its own files, of which there are none).
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense"}
)
# For packages that run only in tests and the sandbox, and are part of no deployment: among them LGPL's linked library
# (psycopg), and Python's own former terms.
ALLOWED_IN_DEVELOPMENT = ALLOWED | {"CNRI-Python", "LGPL-3.0-only", "LicenseRef-Public-Domain"}

# Free texts of the field License and of classifiers, as SPDX identifiers: https://spdx.org/licenses/
_WORDS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    # The classifier does not tell which; the stricter of the two in use.
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "python software foundation license": "PSF-2.0",
}
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")
_UNKNOWN = ""


@dataclass(frozen=True, kw_only=True, order=True)
class Refused:
    """A package whose licence is not accepted; `licence` is empty when the metadata does not tell it."""

    package: str
    licence: str

    def __str__(self) -> str:
        return f"{self.package}: {self.licence or 'its metadata does not tell its licence'}"


def licence_of(found: Distribution) -> str:
    """An SPDX expression; empty when the metadata has no known licence."""
    expression = _field(found, "License-Expression")
    if expression:
        return expression
    identified = _identified(_field(found, "License"))
    if identified:
        return identified
    classifiers: list[str] = found.metadata.get_all("Classifier") or []
    said = [one.rsplit(" :: ", 1)[-1] for one in classifiers if one.startswith("License :: ")]
    # Several classifiers offer a choice of licences.
    return " OR ".join(sorted({name for name in map(_identified, said) if name}))


def allowed(expression: str, licences: frozenset[str] = ALLOWED) -> bool:
    """Whether `licences` satisfy an SPDX expression of identifiers, AND, OR and parentheses."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression)
    position = 0

    def alternatives() -> bool:
        nonlocal position
        answer = conjunction()
        while position < len(tokens) and tokens[position].upper() == "OR":
            position += 1
            # Not `or`: both sides have to be parsed.
            answer |= conjunction()
        return answer

    def conjunction() -> bool:
        nonlocal position
        answer = operand()
        while position < len(tokens) and tokens[position].upper() == "AND":
            position += 1
            answer &= operand()
        return answer

    def operand() -> bool:
        nonlocal position
        if position >= len(tokens):
            return False
        token = tokens[position]
        position += 1
        if token != "(":
            return token in licences
        answer = alternatives()
        closed = position < len(tokens) and tokens[position] == ")"
        position += 1
        return answer and closed

    # A remainder (WITH and its exception, a stray word) was not understood, so the expression is not allowed.
    return alternatives() and position == len(tokens)


def refused(packages: Iterable[LockedPackage], licences: frozenset[str] = ALLOWED) -> list[Refused]:
    """Locked packages that apply to this machine and whose installed copy has none of `licences`.

    Raises `PackageNotFoundError` if one is not installed in the locked version.
    """
    found = []
    for package in packages:
        if not package.applies():
            continue
        licence = licence_of(installed(package))
        if not allowed(licence, licences):
            found.append(Refused(package=package.name, licence=licence))
    return sorted(found)


def installed(package: LockedPackage) -> Distribution:
    """The installed copy. Raises `PackageNotFoundError` if none has the locked version."""
    found = distribution(package.name)
    if found.version != package.version:
        raise PackageNotFoundError(f"{package.name}=={package.version} (installed is {found.version})")
    return found


def _field(found: Distribution, key: str) -> str:
    values: list[str] = found.metadata.get_all(key) or []
    return values[0] if values else _UNKNOWN


def _identified(text: str) -> str:
    line = text.strip().split("\n", 1)[0].strip()
    known = _WORDS.get(line.lower())
    if known:
        return known
    return line if line in ALLOWED_IN_DEVELOPMENT and _IDENTIFIER.fullmatch(line) else _UNKNOWN
