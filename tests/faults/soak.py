"""`make soak`: kills every run of a stack's life at each of its points, and, beside it on a sandbox of its own, leads
another stack through random sequences of changes and kills. An hour on two cores, and resumable.

    python -m tests.faults.soak [--journeys up,rotate] [--sequences 50] [--streams 1] [--results soak]

Ends with 0 when every point was struck and every run converged as an undisturbed one does.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from queue import Empty, SimpleQueue

from sandbox.home import CHECKOUT
from tests.engine.conftest import EngineFailed, started_sandbox
from tests.faults.journeys import JOURNEYS, at_the_beginning
from tests.faults.lives import IN_ORDER, Life, finish
from tests.faults.results import Points, Sequences
from tests.faults.walk import FaultyStack, Kept, NotConverged, Walk, faulty_stack

RESULTS = CHECKOUT / "soak"
# Of a random sequence, and at most of each of its moves.
MOVES, KILLS = 3, 2
ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--journeys", default=",".join(one.name for one in JOURNEYS), help="runs to kill; '' for none")
    parser.add_argument("--sequences", type=int, default=50, help="random sequences altogether (default: 50)")
    parser.add_argument("--streams", type=int, default=1, help="sequences beside each other, each with a sandbox")
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
            parts.append(beside.submit(journeys, points, set(options.journeys.split(","))))
        for part in as_completed(parts):
            try:
                part.result()
            except (NotConverged, EngineFailed) as failure:
                failed = True
                print(f"\nnot converged: {failure}\n", file=sys.stderr, flush=True)
    print(f"{points.counts} in {points.file}\n{sequences.counts} in {sequences.file}")
    return 1 if failed or (options.journeys and not points.complete) else 0


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
        while True:
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
        passed = walk.through(
            left, look_at_each=True, each=lambda struck: print("  " + "; ".join(map(str, struck)), flush=True)
        )
        finish(journey, stack, kept)
        # Only now: what was struck in a run that did not converge would not be looked at again.
        points.add(journey.name, walk.done)
        if passed:
            print(f"  not come to: {', '.join(map(str, passed))}", flush=True)


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
