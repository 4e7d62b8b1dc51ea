"""One command for many environments: a limited number at a time, one status line for each, failures last.

Owns the order, the limit and the output. `fleet_engine` does the work on one environment, behind `Run`.
"""

from __future__ import annotations

import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

# Does one thing to one environment, writes the engine's output to the file, and returns the number of resources per
# operation. Raises FleetError when the engine refuses or fails.
Run = Callable[[str, Path], Mapping[str, int]]
Say = Callable[[str], None]

# Most important to the reader first; unchanged resources are not counted.
_OPERATIONS = ("delete", "replace", "create", "update", "import", "read", "refresh")
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAID_AS: Mapping[str, str | None] = {
    "create-replacement": "replace",
    "delete-replaced": None,
    "same": None,
    "discard": None,
}


class FleetOperation(str, Enum):
    preview = "preview"
    up = "up"


class FleetError(Exception):
    """One environment's command failed; the text is the engine's own."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    stack: str
    seconds: float
    log: Path
    changes: Mapping[str, int]
    error: str | None = None
    """None when it succeeded."""

    @property
    def line(self) -> str:
        said = self.error or changes_in_words(self.changes)
        return f"{'FAILED' if self.error else 'ok':<6}  {self.seconds:6.1f} s  {said}"


@dataclass(kw_only=True)
class Report:
    outcomes: list[Outcome] = field(default_factory=list)
    """In the order in which they ended."""
    not_begun: list[str] = field(default_factory=list)

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error]

    @property
    def exit_code(self) -> int:
        return 1 if self.failures or self.not_begun else 0


def run_fleet(
    stacks: Sequence[str],
    run: Run,
    *,
    parallel: int,
    logs: Path,
    say: Say,
    max_failures: int | None = None,
    cancel: Callable[[], None] = lambda: None,
) -> Report:
    """Run all of `stacks`, `parallel` at a time. After `max_failures` failures no other is begun.

    The first interrupt (Ctrl-C) only stops further ones from beginning: a killed engine leaves a lock and half-made
    objects behind. Each further interrupt calls `cancel`, which asks the running engines to end. So does the first of
    any other signal (a time-out, a cancelled job, a closed terminal), because its sender will not wait. The running
    ones are always waited for.
    """
    report = Report()
    width = max(map(len, stacks), default=0)
    waiting = deque(stacks)
    running: list[Future[Outcome]] = []
    begun: set[str] = set()
    stopped = False

    interrupts = 0

    def interrupted(number: int) -> None:
        nonlocal stopped, interrupts
        stopped = True
        interrupts += 1
        under_way = ", ".join(sorted(begun))
        if number != signal.SIGINT:
            cancel()
            say(f"told to end: cancelling {under_way}")
        elif interrupts > 1:
            cancel()
            say(f"interrupted again: cancelling {under_way}")
        else:
            say(f"interrupted: waiting for {under_way}; once more cancels them")

    with _interrupts(interrupted), ThreadPoolExecutor(max_workers=parallel) as pool:
        while running or (waiting and not stopped):
            while waiting and not stopped and len(running) < parallel:
                stack = waiting.popleft()
                begun.add(stack)
                running.append(pool.submit(_outcome, stack, run, logs / f"{stack}.log"))
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in [one for one in running if one in done]:
                running.remove(future)
                outcome = future.result()
                report.outcomes.append(outcome)
                begun.discard(outcome.stack)
                say(f"{outcome.stack:<{width}}  {outcome.line}")
            stopped = stopped or (max_failures is not None and len(report.failures) >= max_failures)
    report.not_begun = list(waiting)
    return report


@contextmanager
def _interrupts(act: Callable[[int], None]) -> Iterator[None]:
    """In this context, signals that end a command call `act` with their number. Ignored signals stay ignored (nohup),
    except SIGINT."""
    before = {number: signal.getsignal(number) for number in _ENDS}
    heard = [number for number in _ENDS if number == signal.SIGINT or before[number] is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, lambda got, _: act(got))
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


def closing_lines(report: Report) -> list[str]:
    """The last lines: how many succeeded, which were not begun, and each failure with its log."""
    total = len(report.outcomes) + len(report.not_begun)
    lines = [f"{len(report.outcomes) - len(report.failures)} of {total} went well"]
    if report.not_begun:
        lines.append(f"not begun: {', '.join(report.not_begun)}")
    for outcome in sorted(report.failures, key=lambda failure: failure.stack):
        lines += [f"{outcome.stack}: {outcome.error}", f"  log: {outcome.log}"]
    return lines


def changes_in_words(changes: Mapping[str, int]) -> str:
    """`{"create": 2, "same": 40}` -> `2 create`; the two steps of a replacement count once."""
    counted: Counter[str] = Counter()
    for operation, count in changes.items():
        name = _SAID_AS.get(operation, operation)
        if name == "replace":
            # The engine's summary counts both the replacement and the creation of the new resource.
            counted[name] = max(counted[name], count)
        elif name is not None:
            counted[name] += count
    known = [name for name in _OPERATIONS if counted[name]]
    others = sorted(name for name in counted if name not in _OPERATIONS and counted[name])
    return ", ".join(f"{counted[name]} {name}" for name in [*known, *others]) or "no change"


def _outcome(stack: str, run: Run, log: Path) -> Outcome:
    started = time.monotonic()
    changes: Mapping[str, int] = {}
    error = None
    try:
        changes = run(stack, log)
    except FleetError as failure:
        error = str(failure)
    except Exception as failure:
        # The others' results are worth more than this one's traceback.
        error = f"{type(failure).__name__}: {failure}"
    return Outcome(stack=stack, seconds=time.monotonic() - started, log=log, changes=changes, error=error)
