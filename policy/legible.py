"""Access to the properties of a state whose secrets this command cannot decrypt: the engine puts the same text in place
of each.

Reading such a text ends a rule of one resource, just as reading an unknown value does; otherwise the rule would take it
for a number, a list, or a choice of somebody's. Not for rules of the whole stack: ended this way over a state, they
make the CLI (3.250) panic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

# From `pulumi policy analyze --file`, in the CLI since 3.250.
REDACTED = "[secret]"


class SecretValueError(UnknownValueError):  # type: ignore[misc]
    """Raised on reading the value at `path`."""

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(UNKNOWN_STRING_VALUE, list(path))
        self.message = f"the value at .{'.'.join(path)} is a secret that cannot be decrypted here"


def legible(value: Any, path: tuple[str, ...] = ()) -> Any:
    """`value`, wrapped so that reading a redacted part of it raises `SecretValueError`."""
    if value == REDACTED:
        raise SecretValueError(path)
    if isinstance(value, Mapping):
        return _Map(value, path)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _List(value, path)
    return value


class _Map(Mapping[str, Any]):
    def __init__(self, values: Mapping[str, Any], path: tuple[str, ...]) -> None:
        self._values, self._path = values, path

    def __getitem__(self, key: str) -> Any:
        return legible(self._values[key], (*self._path, key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class _List(Sequence[Any]):
    def __init__(self, values: Sequence[Any], path: tuple[str, ...]) -> None:
        self._values, self._path = values, path

    def __getitem__(self, index: Any) -> Any:
        return legible(self._values[index], (*self._path, str(index)))

    def __len__(self) -> int:
        return len(self._values)
