"""What the API's code and the servers' workers share: one lock, the fleet, and the function that saves a change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cloud.fleet import Fleet


@dataclass(frozen=True)
class ApiState:
    lock: threading.RLock
    """Held while a call is served and while a worker's report is processed."""
    fleet: Fleet
    save: Callable[[], None]


_current: ApiState | None = None


def set_state(state: ApiState) -> None:
    """moto creates its backends itself and passes them no arguments, so they find the state here."""
    global _current
    _current = state


def state() -> ApiState:
    assert _current is not None, "set_state() comes before the first call"
    return _current
