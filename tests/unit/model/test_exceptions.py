"""What the program can neither see nor prevent, each case shown to break something. The model's operator avoids these
cases, guided by the documentation or by `preflight` and `verify`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.settings.names import ISSUED_SECRET_NAME
from tests.unit.model.certificates import authority, identity
from tests.unit.model.configurations import EXTERNAL_NAME, ISSUERS, Configuration
from tests.unit.model.machine import EXCEPTIONS, Everything, begin
from tests.unit.model.search import Broken, deployed, run, stops
from tests.unit.model.up import AUTH, AUTHORITIES, HAND_OVER, LEDGER, Up, owner_rolls_out
from tests.unit.model.world import Leaf, World

pytestmark = pytest.mark.unit

PLAIN = Configuration()
ISSUED = Configuration(mode="certManager", given=ISSUERS)
DISTRUST, STRANGER = "a running auth does not trust", "does not accept a host CA in use"


def signed_by(world: World, issuer: str) -> None:
    before = world.secrets[ISSUED_SECRET_NAME]
    assert isinstance(before, Leaf)
    world.secrets[ISSUED_SECRET_NAME] = Leaf(identity(authority(issuer)), before.names, world.fresh())


def former_drop() -> None:
    both = replace(PLAIN, hosts=(0, 1))
    run(deployed(PLAIN, both), replace(both, hosts=(1,), former="drop"))


def nothing_known() -> None:
    run(deployed(replace(PLAIN, enabled=False)), replace(PLAIN, hosts=(1,)))


def foreign_issuer() -> None:
    run(deployed(ISSUED), replace(ISSUED, given=ISSUERS[1:]))


def foreign_restart() -> None:
    world = deployed(ISSUED)
    signed_by(world, ISSUERS[1])
    # Nobody has restarted TAG, so it still serves the certificate that the former issuer signed.
    run(world, replace(ISSUED, given=ISSUERS[1:]))


def begun_from_off() -> None:
    named = replace(PLAIN, extra_names=(EXTERNAL_NAME,))
    off, on = replace(named, enabled=False), replace(named, by_extra_name=True)
    complete = deployed(off)
    for begun in stops(complete, on):
        if begun.ledger != complete.ledger:
            return
        run(begun, replace(off, extra_names=()))


def begun_from_nothing() -> None:
    own = replace(PLAIN, adopt=False, enabled=False)
    world = begin()
    world.teleport_exists = False
    for begun in stops(world, own):
        run(begun, replace(own, owner="values"))


def stale_authorities() -> None:
    both = replace(ISSUED, given=ISSUERS[:1], next_generation=1)
    world = deployed(both)
    away = Up(world, replace(both, next_generation=None))
    while AUTHORITIES not in away.done:
        away.advance(away.ready()[0])
    # An auth that starts at this moment reads the smaller bundle, and nothing will restart it.
    away.stop()
    run(world, both)
    run(world, Configuration(given=ISSUERS[:1]))


def introduced_twice(owner: str) -> tuple[World, Configuration]:
    """Auth has rolled, the step is taken back, an auth starts while the ConfigMap has the former authorities, and the
    step is made again. Its checksum equals the one that auth already has, so auth does not roll."""
    before = Configuration(rotation=1, generation=2, owner=owner)
    step = replace(before, generation=3, phase="introduce")
    world = deployed(before)
    until(world, step, AUTH if owner == "release" else HAND_OVER)
    if owner == "values":
        owner_rolls_out(world)
    until(world, before, AUTHORITIES)
    run(world, step)
    return world, step


def until(world: World, wanted: Configuration, last: str) -> None:
    """Run an `up` that is killed right after the operation `last`."""
    up = Up(world, wanted)
    while last not in up.done:
        up.advance(next(ready for ready in up.ready() if ready != LEDGER))
    up.stop()


WAYS = {
    "former: drop": (former_drop, STRANGER),
    "nothing known": (nothing_known, STRANGER),
    "foreign issuer": (foreign_issuer, DISTRUST),
    "foreign restart": (foreign_restart, DISTRUST),
    "begun from off": (begun_from_off, "lacks the name"),
    "begun from nothing": (begun_from_nothing, "Teleport is uninstalled"),
    "stale authorities": (stale_authorities, DISTRUST),
}


def test_each_exception_has_its_proof() -> None:
    assert set(WAYS) == set(EXCEPTIONS)


@pytest.mark.parametrize("name", WAYS)
def test_what_cannot_be_seen_would_break_something(name: str) -> None:
    way, words = WAYS[name]
    with pytest.raises(Broken, match=words):
        way()


@pytest.mark.parametrize("owner", ["release", "values"])
def test_a_step_that_is_made_twice_leaves_stale_authorities_which_the_walks_leave_out(owner: str) -> None:
    world, step = introduced_twice(owner)
    machine = Everything()
    machine.world, machine.begun, machine.complete = world.copy(), step, step
    switch = replace(step, phase="switch")
    assert machine._exception(switch) == "stale authorities"
    assert machine._exception(replace(step, rotation=2)) is None
    with pytest.raises(Broken, match=DISTRUST):
        run(world, switch)
