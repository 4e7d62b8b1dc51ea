"""One authority succeeds another without a moment in which a call would fail, wherever an `up` stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.authority_phases import PHASES, AuthorityStep, allowed_steps, step_problem

pytestmark = pytest.mark.unit

STEPS = [
    AuthorityStep(generation, phase)
    for generation in (1, 2, 3, 4)
    for phase in PHASES
    if generation > 1 or phase == "stable"
]
steps = st.builds(AuthorityStep, st.integers(min_value=2, max_value=1000), st.sampled_from(PHASES)) | st.just(
    AuthorityStep(1, "stable")
)


def test_the_succession_is_four_steps_long_and_ends_one_generation_on() -> None:
    step, passed = AuthorityStep(1, "stable"), []
    for _ in range(5):
        step = step.next
        passed.append((step.phase, step.generation, step.trusted, step.signing))
    assert passed == [
        ("introduce", 2, (1, 2), 1),
        ("switch", 2, (1, 2), 2),
        ("retire", 2, (2,), 2),
        ("stable", 2, (2,), 2),
        ("introduce", 3, (2, 3), 2),
    ]


@pytest.mark.slow
@given(steps, steps)
def test_from_any_step_exactly_it_and_the_next_are_allowed(recorded: AuthorityStep, wanted: AuthorityStep) -> None:
    assert (step_problem(recorded, wanted) is None) == (wanted in (recorded, recorded.next))
    assert allowed_steps(recorded) == (recorded, recorded.next)
    assert recorded.next != recorded


@pytest.mark.slow
@given(steps)
def test_a_stack_begins_stable(wanted: AuthorityStep) -> None:
    assert (step_problem(None, wanted) is None) == (wanted.phase == "stable")


@pytest.mark.slow
@given(steps)
def test_who_signs_is_trusted_exists_and_cannot_be_lost(step: AuthorityStep) -> None:
    assert step.signing in step.trusted
    assert step.signing in step.protected
    assert set(step.trusted) <= set(step.existing)
    assert set(step.protected) <= set(step.existing)


@given(steps)
def test_a_step_deletes_no_key_that_was_protected_when_it_began(step: AuthorityStep) -> None:
    """Forwards, or back from a next step that failed: the engine refuses to delete a key that its state has as
    protected."""
    assert not set(step.protected) - set(step.next.existing)
    assert not set(step.next.protected) - set(step.existing)


@pytest.mark.slow
@given(steps)
def test_a_retired_key_is_unprotected_by_the_step_that_retires_it_and_dropped_by_the_next(step: AuthorityStep) -> None:
    if step.phase == "switch":
        retired = step.generation - 1
        assert retired in step.protected
        assert retired in step.next.existing
        assert retired not in step.next.protected
        assert retired not in step.next.next.existing


@given(steps)
def test_a_step_changes_who_is_trusted_or_who_signs_and_not_both(step: AuthorityStep) -> None:
    assert step.trusted == step.next.trusted or step.signing == step.next.signing


class World(NamedTuple):
    """What is really deployed: the step whose bundle each auth has, and the step whose certificate each replica
    serves."""

    recorded: AuthorityStep
    auths: tuple[AuthorityStep, ...]
    replicas: tuple[AuthorityStep, ...]


def operations(world: World) -> Iterator[World]:
    """Every single thing that an `up` may do next, in any order; the `up` may stop after each. From one `up` to the
    next, the configuration may change within what is allowed."""
    for target in allowed_steps(world.recorded):
        for index in range(len(world.auths)):
            yield world._replace(auths=(*world.auths[:index], target, *world.auths[index + 1 :]))
        for index in range(len(world.replicas)):
            yield world._replace(replicas=(*world.replicas[:index], target, *world.replicas[index + 1 :]))
        if set(world.auths) == set(world.replicas) == {target}:
            yield world._replace(recorded=target)


def reachable(start: World, last: AuthorityStep) -> set[World]:
    found, waiting = {start}, [start]
    while waiting:
        for world in operations(waiting.pop()):
            if world not in found and world.recorded != last:
                found.add(world)
                waiting.append(world)
    return found


def test_at_every_reachable_moment_each_auth_trusts_each_replica() -> None:
    """Two Teleport clusters and two replicas, through two successions, in every interleaving."""
    first, last = AuthorityStep(1, "stable"), AuthorityStep(3, "stable")
    worlds = reachable(World(first, (first, first), (first, first)), last)
    assert {world.recorded for world in worlds} == {step for step in STEPS if step.generation < 3} | {
        AuthorityStep(3, phase) for phase in ("introduce", "switch", "retire")
    }
    assert (
        len(worlds) == 8 * 2**4
    )  # at each of 8 recorded steps, 2 auths and 2 replicas are each at that step or the next
    for world in worlds:
        for auth in world.auths:
            for replica in world.replicas:
                assert replica.signing in auth.trusted, world


def test_the_search_finds_the_failure_when_a_step_is_skipped() -> None:
    """Shows that the proof above can fail: without the overlap, there are moments in which a call is not trusted."""
    before, after = AuthorityStep(1, "stable"), AuthorityStep(2, "stable")
    assert any(replica.signing not in auth.trusted for auth in (before, after) for replica in (before, after))


@pytest.mark.parametrize(
    ("recorded", "wanted", "words"),
    [
        (
            AuthorityStep(1, "stable"),
            AuthorityStep(2, "switch"),
            "tls.authority: phase switch of generation 2 skips phase introduce of generation 2, and calls would fail "
            "meanwhile: the stack is in phase stable of generation 1, the last one that an `up` completed; set phase "
            "stable of generation 1 to stay there (also after an `up` that failed), or phase introduce of generation 2,"
            " the next one",
        ),
        (AuthorityStep(1, "stable"), AuthorityStep(2, "stable"), "skips phase introduce of generation 2 and phase sw"),
        (
            AuthorityStep(2, "switch"),
            AuthorityStep(2, "introduce"),
            "phase introduce of generation 2 is an earlier step",
        ),
        (AuthorityStep(2, "stable"), AuthorityStep(2, "retire"), "phase retire of generation 2 is an earlier step"),
        (AuthorityStep(2, "stable"), AuthorityStep(1, "stable"), "phase stable of generation 1 is an earlier step"),
        (AuthorityStep(1, "stable"), AuthorityStep(9, "stable"), "is more than a generation away"),
        (None, AuthorityStep(2, "switch"), "set phase stable; phase switch of generation 2 comes after it"),
    ],
)
def test_a_refusal_says_where_the_stack_stands_and_what_is_allowed(
    recorded: AuthorityStep | None, wanted: AuthorityStep, words: str
) -> None:
    assert words in str(step_problem(recorded, wanted))


@pytest.mark.parametrize(("generation", "phase"), [(0, "stable"), (1, "introduce"), (1, "retire"), (2, "begin")])
def test_there_are_no_other_steps(generation: int, phase: str) -> None:
    with pytest.raises(ValueError, match=r"generation|phase"):
        AuthorityStep(generation, phase)
