"""The configuration file that a new environment is made from: its content, and edits of its text that keep everything
else, comments and order included.

`environment` decides what to change.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.go_yaml import EngineLoader
from components.settings.names import PROJECT
from operations.quick_yaml import QUICK_LOADER
from operations.stack import StackError, is_encrypted

PREFIX = f"{PROJECT}:"
_NAMES = ("dev", "prod")
# Which instance the sample has, and what it was made from: a new stack would take over that instance, or copy its data.
_INSTANCE = ("identifier", "adopt", "restore")


@dataclass(frozen=True)
class Sample:
    """`Pulumi.<name>.yaml` below `root`."""

    name: str
    root: Path
    text: str

    @classmethod
    def read(cls, name: str, root: Path) -> Sample:
        """Raises `StackError` for a name that is no sample's, and for a file with an alias, because its anchor may be
        in a part that is left out."""
        if name not in _NAMES:
            raise StackError(f"{name}: is no sample; take {' or '.join(_NAMES)}")
        file = f"Pulumi.{name}.yaml"
        text = (root / file).read_text(encoding="utf-8")
        for event in yaml.parse(text):
            if isinstance(event, yaml.AliasEvent) and event.start_mark is not None:
                alias = f"*{event.anchor} in line {event.start_mark.line + 1}"
                raise StackError(f"{file}: has the alias {alias}; write out there what it stands for")
        return cls(name, root, text)

    @functools.cached_property
    def entries(self) -> Mapping[str, Any]:
        """By full key."""
        entries: dict[str, Any] = yaml.load(self.text, Loader=EngineLoader)["config"]
        return entries

    @property
    def config(self) -> dict[str, Any]:
        """The program's own plain settings, by key without the project's name."""
        return {
            key.removeprefix(PREFIX): value
            for key, value in self.entries.items()
            if key.startswith(PREFIX) and not is_encrypted(value)
        }

    @property
    def secrets(self) -> list[str]:
        """Full keys whose values only the sample's own encryption can read."""
        return [key for key, value in self.entries.items() if is_encrypted(value)]

    @property
    def further_teleports(self) -> list[str]:
        """All but the first, which is the one that is asked about."""
        teleports = self.config.get("teleport")
        return list(teleports)[1:] if isinstance(teleports, Mapping) else []

    @property
    def settings_of_its_instance(self) -> list[str]:
        """The settings that tie the sample to its own instance, such as `database.adopt`."""
        database = self.config.get("database")
        return [f"database.{key}" for key in _INSTANCE if isinstance(database, Mapping) and key in database]


def with_list(text: str, path: Sequence[str], items: Sequence[str]) -> str:
    """`text` with other items in the list at `path`; comments beside the old items go too."""
    _, node = _found(text, path)
    if not isinstance(node, yaml.SequenceNode) or node.flow_style:
        return f"{text[: node.start_mark.index]}[{', '.join(items)}]{text[node.end_mark.index :]}"
    first = node.value[0].start_mark.index
    begin = text.rindex("\n", 0, first) + 1
    indent = text[begin:first]
    return text[:begin] + "\n".join(f"{indent}{item}" for item in items) + text[_end_of_line(text, node) :]


def without(text: str, path: Sequence[str], instead: str = "") -> str:
    """`text` with the comment `instead` in place of the entry at `path`; without `instead`, the entry's lines are
    removed."""
    key, node = _found(text, path)
    if key is None:
        return text
    end = _end_of_line(text, node)
    if instead:
        return text[: key.start_mark.index] + instead + text[end:]
    return text[: key.start_mark.index - key.start_mark.column] + text[end + 1 :]


def lines_of(text: str, path: Sequence[str]) -> str:
    """The lines of the entry at `path`; empty when there is none."""
    key, node = _found(text, path)
    return "" if key is None else f"{text[key.start_mark.index : _end_of_line(text, node)]}\n"


def _found(text: str, path: Sequence[str]) -> tuple[Any, Any]:
    """The key's and the value's node at `path`; None for both when there is none. Raises `StackError` for an entry in
    braces."""
    node: Any = _composed(text)
    key: Any = None
    for position, step in enumerate(path):
        if not isinstance(node, yaml.MappingNode):
            return None, None
        within, found = node, [(key, value) for key, value in node.value if key.value == step]
        if not found:
            return None, None
        if within.flow_style:
            written = ".".join(one.removeprefix(PREFIX) for one in path[1:position])
            raise StackError(f"{written}: is in braces in the sample, on one line; write it as an indented block there")
        key, node = found[0]
    return key, node


@functools.lru_cache(maxsize=1)
def _composed(text: str) -> Any:
    """Cached: it parses a whole file, and most searches find nothing, so the text stays the same."""
    return yaml.compose(text, Loader=QUICK_LOADER)


def _end_of_line(text: str, node: Any) -> int:
    """Where the node's last line ends; YAML ends a block only where the next key begins."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end = text.find("\n", len(text[: node.end_mark.index].rstrip()))
    return len(text) if end == -1 else end
