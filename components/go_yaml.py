"""YAML as programs in Go read it: Helm its values (go-yaml 2), the engine a stack's configuration (go-yaml 3).

Both differ from PyYAML: `1e3` is a number, `1:30` is text, and equal keys are an error. In go-yaml 2 a merged value may
win over one that is written out; instead of guessing which was meant, this is an error too.
"""

from __future__ import annotations

import datetime
import re
import sys
from typing import Any, Final, TypeVar

import yaml

Number = TypeVar("Number", int, float)

_TAG: Final = "tag:yaml.org,2002:"


class GoLoader(yaml.SafeLoader):
    """What both versions have in common."""

    def scan_to_next_token(self) -> None:
        """As PyYAML's own, but accepts tabs like spaces where they do not indent: before a comment, and in JSON."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def scan_plain_spaces(self, indent: int, start_mark: yaml.Mark) -> list[str] | None:
        """As PyYAML's own, but tabs within a text belong to it, and tabs at its end are dropped."""
        length = 0
        while self.peek(length) in (" ", "\t"):
            length += 1
        if "\t" not in self.prefix(length):
            return super().scan_plain_spaces(indent, start_mark)
        white = self.prefix(length)
        self.forward(length)
        after = super().scan_plain_spaces(indent, start_mark)
        return [white] if after == [] else after

    def get_single_node(self) -> yaml.Node | None:
        """The document's node, as PyYAML's own; only empty documents may follow it, as after a last `---`."""
        self.get_event()  # type: ignore[no-untyped-call]
        documents: list[yaml.Node | None] = []
        while not self.check_event(yaml.StreamEndEvent):
            begins = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            documents.append(self.compose_document())
            if len(documents) > 1 and not _is_nothing(documents[-1]):
                raise yaml.composer.ComposerError(None, None, "another document begins", begins)
        self.get_event()  # type: ignore[no-untyped-call]
        return documents[0] if documents else None


class HelmLoader(GoLoader):
    """As Helm reads: `y`, `no` and `on` are booleans, and dates do not exist."""


class EngineLoader(GoLoader):
    """As the engine reads: only `true` and `false` are booleans; a date becomes text, in Go's own form."""


GoLoader.yaml_implicit_resolvers = {}
GoLoader.add_implicit_resolver(f"{_TAG}merge", re.compile(r"^<<$"), ["<"])
GoLoader.add_implicit_resolver(f"{_TAG}null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
# For an integer, underscores are removed first, and may be anywhere but at its start. A number that begins with a point
# is read as it is, with single underscores between digits.
GoLoader.add_implicit_resolver(
    f"{_TAG}int",
    re.compile(
        r"^([-+]_*)?(0_*[bB]_*[01][01_]*|0_*[oO]_*[0-7][0-7_]*|0_*[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)$"
    ),
    list("-+0123456789"),
)
GoLoader.add_implicit_resolver(
    f"{_TAG}float",
    re.compile(
        r"^(\.[0-9](_?[0-9])*([eE][-+]?[0-9](_?[0-9])*)?"
        r"|([-+]_*\._*[0-9][0-9_]*|([-+]_*)?[0-9][0-9_]*(\.[0-9_]*)?)([eE]_*([-+]_*)?[0-9][0-9_]*)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
HelmLoader.add_implicit_resolver(
    f"{_TAG}bool",
    re.compile(r"^(y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$"),
    list("yYnNtTfFoO"),
)
EngineLoader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
EngineLoader.add_implicit_resolver(
    f"{_TAG}timestamp",
    re.compile(r"^\d{4}-\d{1,2}-\d{1,2}(([Tt]|\s+)\d{1,2}:\d{2}:\d{2}(\.\d+)?\s*(Z|[-+]\d{1,2}(:\d{2})?)?)?$"),
    list("0123456789"),
)


def _is_nothing(node: yaml.Node | None) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null" and not node.value


def _construct_bool(loader: GoLoader, node: yaml.ScalarNode) -> bool:
    return str(loader.construct_scalar(node)).lower() in ("y", "yes", "true", "on")


def _construct_int(loader: GoLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node)).replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    for prefix, base in (("0b", 2), ("0o", 8), ("0x", 16)):
        if digits.startswith(prefix):
            return sign * _finite(int(digits[2:], base), node)
    return sign * _finite(int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10), node)


def _construct_float(loader: GoLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node)).replace("_", "").lower()
    return _finite(float(text.replace(".inf", "inf").replace(".nan", "nan")), node)


def _finite(number: Number, node: yaml.ScalarNode) -> Number:
    """`number`, if JSON's floating-point numbers can hold it: Python's integers have no limit."""
    if not -sys.float_info.max <= number <= sys.float_info.max:
        raise yaml.constructor.ConstructorError(None, None, "JSON has no infinite number", node.start_mark)
    return number


def _construct_timestamp(loader: EngineLoader, node: yaml.ScalarNode) -> str:
    moment = loader.construct_yaml_timestamp(node)
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime.combine(moment, datetime.time())
    offset = moment.strftime("%z") or "+0000"
    return f"{moment:%Y-%m-%d %H:%M:%S} {offset} {'UTC' if offset == '+0000' else offset}"


def _construct_map(loader: GoLoader, node: yaml.MappingNode) -> dict[str, Any]:
    # Both turn what they read into JSON, so keys become text. Helm silently drops one of two equal keys; here they are
    # refused.
    keys: set[str] = set()
    for key_node, value_node in node.value:
        if key_node.tag == f"{_TAG}merge":
            if isinstance(loader, HelmLoader):
                _check_order(loader, keys, key_node, value_node)
            continue
        key = _key_text(loader.construct_object(key_node, deep=True), key_node)
        if key in keys:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} occurs twice", key_node.start_mark)
        keys.add(key)
    loader.flatten_mapping(node)
    return {
        _key_text(loader.construct_object(key_node, deep=True), key_node): loader.construct_object(
            value_node, deep=True
        )
        for key_node, value_node in node.value
    }


def _check_order(loader: HelmLoader, before: set[str], key_node: yaml.Node, merged: yaml.Node) -> None:
    """go-yaml 2 reads a map from its beginning, so a merged value wins over the keys `before` it."""
    for node in merged.value if isinstance(merged, yaml.SequenceNode) else [merged]:
        if not isinstance(node, yaml.MappingNode):
            continue  # PyYAML's merge refuses it
        loader.flatten_mapping(node)
        for inner, _ in node.value:
            key = _key_text(loader.construct_object(inner, deep=True), inner)
            if key in before:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key!r} stands before a << that has it too, and Helm takes that one: << goes first",
                    key_node.start_mark,
                )


def _key_text(key: Any, node: yaml.Node) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int):
        return str(key)
    # In Go's form, which is the same as long as six digits express the number.
    if isinstance(key, float) and float(f"{key:g}") == key:
        return f"{key:g}"
    raise yaml.constructor.ConstructorError(None, None, "a key must be text", node.start_mark)


GoLoader.add_constructor(f"{_TAG}bool", _construct_bool)
GoLoader.add_constructor(f"{_TAG}int", _construct_int)
GoLoader.add_constructor(f"{_TAG}float", _construct_float)
GoLoader.add_constructor(f"{_TAG}map", _construct_map)
EngineLoader.add_constructor(f"{_TAG}timestamp", _construct_timestamp)
