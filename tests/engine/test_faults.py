"""The engine is killed at every kind of operation, and then at random points: after `recover`, the same command ends
where an undisturbed run ends.

The tests of this module are one story on one stack, and then a random life of that stack. `make soak` kills every run
at every point.
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
# A kill in the middle of Helm's installation, which leaves Helm's own pending record behind.
RELEASE_BEGUN = Point(RELEASE, "create", "during")
# Types of resources whose creation and deletion must be among the killed operations.
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
# Moves of each random sequence, and the most kills in each move.
MOVES, KILLS = 2, 2


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[FaultyStack]:
    with faulty_stack(running_sandbox, "faults") as configured:
        yield configured


@pytest.fixture(scope="module")
def kept() -> Kept:
    """The irreplaceable resources that the story has made so far and must keep."""
    return Kept()


@pytest.fixture(scope="module")
def seen() -> set[Point]:
    """The points at which the story has been killed so far."""
    return set()


def killed(stack: FaultyStack, kept: Kept, seen: set[Point], journey: Journey, *more: Point) -> set[str]:
    """Kills the journey at the points `more`, and once at every kind of operation at which nothing was killed before.
    Returns `<type> <operation>` of each point."""
    stack.change(journey.change)
    kept.may_go = journey.may_go
    points = [*more, *(point for point in one_of_each(journey.preview(stack)) if point not in seen)]
    walk = Walk(stack, (journey.command, *IN_ORDER), kept)
    assert walk.through(points) == []
    assert set(walk.done) == set(points)
    seen.update(points)
    return {f"{point.of} {point.operation}" for point in points}


def job_name(stack: FaultyStack) -> str:
    """Id of the Job that makes the login."""
    (job,) = [one for urn, one in stack.recorded().items() if urn.endswith("::database-access-job")]
    return str(job["id"])


def test_an_up_that_is_killed_at_every_kind_of_creation_converges(
    stack: FaultyStack, kept: Kept, seen: set[Point]
) -> None:
    expected = {step["urn"] for step in UP.preview(stack)["steps"]}
    assert killed(stack, kept, seen, UP, RELEASE_BEGUN) >= {f"{type_} create" for type_ in CREATED}
    check_converged(stack, kept, expected)


def test_a_rotation_that_was_killed_halfway_can_be_taken_back(stack: FaultyStack, kept: Kept) -> None:
    """By then the Job for the new login has run; taking the rotation back asks for the former login again."""
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
    """The kill comes after the new Job's creation: the state still has the deleted Job, and the new one, which has the
    same name, is not recorded."""
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
