"""Searches through every moment of two or three `up`s in a row: where it stands still, and what would happen then."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings import SettingsError
from tests.unit.model.configurations import Configuration
from tests.unit.model.machine import begin
from tests.unit.model.up import Refused, Up, restarter_looks
from tests.unit.model.world import World


def deployed(*configurations: Configuration) -> World:
    """The world after complete `up`s, none of which is refused or breaks anything."""
    world = begin()
    world.teleport_exists = configurations[0].owner == "values" or configurations[0].adopt
    for configuration in configurations:
        up = Up(world, configuration)
        up.finish()
        restarter_looks(world)
        assert up.complete, configuration
        assert not up.broken, (configuration, up.broken)
    return world


def stops(world: World, configuration: Configuration, *, forced: bool = False) -> Iterator[World]:
    """The world at each moment at which this `up` may be killed, from its very beginning to its end. The operations
    come in the graph's plainest order. Raises `Refused`."""
    length = 0
    while True:
        copied = world.copy()
        up = Up(copied, configuration, forced=forced)
        for _ in range(length):
            ready = up.ready()
            if not ready:
                break
            up.advance(ready[0])
        ended = up.complete or not up.ready()
        up.stop()
        if up.broken:
            raise Broken(configuration, up.broken)
        yield copied
        if ended:
            return
        length += 1


class Broken(Exception):
    """An invariant, and the way there."""


def run(world: World, configuration: Configuration, *, forced: bool = False) -> None:
    """To its end. Raises `Broken` or `Refused`."""
    up = Up(world, configuration, forced=forced)
    up.finish()
    if up.broken:
        raise Broken(configuration, up.broken)


def taken_back_and_repeated(complete: World, before: Configuration, wanted: Configuration) -> int:
    """`wanted` is killed at any moment, `before` at any moment after that, and then `wanted` comes to its end. Counts
    the ways; raises `Broken`."""
    ways = 0
    for begun in stops(complete, wanted):
        try:
            for back in stops(begun, before):
                run(back, wanted)
                ways += 1
        except Refused:
            # Only deletions were left: the ledger has moved, and the way back may be none that it allows.
            assert begun.ledger != complete.ledger
    return ways


def counterexample(
    complete: World, before: Configuration, wanted: Configuration, others: tuple[Configuration, ...] = ()
) -> str | None:
    """What breaks if `wanted` follows although it is refused: at once, on the way back from any of its moments, or
    after another `up` that is allowed was killed at any of its."""
    for begun in (None, *others):
        try:
            worlds = [complete.copy()] if begun is None else list(stops(complete, begun))
        except (Refused, SettingsError):
            continue
        for world in worlds:
            try:
                for half in stops(world, wanted, forced=True):
                    run(half, before, forced=True)
            except Broken as broken:
                return str(broken)
    return None
