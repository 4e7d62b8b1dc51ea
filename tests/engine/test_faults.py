"""The engine killed at every kind of operation there is, and where chance has it: `recover` and the same command again
end where an undisturbed run ends.

The tests of this module are one story on one stack, and then a life of it by chance. `make soak` goes to every point
of every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.plugins.faults import Point
from tests import seeds
from tests.engine.conftest import RunningSandbox
from tests.faults.journeys import DESTROY, INTRODUCE, ROTATE, UP, Journey, at_the_beginning
from tests.faults.lives import IN_ORDER, Life, finish
from tests.faults.points import one_of_each
from tests.faults.walk import FaultyStack, Kept, Walk, check_converged, faulty_stack

pytestmark = [pytest.mark.engine, pytest.mark.long]

RELEASE = "kubernetes:helm.sh/v3:Release"
# Helm's own record of what it has begun stays behind.
RELEASE_BEGUN = Point(RELEASE, "create", "during")
# Types of resources whose creation, change or deletion is seen to be among those killed, whatever else is.
CREATED = {
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:kms/key:Key",
    "aws:rds/instance:Instance",
    "kubernetes:batch/v1:Job",
    "kubernetes:core/v1:Secret",
    "random:index/randomPassword:RandomPassword",
    "tls:index/privateKey:PrivateKey",
    RELEASE,
}
# Of each random sequence, and at most of each of its moves.
MOVES, KILLS = 2, 2


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[FaultyStack]:
    with faulty_stack(running_sandbox, "faults") as configured:
        yield configured


@pytest.fixture(scope="module")
def kept() -> Kept:
    """What the story has recorded so far and must keep."""
    return Kept()


@pytest.fixture(scope="module")
def seen() -> set[Point]:
    """Where the story has been killed so far."""
    return set()


def killed(stack: FaultyStack, kept: Kept, seen: set[Point], journey: Journey, *more: Point) -> set[str]:
    """At the kinds of operations that nothing was killed at yet; `<type> <operation>` of each."""
    stack.change(journey.change)
    kept.may_go = journey.may_go
    points = [*more, *(point for point in one_of_each(journey.preview(stack)) if point not in seen)]
    walk = Walk(stack, (journey.command, *IN_ORDER), kept)
    assert walk.through(points) == []
    assert set(walk.done) == set(points)
    seen.update(points)
    return {f"{point.of} {point.operation}" for point in points}


def job_name(stack: FaultyStack) -> str:
    """Of the Job that makes the login."""
    (job,) = [one for urn, one in stack.recorded().items() if urn.endswith("::database-access-job")]
    return str(job["id"])


def test_an_up_that_is_killed_at_every_kind_of_creation_converges(
    stack: FaultyStack, kept: Kept, seen: set[Point]
) -> None:
    expected = {step["urn"] for step in UP.preview(stack)["steps"]}
    assert killed(stack, kept, seen, UP, RELEASE_BEGUN) >= {f"{type_} create" for type_ in CREATED}
    check_converged(stack, kept, expected)


def test_a_rotation_that_was_killed_halfway_can_be_taken_back(stack: FaultyStack, kept: Kept) -> None:
    """The Job of the new login has run by then, and the one of before is asked for again."""
    kept.may_go = True
    stack.change(ROTATE.change)
    struck, _ = stack.struck([Point(RELEASE, "update", "before")], "up")
    assert struck
    Walk(stack, ("up",), kept).recover(struck, look=False)
    stack.change(at_the_beginning)
    stack.pulumi("up")
    check_converged(stack, kept)


@pytest.mark.parametrize("journey", [ROTATE, INTRODUCE], ids=lambda journey: journey.name)
def test_a_change_that_is_killed_at_every_other_kind_of_operation_converges(
    stack: FaultyStack, kept: Kept, seen: set[Point], journey: Journey
) -> None:
    killed(stack, kept, seen, journey)
    finish(journey, stack, kept)


def test_a_job_whose_former_of_the_same_name_had_gone_first_is_made_again(stack: FaultyStack, kept: Kept) -> None:
    """The state still has the name, of the one that is gone: what stands under it was not recorded."""
    stack.pulumi("up")
    name = job_name(stack)
    stack.change(lambda settings: settings.update(labels={"turn": "1"}))
    points = [Point("database-access-job", "create", "after")]
    assert Walk(stack, ("up", *IN_ORDER), kept).through(points) == []
    check_converged(stack, kept)
    assert job_name(stack) == name


def test_a_destroy_that_is_killed_at_every_kind_of_deletion_goes_on(
    stack: FaultyStack, kept: Kept, seen: set[Point]
) -> None:
    assert killed(stack, kept, seen, DESTROY) >= {f"{type_} delete" for type_ in CREATED - {"kubernetes:batch/v1:Job"}}
    finish(DESTROY, stack, kept)


@pytest.fixture(scope="module")
def life(stack: FaultyStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    stack.change(at_the_beginning)
    life = Life(stack, tmp_path_factory.mktemp("life"))
    life.begin()
    yield life
    life.end()


@pytest.mark.parametrize("further", range(3))
def test_a_life_that_is_killed_at_random_converges_after_every_move(life: Life, further: int) -> None:
    assert life.sequence(seeds.seed() + further, MOVES, KILLS)
