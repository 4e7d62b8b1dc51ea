"""Looks into maps in maps, as objects, values, settings and states are: a part may be missing, or something else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_at(values: Any, *keys: str) -> Any:
    """The value under `keys`; None where there is none."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
