"""What changes between the state and the inputs: a merge patch, and the engine's detailed diff derived from it.

Owns the comparison and which paths force a replacement; `objects.py` and `release.py` decide what is compared. Keys and
kinds are those of the official plugin, as `pulumi preview --json` shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sandbox.plugins.protocol import DiffKind, PropertyDiff
from sandbox.plugins.values import UNKNOWN

Path = tuple[str | int, ...]


class _Missing:
    """No value at all, as opposed to null."""


MISSING: Final = _Missing()
SEGMENT: Final = re.compile(r"\.([^.\[\]]+)|\[\*\]")
REPLACING: Final[dict[DiffKind, DiffKind]] = {
    "add": "add-replace",
    "delete": "delete-replace",
    "update": "update-replace",
}


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) from `old` to `new`; a value that is still unknown becomes a null."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key, MISSING)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif before is MISSING or not _equal(before, value):
            patch[key] = _nulled(value)
    return patch


def _nulled(value: Any) -> Any:
    if value is UNKNOWN:
        return None
    if isinstance(value, Mapping):
        return {key: _nulled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nulled(item) for item in value]
    return value


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(_equal(value, right[key]) for key, value in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def detail(
    patch: Mapping[str, Any],
    old: Mapping[str, Any],
    new_inputs: Mapping[str, Any],
    old_inputs: Mapping[str, Any],
    forces_new: Iterable[str],
) -> dict[str, PropertyDiff]:
    """The detailed diff of a merge patch. `forces_new`: paths such as `.spec.template`, `.spec.containers[*].image`."""
    converter = _Converter([_segments(path) for path in forces_new])
    converter.add_map((), patch, old, new_inputs, old_inputs, within_list=False)
    return converter.found


class _Converter:
    def __init__(self, forces_new: list[list[str]]) -> None:
        self._forces_new = forces_new
        self.found: dict[str, PropertyDiff] = {}

    def add_map(
        self,
        path: Path,
        patch: Mapping[str, Any],
        old: Mapping[str, Any],
        new_inputs: Mapping[str, Any],
        old_inputs: Mapping[str, Any],
        within_list: bool,
    ) -> None:
        for key, value in patch.items():
            self._add(
                (*path, key),
                value,
                old.get(key, MISSING),
                new_inputs.get(key, MISSING),
                old_inputs.get(key, MISSING),
                within_list,
            )
        if within_list:
            # A merge patch replaces a list as a whole, so a key removed from a map inside it does not appear as a null.
            for key, value in old.items():
                if key not in patch:
                    gone = (new_inputs.get(key, MISSING), old_inputs.get(key, MISSING))
                    self._add((*path, key), None, value, *gone, within_list)

    def _add(self, path: Path, value: Any, old: Any, new_input: Any, old_input: Any, within_list: bool) -> None:
        # Without a new input, only a deletion can be meant; if there was no old input either, the server set the value.
        if new_input is MISSING and (value is not None or old_input is MISSING):
            return
        kind: DiffKind
        if value is None and new_input is not UNKNOWN:
            kind = "delete"
        elif value is None:
            kind = "add" if old is MISSING else "update"
        elif old is MISSING:
            kind = "add"
        elif isinstance(value, Mapping) and isinstance(old, Mapping):
            self.add_map(path, value, old, _map(new_input), _map(old_input), within_list)
            return
        elif isinstance(value, list) and isinstance(old, list):
            self._add_list(path, value, old, _list(new_input), _list(old_input))
            return
        elif _equal(value, old):
            return
        else:
            kind = "update"
        deleted = kind == "delete"
        if any(_reaches(segments, path, value) for segments in self._forces_new):
            kind = REPLACING[kind]
        self.found[render(path)] = PropertyDiff(kind, input_diff=deleted)

    def _add_list(
        self, path: Path, value: Sequence[Any], old: Sequence[Any], new_input: Sequence[Any], old_input: Sequence[Any]
    ) -> None:
        for index in range(max(len(value), len(old))):
            self._add(
                (*path, index),
                value[index] if index < len(value) else None,
                old[index] if index < len(old) else MISSING,
                new_input[index] if index < len(new_input) else None,
                old_input[index] if index < len(old_input) else None,
                within_list=True,
            )


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _segments(path: str) -> list[str]:
    return [match.group(1) or "*" for match in SEGMENT.finditer(path)]


def _reaches(segments: list[str], path: Path, value: Any) -> bool:
    """Whether the changed value at `path` lies within the forcing path, or contains it."""
    for index, wanted in enumerate(segments):
        if index >= len(path):
            return _holds(segments[index:], value)
        step = path[index]
        if isinstance(step, int) != (wanted == "*") or (isinstance(step, str) and step != wanted):
            return False
    return True


def _holds(segments: list[str], value: Any) -> bool:
    if not segments:
        return True
    if segments[0] == "*":
        return isinstance(value, list) and any(_holds(segments[1:], item) for item in value)
    return isinstance(value, Mapping) and segments[0] in value and _holds(segments[1:], value[segments[0]])


def render(path: Path) -> str:
    """`("data", "ca.pem", 0)` -> `data["ca.pem"][0]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif any(character in step for character in '."[]'):
            escaped = step.replace('"', '\\"')
            text += f'["{escaped}"]'
        else:
            text += f".{step}" if text else step
    return text


PATH_STEP: Final = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|\.?([^.\[\]"]+)')


def parse(path: str) -> tuple[str, ...]:
    """The steps of a property path as written in programs: `spec.replicas`, `metadata.labels["a.b"]`, `x[*].y`."""
    return tuple(
        match.group(1).replace('\\"', '"') if match.group(1) is not None else match.group(2) or match.group(3)
        for match in PATH_STEP.finditer(path)
    )


def ignored(path: str, ignore_changes: Iterable[str]) -> bool:
    """Whether `path` is an ignored path or lies within one."""
    steps = parse(path)
    for ignore in ignore_changes:
        pattern = parse(ignore)
        if len(pattern) <= len(steps) and all(want in ("*", step) for want, step in zip(pattern, steps, strict=False)):
            return True
    return False
