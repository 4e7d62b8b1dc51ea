"""The seed for random choices in the engine tests: shown at the start of a run, and reused to repeat it."""

from __future__ import annotations

import os
import random

VARIABLE = "FAULTS_SEED"


def settle() -> None:
    """Keep the seed that is set, or set a new one for the workers too; a gate's (`REPEATABLE`) is always the same."""
    fresh = 1 if os.environ.get("REPEATABLE") else random.SystemRandom().randrange(10**6)
    os.environ.setdefault(VARIABLE, str(fresh))


def seed() -> int:
    return int(os.environ[VARIABLE])
