"""The engine killed where it is most dangerous: `recover` and `up` end where an undisturbed run ends.

The tests of this module are one story on one stack. `make soak` goes to every point of every run.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.plugins.faults import Point
from tests.engine.conftest import RunningSandbox
from tests.faults.journeys import DESTROY, UP
from tests.faults.walk import FaultyStack, Kept, Walk, check_converged, check_gone, faulty_stack

pytestmark = pytest.mark.engine

# AWS opens every new group outwards, and what takes that back is another call.
GROUP_OPEN = Point("aws:ec2/securityGroup:SecurityGroup", "create", "between")
# Made, and not recorded: a second instance would be another database.
INSTANCE_MADE = Point("aws:rds/instance:Instance", "create", "after")
# Helm refuses to uninstall twice.
RELEASE_GONE = Point("kubernetes:helm.sh/v3:Release", "delete", "after")


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[FaultyStack]:
    with faulty_stack(running_sandbox, "faults") as configured:
        yield configured


@pytest.fixture(scope="module")
def kept() -> Kept:
    """What the story has recorded so far and must keep."""
    return Kept()


def test_an_up_that_is_killed_where_it_is_dangerous_converges(stack: FaultyStack, kept: Kept) -> None:
    expected = {step["urn"] for step in UP.preview(stack)["steps"]}
    walk = Walk(stack, ("up",), kept)
    assert walk.through([GROUP_OPEN, INSTANCE_MADE]) == []
    assert walk.done == [GROUP_OPEN, INSTANCE_MADE]
    check_converged(stack, kept, expected)


def test_a_destroy_that_is_killed_when_a_release_was_just_uninstalled_goes_on(stack: FaultyStack, kept: Kept) -> None:
    stack.change(DESTROY.change)
    kept.may_go = DESTROY.may_go
    assert Walk(stack, (DESTROY.command,), kept).through([RELEASE_GONE]) == []
    check_gone(stack)
