"""How a part of the configuration that has modes is told apart: by its explicit `mode`, never by guessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A tag stands in the location that pydantic reports, between keys of the user's. The bracket keeps it from being taken
# for one of them: see `places`.
_OPENING, _CLOSING = "\0<", ">"


def tag(mode: str) -> str:
    return f"{_OPENING}{mode}{_CLOSING}"


def mode_of(part: object) -> str | None:
    """The mode of which `part` is the tag, or None if it is none."""
    if isinstance(part, str) and part.startswith(_OPENING) and part.endswith(_CLOSING):
        return part[len(_OPENING) : -len(_CLOSING)]
    return None


def by_mode(value: Any) -> str | None:
    """Discriminates by `mode`."""
    mode = value.get("mode") if isinstance(value, Mapping) else None
    return tag(mode) if isinstance(mode, str) else None
