"""Searches through every moment at which one of two or three consecutive `up`s can stop, and what follows from
there."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings import SettingsError
from tests.unit.model.configurations import Configuration
from tests.unit.model.machine import begin
from tests.unit.model.up import Refused, Up, restarter_looks
from tests.unit.model.world import World


def deployed(*configurations: Configuration) -> World:
    """The world after these `up`s are complete. None of them may be refused or break anything."""
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
    """The world at each moment at which this `up` may be killed, from its beginning to its end. Of the operations that
    are ready, always the first one in the plan runs. Raises `Refused`, and `Broken` where the `up` breaks an
    invariant."""
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
    """The `up` that broke an invariant, and the invariant in words."""


def run(world: World, configuration: Configuration, *, forced: bool = False) -> None:
    """Run the `up` to its end. Raises `Broken` or `Refused`."""
    up = Up(world, configuration, forced=forced)
    up.finish()
    if up.broken:
        raise Broken(configuration, up.broken)


def taken_back_and_repeated(complete: World, before: Configuration, wanted: Configuration) -> int:
    """Kill `wanted` at each of its moments, kill `before` at each moment after that, and then run `wanted` to its end.
    Returns the number of such sequences; raises `Broken`."""
    ways = 0
    for begun in stops(complete, wanted):
        try:
            for back in stops(begun, before):
                run(back, wanted)
                ways += 1
        except Refused:
            # Refused only when `wanted` had nothing left but deletions: the ledger has moved by then, and the way back
            # may be a step that the ledger does not allow.
            assert begun.ledger != complete.ledger
    return ways


def counterexample(
    complete: World, before: Configuration, wanted: Configuration, others: tuple[Configuration, ...] = ()
) -> str | None:
    """What breaks if `wanted` is applied although the program refuses it: at once, on the way back from any of its
    moments, or after one of `others` (which the program allows) was killed at any of its moments. None if nothing
    breaks."""
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
