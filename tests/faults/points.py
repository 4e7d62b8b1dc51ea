"""The points at which an `up` or `destroy` can be killed: right before and right after each operation that its preview
announces, and in the middle of one that takes several calls; or one point for each type of resource and operation.

Pure. The sandbox's stand-ins do the killing (`sandbox/plugins/faults.py`), and `walk` goes on afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.plugins.aws.objects import Kind
from sandbox.plugins.aws.provider import KINDS
from sandbox.plugins.faults import Point

# A step of a preview -> the plugin's operations that it stands for. For an import, the plugin reads.
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "create": ("create",),
    "update": ("update",),
    "delete": ("delete",),
    "import": ("read",),
    "replace": ("create", "delete"),
    "create-replacement": ("create",),
    "delete-replaced": ("delete",),
}
BOUNDS = ("before", "after")
# Types whose objects one call creates and further calls finish: a kill between them leaves an object half made.
BY_SEVERAL_CALLS = frozenset(type_ for type_, kind in KINDS.items() if type(kind).settle is not Kind.settle)


def points_of(preview: Mapping[str, Any]) -> list[Point]:
    """Every point of every operation, in the preview's order, each once. `preview` is the engine's `--json` output."""
    found: dict[Point, None] = {}
    for name, type_, operation in _operations(preview):
        for moment in ("before", "between", "after") if _is_several_calls(type_, operation) else BOUNDS:
            found[Point(name, operation, moment)] = None
    return list(found)


def one_of_each(preview: Mapping[str, Any]) -> list[Point]:
    """One point for each type of resource and operation, at the worst moment: done but not recorded, or half done."""
    found: dict[Point, None] = {}
    for _, type_, operation in _operations(preview):
        found[Point(type_, operation, "between" if _is_several_calls(type_, operation) else "after")] = None
    return list(found)


def _is_several_calls(type_: str, operation: str) -> bool:
    return operation == "create" and type_ in BY_SEVERAL_CALLS


def _operations(preview: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Resource name, type and operation of everything that the engine will ask a plugin to do."""
    for step in preview["steps"]:
        state = step.get("newState") or step.get("oldState") or {}
        # No plugin makes components, or what the engine manages itself, such as providers.
        if not state.get("custom") or str(state["type"]).startswith("pulumi:"):
            continue
        # To keep a resource at a delete, the engine only forgets it, without a plugin.
        if step["op"] == "delete" and state.get("retainOnDelete"):
            continue
        name = str(step["urn"]).rpartition("::")[2]
        for operation in OPERATIONS.get(step["op"], ()):
            yield name, str(state["type"]), operation


def sampled(points: Sequence[Point], count: int, seed: int) -> list[Point]:
    """At most `count` of the points: the same ones for the same seed."""
    return random.Random(seed).sample(list(points), min(count, len(points)))
