"""The seed of what chance decides in the tests that run the engine: shown at the head of a run, and repeated by it."""

from __future__ import annotations

import os
import random

VARIABLE = "FAULTS_SEED"


def settle() -> int:
    """The one that is set, or a new one; a gate's (`REPEATABLE`) is always the same. Inherited by the workers."""
    fresh = 1 if os.environ.get("REPEATABLE") else random.SystemRandom().randrange(10**6)
    os.environ.setdefault(VARIABLE, str(fresh))
    return seed()


def seed() -> int:
    return int(os.environ[VARIABLE])
