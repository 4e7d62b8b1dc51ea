"""The runs of the engine that are killed, in the order of a stack's life: from the first `up` to `destroy`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.plugins.faults import Point
from tests.engine.stacks import Settings
from tests.faults.points import points_of
from tests.faults.walk import FaultyStack


def _nothing(settings: Settings) -> None:
    pass


def _authority(generation: int, phase: str) -> Callable[[Settings], None]:
    return lambda settings: settings["tls"].update(authority={"generation": generation, "phase": phase})


@dataclass(frozen=True)
class Journey:
    """One run of the engine after one change of the configuration."""

    name: str
    change: Callable[[Settings], None] = _nothing
    command: str = "up"
    may_go: bool = True
    """Whether the run deletes resources that cannot be made again (`walk.IRREPLACEABLE`)."""

    def preview(self, stack: FaultyStack) -> dict[str, Any]:
        arguments = ("preview",) if self.command == "up" else (self.command, "--preview-only")
        preview: dict[str, Any] = json.loads(stack.pulumi(*arguments, "--json").stdout)
        return preview

    def points(self, stack: FaultyStack) -> list[Point]:
        """The points of this run, by a preview of the stack as it is now."""
        return points_of(self.preview(stack))


JOURNEYS = (
    Journey("up", may_go=False),
    Journey("rotate", lambda settings: settings["database"].update(rotation=1)),
    Journey("introduce", _authority(2, "introduce"), may_go=False),
    Journey("switch", _authority(2, "switch")),
    Journey("retire", _authority(2, "retire")),
    Journey("stable", _authority(2, "stable")),
    Journey("destroy", command="destroy"),
)
UP, ROTATE, INTRODUCE, SWITCH, RETIRE, STABLE, DESTROY = JOURNEYS


def at_the_beginning(settings: Settings) -> None:
    """Sets the settings back to those before the first journey."""
    settings["database"].pop("rotation", None)
    settings["tls"].pop("authority", None)
