"""What the objects of all AWS services have in common: the interface of a kind, and tags.

Owns no service: those are in `databases.py`, `identity.py`, `keys.py`, `logs.py`, `network.py` and `observing.py`.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any

from sandbox.plugins.aws.connection import Connection
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

POLL_SECONDS = 0.25

_counter = itertools.count(1)


@dataclass(frozen=True)
class Change:
    """An update: `changed` names the inputs whose values differ."""

    old: Properties
    new: Properties
    changed: frozenset[str]
    old_tags: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def removed_tags(self) -> list[str]:
        return sorted(self.old_tags.keys() - self.tags.keys())

    @property
    def set_tags(self) -> dict[str, str]:
        return {key: value for key, value in self.tags.items() if self.old_tags.get(key) != value}


class Kind:
    """One resource type. Values are plain; `tags` include the provider's default tags.

    AWS's own errors pass through; the caller words them.
    """

    what: str
    """The name that the official plugin uses in errors."""

    kept: tuple[str, ...] = ()
    """Inputs that AWS does not keep: they exist only in the state."""

    on_import: Mapping[str, Any] = MappingProxyType({})
    """The values that the official plugin gives these inputs in the state of an import."""

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        raise NotImplementedError

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        """What remains to be done or awaited once the object exists; on failure the state keeps the object, marked."""

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        """The id and the live values, with `tagsAll`; None if the object is gone. `id_` may come from an import."""
        raise NotImplementedError

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        raise NotImplementedError

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        raise NotImplementedError


class Deadline:
    """When an operation gives up: after the program's timeout if it gave one, otherwise after the official plugin's."""

    def __init__(self, seconds: float, cancelled: threading.Event) -> None:
        self._end = time.monotonic() + seconds
        self._cancelled = cancelled

    def wait(self, what: str, ready: Callable[[], bool]) -> None:
        """Polls until `ready`. Raises `ResourceError` when time is up or the run is interrupted."""
        while not ready():
            if self._cancelled.wait(POLL_SECONDS):
                raise ResourceError(f"waiting for {what}: interrupted")
            if time.monotonic() > self._end:
                raise ResourceError(f"waiting for {what}: timeout while waiting")


def name_of(inputs: Properties) -> str:
    """`name`, or `namePrefix` followed by 26 unique digits, as in the official plugin."""
    if inputs.get("name"):
        return str(inputs["name"])
    moment = datetime.now(timezone.utc).strftime("%Y%m%d%H%M%S") + f"{time.time_ns() // 100_000 % 10_000:04d}"
    return f"{inputs['namePrefix']}{moment}{next(_counter) % 0x100000000:08x}"


def tag_list(tags: Mapping[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, Any]]:
    return [{key: name, value: text} for name, text in sorted(tags.items())]


def tag_map(tags: list[dict[str, Any]] | None, key: str = "Key", value: str = "Value") -> dict[str, str]:
    """The tags as a map, without those that AWS sets itself (`aws:...`): they are nobody's input."""
    return {tag[key]: tag[value] for tag in tags or [] if not tag[key].startswith("aws:")}
