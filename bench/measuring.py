"""Measurements by turns: a slow moment of the machine meets both sides, and the medians' ratio is what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event, Thread

from sandbox.processes import descendants

Measure = Callable[[], float]

# A process begins with the memory of the one that it was forked from as its peak: a small one is put in between.
_LAUNCHER = """
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


_LOOK_EVERY_SECONDS = 0.1


class BenchError(Exception):
    """A side could not be measured; the text has the output of the command that failed."""


@dataclass(frozen=True)
class Figure:
    """One row: what, against what, what is to be reached, and every measurement of both sides."""

    name: str
    reach: float
    """The ratio that is aimed at, or less."""
    ours: list[float]
    baseline: list[float]
    unit: str = "s"
    remark: str = ""

    @property
    def ratio(self) -> float:
        """Of the medians; where there is no baseline, ours itself, which is then a count."""
        return median(self.ours) / median(self.baseline) if self.baseline else median(self.ours)

    @property
    def reached(self) -> bool:
        return self.ratio <= self.reach

    def row(self) -> dict[str, object]:
        return {"name": self.name, "ratio": round(self.ratio, 3), "reach": self.reach, "runs": len(self.ours)}

    def detail(self) -> dict[str, object]:
        """What the row rests on."""
        # Enough for the ratio to be the same when it is made of them again: some figures are of milliseconds.
        digits = 2 if self.unit == "MB" else 6
        measured: dict[str, object] = {
            "unit": self.unit,
            "ours": [round(value, digits) for value in self.ours],
            "baseline": [round(value, digits) for value in self.baseline],
        }
        return measured | ({"remark": self.remark} if self.remark else {})


def by_turns(runs: int, sides: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Each side `runs` times, one after the other; who begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(runs):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            found[name].append(sides[name]())
    return found


@dataclass(frozen=True)
class Command:
    """A command line with its surroundings."""

    arguments: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def seconds(self) -> float:
        """How long it takes by the clock. Raises BenchError."""
        began = time.monotonic()
        self.output()
        return time.monotonic() - began

    def output(self) -> str:
        done = subprocess.run(
            list(self.arguments),
            cwd=self.directory,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            line = " ".join(str(argument) for argument in self.arguments)
            raise BenchError(f"{line} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def usage(self) -> tuple[float, float]:
        """Seconds of processor time and the peak of memory in MB, of the process itself. Raises BenchError."""
        spoken = replace(self, arguments=[sys.executable, "-S", "-c", _LAUNCHER, *self.arguments]).output()
        seconds, kilobytes = spoken.rsplit("\n", 2)[-2].split()
        return float(seconds), float(kilobytes) / 1024


@dataclass
class Peak:
    megabytes: float = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The most memory that what is started meanwhile has at a time, all of it together; what processes share counts
    once."""
    peak, done = Peak(), Event()
    before = set(descendants(os.getpid()))

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_SECONDS):
            peak.megabytes = max(peak.megabytes, sum(map(_megabytes, set(descendants(os.getpid())) - before)))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def _megabytes(pid: int) -> float:
    """Proportional set size; nothing of a process that has ended or is somebody else's by now."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def python(directory: Path, *arguments: str) -> Command:
    """This interpreter, with `directory` as its program would have it."""
    return Command([sys.executable, *arguments], directory, os.environ | {"PYTHONPATH": str(directory)})
