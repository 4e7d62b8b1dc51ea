"""`make soak`: kills every run of a stack's life at each of its points, and, beside it on a sandbox of its own, leads
another stack through random sequences of changes and kills. An hour on two cores, and resumable.

    python -m tests.faults.soak [--journeys up,rotate] [--sequences 50] [--streams 1] [--results soak]

Ends with 0 when every point was struck and every run converged as an undisturbed one does; Ctrl-C ends it at the next
kill or sequence, without what it started.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event

from sandbox.home import CHECKOUT
from sandbox.plugins.faults import Point
from tests.engine.conftest import EngineFailed, started_sandbox
from tests.faults.journeys import JOURNEYS, at_the_beginning
from tests.faults.lives import IN_ORDER, Life, finish
from tests.faults.results import Points, Sequences
from tests.faults.walk import FaultyStack, Kept, NotConverged, Walk, faulty_stack

RESULTS = CHECKOUT / "soak"
# Moves of a random sequence, and the most kills in each move.
MOVES, KILLS = 3, 2
ROUNDS = 3
INTERRUPTED = 130
# Set by Ctrl-C, for the threads of the parts.
stopping = Event()


class BrokenOff(Exception):
    """Raised at a kill after Ctrl-C, where a life can be ended; the surrounding context managers clean up."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    names = ",".join(one.name for one in JOURNEYS)
    parser.add_argument("--journeys", type=known_journeys, default=names, help=f"runs to kill: {names}; '' for none")
    parser.add_argument("--sequences", type=not_negative, default=50, help="random sequences altogether (default: 50)")
    parser.add_argument(
        "--streams", type=not_negative, default=1, help="sequences beside each other, each with a sandbox"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where points.json and sequences.json go")
    options = parser.parse_args(arguments)
    of = (options.results, commit(), datetime.date.today().isoformat())
    points, sequences = Points(*of), Sequences(*of)
    failed = False
    seeds: SimpleQueue[int] = SimpleQueue()
    for seed in sequences.left(options.sequences):
        seeds.put(seed)
    with ThreadPoolExecutor(1 + options.streams) as beside:
        parts = [beside.submit(stream, sequences, seeds, f"sequences-{number}") for number in range(options.streams)]
        if options.journeys:
            parts.append(beside.submit(journeys, points, options.journeys))
        try:
            for part in as_completed(parts):
                try:
                    part.result()
                except (NotConverged, EngineFailed) as failure:
                    failed = True
                    print(f"\nnot converged: {failure}\n", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            stopping.set()
            print("broken off: ends at the next kill or sequence, and takes its sandboxes down", file=sys.stderr)
            # The outcome of the parts does not count: a terminal's Ctrl-C also reaches their engines.
            wait(parts)
            return INTERRUPTED
    print(f"{points.counts} in {points.file}\n{sequences.counts} in {sequences.file}")
    return 1 if failed or (options.journeys and not points.complete) else 0


def known_journeys(text: str) -> set[str]:
    names = [one.name for one in JOURNEYS]
    found = set(filter(None, text.split(",")))
    unknown = sorted(found.difference(names))
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}: a run is one of {', '.join(names)}")
    return found


def not_negative(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is less than 0")
    return number


def journeys(points: Points, killed: set[str]) -> None:
    """Leads a stack through lives with a kill at each point of each run, until the runs have been killed at all points,
    or a whole life has brought no new one."""
    with started_sandbox() as sandbox, faulty_stack(sandbox, "soak") as stack:
        for _ in range(ROUNDS):
            before = points.counts["converged"]
            life(stack, points, killed)
            if points.complete or points.counts["converged"] == before:
                break


def stream(sequences: Sequences, seeds: SimpleQueue[int], name: str) -> None:
    """Runs random sequences, one after the other on one stack, until no seed is left."""
    if seeds.empty():
        return
    with (
        started_sandbox() as sandbox,
        # Outlives the stack, because ending the stack may take an `up`, which reads files from here.
        tempfile.TemporaryDirectory(prefix="life-") as directory,
        faulty_stack(sandbox, name) as stack,
    ):
        random_life = Life(stack, Path(directory))
        random_life.begin()
        while not stopping.is_set():
            try:
                seed = seeds.get_nowait()
            except Empty:
                break
            happened = random_life.sequence(seed, MOVES, KILLS)
            print(f"seed {seed}: {'; '.join(happened)}", flush=True)
            sequences.add(seed, happened)
        random_life.end()


def life(stack: FaultyStack, points: Points, killed: set[str]) -> None:
    """Runs every journey once, with a kill at each point where it has not been killed yet."""
    stack.change(at_the_beginning)
    kept = Kept()
    for journey in JOURNEYS:
        stack.change(journey.change)
        found = journey.points(stack) if journey.name in killed else []
        walk = Walk(stack, (journey.command, *IN_ORDER), kept)
        kept.may_go = journey.may_go
        left = points.left(journey.name, found)
        print(f"{journey.name}: {len(left)} of {len(found)} points", flush=True)
        passed = walk.through(left, look_at_each=True, each=tell)
        finish(journey, stack, kept)
        # Only after the run has converged: otherwise its points would count as done, and not be tried again.
        points.add(journey.name, walk.done)
        if passed:
            print(f"  not come to: {', '.join(map(str, passed))}", flush=True)


def tell(struck: list[Point]) -> None:
    print("  " + "; ".join(map(str, struck)), flush=True)
    if stopping.is_set():
        raise BrokenOff


def commit() -> str:
    """The checkout's commit, marked if files have changed since, because a count belongs to the tested code."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!soak")
    return git("rev-parse", "HEAD") + ("-changed" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
