"""`make soak`: kills every run of a stack's life at each of its points, and, beside it on a sandbox of its own, leads
another stack through random sequences of changes and kills. An hour on two cores, and resumable.

    python -m tests.faults.soak [--sequences 50] [--journeys up,rotate] [--results soak/results.json]

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
from threading import Lock

from sandbox.home import CHECKOUT
from tests.engine.conftest import started_sandbox
from tests.faults.journeys import JOURNEYS, at_the_beginning
from tests.faults.lives import IN_ORDER, Life, finish
from tests.faults.results import Results
from tests.faults.walk import FaultyStack, Kept, NotConverged, Walk, faulty_stack

RESULTS = CHECKOUT / "soak" / "results.json"
# Of a random sequence, and at most of each of its moves.
MOVES, KILLS = 3, 2
ROUNDS = 3
# Both parts have the results.
WRITING = Lock()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--sequences", type=int, default=50, help="random sequences altogether (default: 50)")
    parser.add_argument("--journeys", default=",".join(one.name for one in JOURNEYS), help="those to kill")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    results = Results.read(options.results, commit(), datetime.date.today().isoformat())
    failed = False
    with ThreadPoolExecutor(2) as beside:
        parts = [
            beside.submit(journeys, results, set(options.journeys.split(",")), options.results),
            beside.submit(sequences, results, options.sequences, options.results),
        ]
        for part in as_completed(parts):
            try:
                part.result()
            except NotConverged as failure:
                failed = True
                print(f"\nnot converged: {failure}\n", file=sys.stderr, flush=True)
    print(f"{results.counts} in {options.results}")
    return 0 if results.complete and not failed else 1


def journeys(results: Results, killed: set[str], file: Path) -> None:
    """Lives with a kill at each point of each run, until all were struck or a whole life brought nothing new."""
    with started_sandbox() as sandbox, faulty_stack(sandbox, "soak") as stack:
        for _ in range(ROUNDS):
            before = results.counts["converged"]
            life(stack, results, killed, file)
            if results.complete or results.counts["converged"] == before:
                break


def sequences(results: Results, count: int, file: Path) -> None:
    """So many random sequences altogether, one after the other on one stack."""
    left = [seed for seed in range(1, count + 1) if str(seed) not in results.seeds]
    if not left:
        return
    with (
        started_sandbox() as sandbox,
        faulty_stack(sandbox, "sequences") as stack,
        tempfile.TemporaryDirectory(prefix="life-") as directory,
    ):
        random_life = Life(stack, Path(directory))
        random_life.begin()
        for seed in left:
            happened = random_life.sequence(seed, MOVES, KILLS)
            print(f"seed {seed}: {'; '.join(happened)}", flush=True)
            with WRITING:
                results.seeds[str(seed)] = happened
                results.write(file)
        random_life.end()


def life(stack: FaultyStack, results: Results, killed: set[str], file: Path) -> None:
    """Every journey once, killed wherever it has not been killed yet."""
    stack.change(at_the_beginning)
    kept = Kept()
    for journey in JOURNEYS:
        stack.change(journey.change)
        points = journey.points(stack) if journey.name in killed else []
        walk = Walk(stack, (journey.command, *IN_ORDER), kept)
        kept.may_go = journey.may_go
        with WRITING:
            left = results.left(journey.name, points)
        print(f"{journey.name}: {len(left)} of {len(points)} points", flush=True)
        passed = walk.through(
            left, look_at_each=True, each=lambda struck: print("  " + "; ".join(map(str, struck)), flush=True)
        )
        finish(journey, stack, kept)
        # Only now: what was struck in a run that did not converge would not be looked at again.
        with WRITING:
            results.add(journey.name, walk.done)
            results.write(file)
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
