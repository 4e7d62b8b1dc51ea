"""`make soak`: kills every run of a stack's life at each of its points, and random sequences; hours, and resumable.

    python -m tests.faults.soak [--sequences 50] [--journeys up,rotate] [--results soak/results.json]

Ends with 0 when every point was struck and every run converged as an undisturbed one does.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from sandbox.home import CHECKOUT
from tests.engine.conftest import started_sandbox
from tests.faults.journeys import DESTROY, INTRODUCE, JOURNEYS, ROTATE, UP, Journey, at_the_beginning
from tests.faults.points import sampled
from tests.faults.results import Results
from tests.faults.walk import FaultyStack, Kept, NotConverged, Walk, check_converged, check_gone, faulty_stack

RESULTS = CHECKOUT / "soak" / "results.json"
# Kills of a random sequence: more would need longer for each than a walk through all of them.
KILLS = 4
# The engine's own order may pass a point by while others are made at the same time: one at a time, it passes none.
IN_ORDER = ("--parallel", "1")
ROUNDS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--sequences", type=int, default=50, help="random sequences altogether (default: 50)")
    parser.add_argument("--journeys", default=",".join(one.name for one in JOURNEYS), help="those to kill")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    results = Results.read(options.results, commit(), datetime.date.today().isoformat())
    killed = set(options.journeys.split(","))
    with started_sandbox() as sandbox, faulty_stack(sandbox, "soak") as stack:
        try:
            for _ in range(ROUNDS):
                before = results.counts["converged"]
                life(stack, results, killed, options.results)
                if results.complete or results.counts["converged"] == before:
                    break
            for seed in range(1, options.sequences + 1):
                if str(seed) not in results.seeds:
                    results.seeds[str(seed)] = sequence(stack, seed)
                    results.write(options.results)
        except NotConverged as failure:
            print(f"\nnot converged: {failure}", file=sys.stderr)
            return 1
    print(f"{results.counts} in {options.results}")
    return 0 if results.complete else 1


def life(stack: FaultyStack, results: Results, killed: set[str], file: Path) -> None:
    """Every journey once, killed wherever it has not been killed yet."""
    stack.change(at_the_beginning)
    kept = Kept()
    for journey in JOURNEYS:
        stack.change(journey.change)
        points = journey.points(stack) if journey.name in killed else []
        walk = Walk(stack, (journey.command, *IN_ORDER), kept)
        kept.may_go = journey.may_go
        left = results.left(journey.name, points)
        print(f"{journey.name}: {len(left)} of {len(points)} points", flush=True)
        passed = walk.through(
            left, look_at_each=True, each=lambda struck: print("  " + "; ".join(map(str, struck)), flush=True)
        )
        finish(journey, stack, kept)
        # Only now: what was struck in a run that did not converge would not be looked at again.
        results.add(journey.name, walk.done)
        results.write(file)
        if passed:
            print(f"  not come to: {', '.join(map(str, passed))}", flush=True)


def finish(journey: Journey, stack: FaultyStack, kept: Kept) -> None:
    if journey is DESTROY:
        check_gone(stack)
        kept.values.clear()
    else:
        check_converged(stack, kept)


def sequence(stack: FaultyStack, seed: int) -> list[str]:
    """A life of some journeys with a few kills in each, in the engine's own order; where it was killed."""
    print(f"seed {seed}", flush=True)
    stack.change(at_the_beginning)
    kept = Kept()
    struck: list[str] = []
    for journey in (UP, ROTATE, INTRODUCE, DESTROY) if seed % 2 else (UP, DESTROY):
        stack.change(journey.change)
        kept.may_go = journey.may_go
        walk = Walk(stack, (journey.command,), kept)
        walk.through(sampled(journey.points(stack), KILLS, seed))
        finish(journey, stack, kept)
        struck += [f"{journey.name}: {point}" for point in walk.done]
    return struck


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
