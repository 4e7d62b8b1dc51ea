"""The engine killed right before and right after what it does: `recover` and `up` end where an undisturbed run ends.

The tests of this module are one story on one stack. `make soak` goes to every point; here it is the dangerous ones, and
some that chance picks.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from sandbox.plugins.faults import Point
from tests.engine.conftest import RunningSandbox
from tests.faults.journeys import DESTROY, INTRODUCE, SWITCH, UP, Journey
from tests.faults.points import sampled
from tests.faults.walk import FaultyStack, Kept, Walk, check_converged, check_gone, faulty_stack

pytestmark = pytest.mark.engine

RELEASE = "kubernetes:helm.sh/v3:Release"
# One of each type whose loss would hurt or whose orphan would stay, at its worst moment: made, and not recorded.
DANGEROUS = (
    Point("random:index/randomPassword:RandomPassword", "create", "after"),
    Point("tls:index/privateKey:PrivateKey", "create", "after"),
    Point("aws:kms/key:Key", "create", "after"),
    Point("aws:ec2/securityGroup:SecurityGroup", "create", "after"),
    Point("aws:rds/instance:Instance", "create", "after"),
    Point("kubernetes:core/v1:ConfigMap", "create", "after"),
    Point("kubernetes:core/v1:Secret", "create", "after"),
    Point("kubernetes:batch/v1:Job", "create", "after"),
    Point(RELEASE, "create", "during"),
    Point(RELEASE, "create", "after"),
)


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[FaultyStack]:
    with faulty_stack(running_sandbox, "faults") as configured:
        yield configured


@pytest.fixture(scope="module")
def kept() -> Kept:
    """What the story has recorded so far and must keep."""
    return Kept()


def killed_at_random(stack: FaultyStack, kept: Kept, journey: Journey, *always: Point) -> None:
    """At one point that chance picks, and at those that are given."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"{journey.name}: seed {seed}")
    stack.change(journey.change)
    kept.may_go = journey.may_go
    points = [*always, *sampled(journey.points(stack), 1, seed)]
    assert Walk(stack, (journey.command,), kept).through(points) == [], f"seed {seed}"


def test_an_up_that_is_killed_wherever_it_is_dangerous_converges(stack: FaultyStack, kept: Kept) -> None:
    expected = {step["urn"] for step in UP.preview(stack)["steps"]}
    walk = Walk(stack, ("up",), kept)
    missed = walk.through(DANGEROUS)
    # What another kill found under way in AWS was taken in by `recover`, and is not made again.
    assert {point.of.partition(":")[0] for point in missed} <= {"aws"}
    assert set(walk.done) == set(DANGEROUS) - set(missed)
    assert len(missed) <= 3
    check_converged(stack, kept, expected)


@pytest.mark.parametrize("journey", [INTRODUCE, SWITCH], ids=lambda journey: journey.name)
def test_an_authority_that_takes_over_may_be_killed_anywhere(stack: FaultyStack, kept: Kept, journey: Journey) -> None:
    killed_at_random(stack, kept, journey)
    check_converged(stack, kept)


def test_a_destroy_may_be_killed_anywhere(stack: FaultyStack, kept: Kept) -> None:
    """Helm refuses to uninstall twice, so that point is always among them."""
    killed_at_random(stack, kept, DESTROY, Point(RELEASE, "delete", "after"))
    check_gone(stack)
