"""Where an `up` or a `destroy` can be killed: right before and right after each operation that its preview announces,
and in its middle where it is several calls; or once for each type of resource and operation.

Pure. Who kills is the sandbox's stand-ins (`sandbox/plugins/faults.py`), and who goes on afterwards is `walk`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sandbox.plugins.aws.objects import Kind
from sandbox.plugins.aws.provider import KINDS
from sandbox.plugins.faults import Point

# A step of a preview -> the operations of the plugin that it stands for. An import reads.
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
# Types of which an object is made by one call and finished by others: a kill between them leaves it half made.
BY_SEVERAL_CALLS = frozenset(type_ for type_, kind in KINDS.items() if type(kind).settle is not Kind.settle)


def points_of(preview: Mapping[str, Any]) -> list[Point]:
    """Both sides of every operation, in the preview's order, each once. `preview` is the engine's `--json`."""
    found: dict[Point, None] = {}
    for name, type_, operation in _operations(preview):
        for moment in ("before", "between", "after") if _is_several_calls(type_, operation) else BOUNDS:
            found[Point(name, operation, moment)] = None
    return list(found)


def one_of_each(preview: Mapping[str, Any]) -> list[Point]:
    """One for each type of resource and operation, at the worst moment: done and not recorded, or half done."""
    found: dict[Point, None] = {}
    for _, type_, operation in _operations(preview):
        found[Point(type_, operation, "between" if _is_several_calls(type_, operation) else "after")] = None
    return list(found)


def _is_several_calls(type_: str, operation: str) -> bool:
    return operation == "create" and type_ in BY_SEVERAL_CALLS


def _operations(preview: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Name, type and operation of whatever a plugin will be asked to do."""
    for step in preview["steps"]:
        state = step.get("newState") or step.get("oldState") or {}
        # Components have no plugin; what the engine keeps for itself, such as providers, is made by none.
        if not state.get("custom") or str(state["type"]).startswith("pulumi:"):
            continue
        # What is kept at a destroy is forgotten by the engine alone.
        if step["op"] == "delete" and state.get("retainOnDelete"):
            continue
        name = str(step["urn"]).rpartition("::")[2]
        for operation in OPERATIONS.get(step["op"], ()):
            yield name, str(state["type"]), operation


def sampled(points: Sequence[Point], count: int, seed: int) -> list[Point]:
    """Some of the points: the same ones for the same seed."""
    return random.Random(seed).sample(list(points), min(count, len(points)))
