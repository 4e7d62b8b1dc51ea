"""The seed of what chance decides in the tests that run the engine: shown at the head of a run, and repeated by it."""

from __future__ import annotations

import os
import random

VARIABLE = "FAULTS_SEED"


def settle() -> None:
    """Keep the one that is set, or set a new one, for the workers too; a gate's (`REPEATABLE`) is always the same."""
    fresh = 1 if os.environ.get("REPEATABLE") else random.SystemRandom().randrange(10**6)
    os.environ.setdefault(VARIABLE, str(fresh))


def seed() -> int:
    return int(os.environ[VARIABLE])
