"""Waits for a condition."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

# Between two checks.
_PAUSE_SECONDS = 0.2
Found = TypeVar("Found")


def eventually(condition: Callable[[], Found], seconds: float, what: str) -> Found:
    """The value of `condition` once it is truthy."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(_PAUSE_SECONDS)
    return found
