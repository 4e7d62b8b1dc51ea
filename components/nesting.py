"""How deep Helm values may be nested, whatever their source: a file, or the stack's secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Helm and the API server refuse more, and Python's own recursion bears little more.
DEEPEST_VALUES: Final = 100


def is_deeper(value: Any, levels: int) -> bool:
    """Whether `value`, of JSON's types, has more than `levels` levels. A plain text is one level."""
    level = [value]
    for _ in range(levels):
        level = [inner for one in level for inner in _members(one)]
    return bool(level)


def _members(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []
