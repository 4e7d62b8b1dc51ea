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
# Of a random sequence, and at most of each of its moves.
MOVES, KILLS = 3, 2
ROUNDS = 3
INTERRUPTED = 130
# Set by Ctrl-C, for the threads of the parts.
stopping = Event()


class BrokenOff(Exception):
    """Raised where a life may be left: what stands around it clears up."""


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
            # How the rest ends says nothing: a terminal's Ctrl-C reaches the engines too.
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
    """Lives with a kill at each point of each run, until all were struck or a whole life brought nothing new."""
    with started_sandbox() as sandbox, faulty_stack(sandbox, "soak") as stack:
        for _ in range(ROUNDS):
            before = points.counts["converged"]
            life(stack, points, killed)
            if points.complete or points.counts["converged"] == before:
                break


def stream(sequences: Sequences, seeds: SimpleQueue[int], name: str) -> None:
    """Random sequences, one after the other on one stack, until no seed is left."""
    if seeds.empty():
        return
    with (
        started_sandbox() as sandbox,
        # Outlives the stack, whose end may take an `up` that reads what is in there.
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
    """Every journey once, killed wherever it has not been killed yet."""
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
        # Only now: what was struck in a run that did not converge would not be looked at again.
        points.add(journey.name, walk.done)
        if passed:
            print(f"  not come to: {', '.join(map(str, passed))}", flush=True)


def tell(struck: list[Point]) -> None:
    print("  " + "; ".join(map(str, struck)), flush=True)
    if stopping.is_set():
        raise BrokenOff


def commit() -> str:
    """Of the checkout, marked where it has been changed since: a count belongs to what was tested."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True
        ).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!soak")
    return git("rev-parse", "HEAD") + ("-changed" if changed else "")


if __name__ == "__main__":
    sys.exit(main())
