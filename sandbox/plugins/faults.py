"""Faults on purpose: kills the engine, or the plugin, right before, in the middle of or right after an operation.

Off unless SANDBOX_FAULTS names a file with a point on each line: `<type or name> <operation> <moment> [<victim>]`. The
first operation that fits one strikes, and what struck is left in `<file>.struck`. The operation itself stays as it is.
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
# Between: behind the call that makes an object, where a stand-in makes more of them for it.
MOMENTS: Final = ("before", "between", "during", "after")
VICTIMS: Final = ("engine", "plugin")
# Seconds into an operation: Helm has written its record by then, and waits for pods that take longer.
DURING_SECONDS: Final = 1.0

Result = TypeVar("Result")

# What the operation of each thread has to do between its calls.
_underway = threading.local()


def between_calls() -> None:
    """A stand-in says so where its object is made and not finished."""
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
        """Raises `ValueError`: a fault that is misspelt would never strike."""
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
        """None at all where the variable is not set."""
        return cls(Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)

    def around(self, urn: str, type_: str, operation: str, act: Callable[[], Result]) -> Result:
        """`act`, with whatever is to happen around it. One that fails by itself has no moment after it."""
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
    """SIGKILL: nobody can record, answer or clean up any more."""
    if victim == "engine":
        kill_tree(os.getppid())
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL cannot be handled")


def kill_tree(engine: int) -> None:
    """End the engine and what it started, this process apart, as when a machine goes down."""
    family = [pid for pid in descendants(engine) if pid != os.getpid()]
    # The engine first: it must not see a plugin go.
    for pid in (engine, *family):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended meanwhile
