"""Alternating measurements: a slow moment of the machine affects both sides, and the ratio of medians is kept."""

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

# A process's peak memory begins with that of the process it was forked from, so a small launcher comes between.
_LAUNCHER = """
import os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


_LOOK_EVERY_SECONDS = 0.1


class BenchError(Exception):
    """A side could not be measured; the text contains the output of the command that failed."""


@dataclass(frozen=True)
class Figure:
    """One row: what is compared with what, the target to reach, and every measurement of both sides."""

    name: str
    reach: float
    """The target: this ratio or less."""
    ours: list[float]
    baseline: list[float]
    unit: str = "s"
    remark: str = ""

    @property
    def ratio(self) -> float:
        """The ratio of the medians; without a baseline, our own median, which is then a count."""
        return median(self.ours) / median(self.baseline) if self.baseline else median(self.ours)

    @property
    def reached(self) -> bool:
        return self.ratio <= self.reach

    def row(self) -> dict[str, object]:
        return {"name": self.name, "ratio": round(self.ratio, 3), "reach": self.reach, "runs": len(self.ours)}

    def detail(self) -> dict[str, object]:
        """The measurements that the row rests on."""
        # Precise enough to recompute the same ratio: some figures are in milliseconds.
        digits = 2 if self.unit == "MB" else 6
        measured: dict[str, object] = {
            "unit": self.unit,
            "ours": [round(value, digits) for value in self.ours],
            "baseline": [round(value, digits) for value in self.baseline],
        }
        return measured | ({"remark": self.remark} if self.remark else {})


def by_turns(runs: int, sides: Mapping[str, Measure]) -> dict[str, list[float]]:
    """Measures each side `runs` times, alternating; the side that begins changes from round to round."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(runs):
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        for name in order:
            found[name].append(sides[name]())
    return found


@dataclass(frozen=True)
class Command:
    """A command line with its directory and environment."""

    arguments: Sequence[str | Path]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def seconds(self) -> float:
        """The elapsed time. Raises BenchError."""
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
        """The process's own processor time in seconds and peak memory in MB. Raises BenchError."""
        spoken = replace(self, arguments=[sys.executable, "-S", "-c", _LAUNCHER, *self.arguments]).output()
        seconds, kilobytes = spoken.rsplit("\n", 2)[-2].split()
        return float(seconds), float(kilobytes) / 1024


@dataclass
class Peak:
    megabytes: float = 0.0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The peak of the total memory of all processes started within the context; shared memory counts once."""
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
    """Proportional set size; 0 for a process that has ended or cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def python(directory: Path, *arguments: str) -> Command:
    """This interpreter, with `directory` on its path as for a program there."""
    return Command([sys.executable, *arguments], directory, os.environ | {"PYTHONPATH": str(directory)})
