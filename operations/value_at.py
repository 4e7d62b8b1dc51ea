"""Looks into nested maps (objects, values, settings, states), of which any part may be missing or of another type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def value_at(values: Any, *keys: str) -> Any:
    """The value under `keys`; None when there is none."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values
