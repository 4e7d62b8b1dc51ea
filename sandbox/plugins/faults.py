"""Deliberate faults: kills the engine or the plugin right before, during or right after an operation.

Off unless SANDBOX_FAULTS names a file with one point a line: `<type or name> <operation> <moment> [<victim>]`. The
first operation that matches a point triggers it, and the point is recorded in `<file>.struck`. The operation itself is
unchanged.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from sandbox.processes import descendants

VARIABLE: Final = "SANDBOX_FAULTS"
OPERATIONS: Final = ("create", "read", "update", "delete")
# "between": after the call that creates an object, where a stand-in needs further calls to finish it.
MOMENTS: Final = ("before", "between", "during", "after")
VICTIMS: Final = ("engine", "plugin")
# Seconds into an operation: by then Helm has written its record and is waiting for pods, which take longer.
DURING_SECONDS: Final = 1.0

Result = TypeVar("Result")

# Per thread: the strike due between the calls of the operation under way, if any.
_underway = threading.local()


def between_calls() -> None:
    """A stand-in calls this when its object has been created but is not yet finished."""
    strike: Callable[[], None] | None = getattr(_underway, "between", None)
    if strike is not None:
        strike()


@dataclass(frozen=True)
class Point:
    """Where to strike. `of` is a type token or the name of a resource."""

    of: str
    operation: str
    moment: str
    victim: str = "engine"

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS or self.moment not in MOMENTS or self.victim not in VICTIMS:
            raise ValueError(f"{VARIABLE}: {self} is no point; see sandbox/plugins/faults.py")

    def __str__(self) -> str:
        return f"{self.of} {self.operation} {self.moment} {self.victim}"

    @classmethod
    def parse(cls, line: str) -> Point:
        """Raises `ValueError`: a misspelt fault would otherwise never strike."""
        words = line.split()
        if len(words) not in (3, 4):
            raise ValueError(f"{VARIABLE}: {line!r} is no point: <type or name> <operation> <moment> [<victim>]")
        return cls(*words)


class Faults:
    """The points of one plugin's process."""

    def __init__(self, file: Path | None, strike: Callable[[str], None] | None = None) -> None:
        self._file = file
        self._strike = strike or _strike
        lines = file.read_text().splitlines() if file else []
        self._points = [Point.parse(line) for line in lines if line.strip()]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Faults:
        """Without points when the variable is not set."""
        return cls(Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)

    def around(self, urn: str, type_: str, operation: str, act: Callable[[], Result]) -> Result:
        """Runs `act` with the faults that match it. An operation that fails by itself has no "after"."""
        fitting = {
            point.moment: point
            for point in self._points
            if point.of in (type_, urn.rpartition("::")[2]) and point.operation == operation
        }
        if "before" in fitting:
            self._hit(fitting["before"])
        timer = None
        if "during" in fitting:
            timer = threading.Timer(DURING_SECONDS, self._hit, [fitting["during"]])
            timer.daemon = True
            timer.start()
        _underway.between = partial(self._hit, fitting["between"]) if "between" in fitting else None
        try:
            result = act()
        finally:
            _underway.between = None
            if timer is not None:
                timer.cancel()
        if "after" in fitting:
            self._hit(fitting["after"])
        return result

    def _hit(self, point: Point) -> None:
        assert self._file is not None
        with self._file.with_name(f"{self._file.name}.struck").open("a") as record:
            record.write(f"{point}\n")
        self._strike(point.victim)


def _strike(victim: str) -> NoReturn:
    """SIGKILL, so that nothing can be recorded, answered or cleaned up afterwards."""
    if victim == "engine":
        kill_tree(os.getppid())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be handled")


def kill_tree(engine: int) -> None:
    """Kill the engine and everything it started except this process, as when a machine goes down."""
    family = [pid for pid in descendants(engine) if pid != os.getpid()]
    # The engine first: it must not notice a plugin's death.
    for pid in (engine, *family):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # already ended
