"""What the program can neither see nor prevent, each shown to break something: the model's operator leaves it, by the
documents or by what `preflight` and `verify` tell him."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.settings.names import ISSUED_SECRET_NAME
from tests.unit.model.certificates import authority, identity
from tests.unit.model.configurations import EXTERNAL_NAME, ISSUERS, Configuration
from tests.unit.model.machine import EXCEPTIONS, begin
from tests.unit.model.search import Broken, deployed, run, stops
from tests.unit.model.up import AUTHORITIES, Up
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
    # Nobody has restarted TAG, which serves what the former one signed.
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
    # An auth that starts in this moment reads the smaller bundle, and nothing has it start again.
    away.stop()
    run(world, both)
    run(world, Configuration(given=ISSUERS[:1]))


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
