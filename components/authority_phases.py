"""The steps by which one certificate authority takes over from another, and which step may follow which.

Pure. One step is one `up`. No step changes both what Teleport trusts and what the access graph serves, so at every
moment, even if a step stops halfway, each Teleport trusts the certificate of each replica of the access graph.

    stable 1 -> introduce 2 -> switch 2 -> retire 2 -> stable 2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.settings.errors import Problem

STABLE, INTRODUCE, SWITCH, RETIRE = "stable", "introduce", "switch", "retire"
PHASES = (STABLE, INTRODUCE, SWITCH, RETIRE)

KEY = "tls.authority"


@dataclass(frozen=True)
class AuthorityStep:
    """A step of the succession. Raises `ValueError` for a step that does not exist."""

    generation: int
    """Number of the authority that signs, or is about to. From 1."""

    phase: str
    """One of `PHASES`. All but stable need an earlier authority, so their generation is 2 or more."""

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise ValueError(f"phase: {self.phase!r} is not one of {', '.join(PHASES)}")
        first = 1 if self.phase == STABLE else 2
        if self.generation < first:
            raise ValueError(f"generation: {self.generation} is less than {first}, the first with phase {self.phase}")

    def __str__(self) -> str:
        return f"phase {self.phase} of generation {self.generation}"

    @property
    def signing(self) -> int:
        """The generation that signs the server certificate."""
        return self.generation - 1 if self.phase == INTRODUCE else self.generation

    @property
    def trusted(self) -> tuple[int, ...]:
        """The generations in the trust bundle, the older first."""
        if self.phase in (INTRODUCE, SWITCH):
            return (self.generation - 1, self.generation)
        return (self.generation,)

    @property
    def existing(self) -> tuple[int, ...]:
        """The generations that exist, the older first. A retired one is kept, unprotected, until the step after, so
        that the step back to `switch` stays possible."""
        return (self.generation,) if self.phase == STABLE else (self.generation - 1, self.generation)

    @property
    def protected(self) -> tuple[int, ...]:
        """The generations whose keys must not be lost. A generation that is only introduced has signed nothing yet, and
        the step back deletes it."""
        return {
            STABLE: (self.generation,),
            INTRODUCE: (self.generation - 1,),
            SWITCH: (self.generation - 1, self.generation),
            RETIRE: (self.generation,),
        }[self.phase]

    @property
    def next(self) -> AuthorityStep:
        """The one step that may follow."""
        if self.phase == STABLE:
            return AuthorityStep(self.generation + 1, INTRODUCE)
        return AuthorityStep(self.generation, PHASES[(PHASES.index(self.phase) + 1) % len(PHASES)])


def allowed_steps(recorded: AuthorityStep) -> tuple[AuthorityStep, AuthorityStep]:
    """The steps that may follow `recorded`, the last one completed: the same again, or the next.

    An `up` that failed may have begun the next step. Both going back to the recorded one and going on are safe then.
    The step after the next is not safe, because the next must first be complete everywhere.
    """
    return recorded, recorded.next


def step_problem(recorded: AuthorityStep | None, wanted: AuthorityStep) -> Problem | None:
    """Why `wanted` may not follow `recorded` (None: the stack has had no authority of its own yet), or None."""
    if recorded is None:
        if wanted.phase == STABLE:
            return None
        return Problem(
            KEY,
            "cannot be the first step of a stack: there is no earlier authority to take over from",
            f"set phase stable; {wanted} comes after it",
            f"{wanted}",
        )
    if wanted in allowed_steps(recorded):
        return None
    stands = f"the stack is in {recorded}, the last one that an `up` completed"
    return Problem(
        KEY,
        f"{_relation(recorded, wanted)}: {stands}",
        f"set {recorded} to stay there (also after an `up` that failed), or {recorded.next}, the next one",
        f"{wanted}",
    )


def algorithms(step: AuthorityStep, newest: str, previous: str | None) -> dict[int, str]:
    """Algorithm by existing generation: `newest` for the latest, `previous` (default: the same) for the one before."""
    return {generation: newest if generation == step.generation else previous or newest for generation in step.existing}


def algorithm_problem(recorded: Mapping[int, str], wanted: Mapping[int, str]) -> Problem | None:
    """Why an existing authority cannot change its algorithm, or None: it would become another one, without overlap, and
    the engine refuses to replace its protected key. Both arguments are `algorithms` of their steps."""
    for generation in sorted(recorded.keys() & wanted.keys(), reverse=True):
        was, new = recorded[generation], wanted[generation]
        if was == new:
            continue
        if generation < max(wanted):
            return Problem(
                f"{KEY}.previousAlgorithm",
                f"is not {was}, the algorithm of authority {generation}",
                f"set {was}",
                new,
            )
        return Problem(
            "tls.algorithm",
            f"is not {was}, the algorithm of authority {generation}, whose protected key would be replaced",
            f"set {was} again, or give {new} to the next authority: {KEY} with generation {generation + 1}, phase "
            f"{INTRODUCE} and previousAlgorithm {was}",
            new,
        )
    return None


def _relation(recorded: AuthorityStep, wanted: AuthorityStep) -> str:
    if _position(wanted) < _position(recorded):
        return "is an earlier step, and what was trusted then may not be trusted any more"
    skipped: list[AuthorityStep] = []
    step = recorded.next
    while step != wanted and len(skipped) < len(PHASES):
        skipped.append(step)
        step = step.next
    if step != wanted:
        return "is more than a generation away"
    return f"skips {' and '.join(str(step) for step in skipped)}, and calls would fail meanwhile"


def _position(step: AuthorityStep) -> int:
    """Order along the succession. Stable is the last phase of its generation."""
    return step.generation * len(PHASES) + (PHASES.index(step.phase) - 1) % len(PHASES)
