"""The configuration file that another environment is made from: what is in it, and edits of its text that leave all
else as it stands, comments and order too.

What becomes of a sample is `environment`'s.
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
from operations.stack import StackError, is_encrypted

PREFIX = f"{PROJECT}:"
# libyaml's, where PyYAML was built with it: a tenth of the time, and the same places in the text.
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NAMES = ("dev", "prod")
# Which instance the sample has, and what it came from: another stack would take it over, or fill its own from its data.
_INSTANCE = ("identifier", "adopt", "restore")


@dataclass(frozen=True)
class Sample:
    """`Pulumi.<name>.yaml` below `root`."""

    name: str
    root: Path
    text: str

    @classmethod
    def read(cls, name: str, root: Path) -> Sample:
        """Raises `StackError` for a name that is none of a sample, and for a file with an alias: what that stands for
        may be in a part that is left out."""
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
        """By whole key."""
        entries: dict[str, Any] = yaml.load(self.text, Loader=EngineLoader)["config"]
        return entries

    @property
    def config(self) -> dict[str, Any]:
        """What is plain of the program's own, by key without the project's name."""
        return {
            key.removeprefix(PREFIX): value
            for key, value in self.entries.items()
            if key.startswith(PREFIX) and not is_encrypted(value)
        }

    @property
    def secrets(self) -> list[str]:
        """Whole keys whose values nobody can read but with the sample's own encryption."""
        return [key for key, value in self.entries.items() if is_encrypted(value)]

    @property
    def further_teleports(self) -> list[str]:
        """Those after the first, which is the one that is asked about."""
        teleports = self.config.get("teleport")
        return list(teleports)[1:] if isinstance(teleports, Mapping) else []

    @property
    def settings_of_its_instance(self) -> list[str]:
        """Those by which the sample has the very database that it has, as `database.adopt`."""
        database = self.config.get("database")
        return [f"database.{key}" for key in _INSTANCE if isinstance(database, Mapping) and key in database]


def with_list(text: str, path: Sequence[str], items: Sequence[str]) -> str:
    """`text` with other items in the list at `path`; comments beside the old ones go with them."""
    _, node = _found(text, path)
    if not isinstance(node, yaml.SequenceNode) or node.flow_style:
        return f"{text[: node.start_mark.index]}[{', '.join(items)}]{text[node.end_mark.index :]}"
    first = node.value[0].start_mark.index
    begin = text.rindex("\n", 0, first) + 1
    indent = text[begin:first]
    return text[:begin] + "\n".join(f"{indent}{item}" for item in items) + text[_end_of_line(text, node) :]


def without(text: str, path: Sequence[str], instead: str = "") -> str:
    """`text` with the comment `instead` in place of the entry at `path`, if there is one; without, of its lines."""
    key, node = _found(text, path)
    if key is None:
        return text
    end = _end_of_line(text, node)
    if instead:
        return text[: key.start_mark.index] + instead + text[end:]
    return text[: key.start_mark.index - key.start_mark.column] + text[end + 1 :]


def lines_of(text: str, path: Sequence[str]) -> str:
    """The lines of the entry at `path`; none where there is none."""
    key, node = _found(text, path)
    return "" if key is None else f"{text[key.start_mark.index : _end_of_line(text, node)]}\n"


def _found(text: str, path: Sequence[str]) -> tuple[Any, Any]:
    """The nodes of the key and the value at `path`; None for both where there is none. Raises `StackError` where they
    stand in braces."""
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
    """It reads a whole file, and most of what is looked for in one is not there, so that the text stays the same."""
    return yaml.compose(text, Loader=_QUICK)


def _end_of_line(text: str, node: Any) -> int:
    """Where the last line of the node ends. A block's own end is where the next key begins."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    end = text.find("\n", len(text[: node.end_mark.index].rstrip()))
    return len(text) if end == -1 else end
