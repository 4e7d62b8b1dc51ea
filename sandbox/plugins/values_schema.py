"""Property tables of resource types, and what follows from a table alone: checks, planned outputs, differences.

For plugins whose objects live only in the state (random, tls). Owns no properties: each plugin brings its own tables.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, ResourceProvider
from sandbox.plugins.values import UNKNOWN, Properties, Secret, contains_unknown, unwrap

Kind = Literal["string", "integer", "boolean", "strings", "string map", "object"]


@dataclass(frozen=True)
class Property:
    """An input. `default` is the output's value when the input is absent; None: no output either.

    `computed`: at preview, an absent value counts as unknown, although it may stay absent after the update.
    """

    kind: Kind
    required: bool = False
    default: Any = None
    choices: frozenset[str] = frozenset()
    at_least: int | None = None
    replaces: bool = True
    secret: bool = False
    computed: bool = False
    fields: Mapping[str, Kind] = field(default_factory=dict)


@dataclass(frozen=True)
class ResourceSchema:
    """The inputs of a type, and the outputs that it computes (True: secret).

    `identified`: the id is also an output, as with nearly every type.
    """

    type: str
    inputs: Mapping[str, Property]
    computed: Mapping[str, bool]
    identified: bool = True

    def check(self, news: Properties) -> CheckResult:
        """Reports every failure at once; unknown values pass. Secret properties are returned as secrets."""
        failures: list[CheckFailure] = []
        inputs: Properties = {}
        for name, value in news.items():
            known = self.inputs.get(name)
            plain = unwrap(value)
            if known is None:
                failures.append(CheckFailure(name, _unknown_property(name, self.type, self.inputs)))
            elif plain is not None:
                failures.extend(_failures(name, known, plain))
                inputs[name] = Secret(plain) if known.secret and not isinstance(value, Secret) else value
        failures.extend(
            CheckFailure(name, f"missing required property '{name}' of {self.type}")
            for name, known in self.inputs.items()
            if known.required and name not in inputs
        )
        return CheckResult(inputs, failures)

    def planned(self, inputs: Properties, *, preview: bool) -> Properties:
        """The outputs that follow from the inputs; at preview also the computed ones, as unknown."""
        outputs: Properties = {}
        for name, known in self.inputs.items():
            value = inputs.get(name, known.default)
            if value is None and known.computed and preview:
                value = UNKNOWN
            if value is not None:
                outputs[name] = Secret(value) if known.secret and not isinstance(value, Secret) else value
        if preview:
            outputs.update({name: Secret(UNKNOWN) if secret else UNKNOWN for name, secret in self.computed.items()})
            if self.identified:
                outputs["id"] = UNKNOWN
        return outputs

    def finished(self, inputs: Properties, computed: Properties) -> Properties:
        """The outputs of an object that exists: planned ones and `computed`, with secrets marked."""
        outputs = self.planned(inputs, preview=False)
        outputs.update({name: Secret(value) if self.computed.get(name) else value for name, value in computed.items()})
        return outputs

    def difference(self, outputs: Properties, news: Properties, ignored: list[str]) -> DiffResult:
        """Compares with the recorded outputs: an input that is removed falls back to its default."""
        changed = sorted(name for name in self.inputs if self._changed(name, outputs, news, ignored))
        return DiffResult(
            changes=bool(changed),
            diffs=changed,
            replaces=[name for name in changed if self.inputs[name].replaces and not self._idle(name, outputs, news)],
        )

    def _idle(self, name: str, outputs: Properties, news: Properties) -> bool:
        """Whether only keepers without a value come or go: such a change is recorded and replaces nothing."""
        old, new = unwrap(outputs.get(name)), unwrap(news.get(name))
        return self.inputs[name].kind == "string map" and _without_null(old or {}) == _without_null(new or {})

    def _changed(self, name: str, outputs: Properties, news: Properties, ignored: list[str]) -> bool:
        if any(path.split(".")[0].split("[")[0] == name for path in ignored):
            return False
        old = unwrap(outputs.get(name))
        new = unwrap(news.get(name, self.inputs[name].default))
        if contains_unknown(new):
            return True
        if self.inputs[name].kind == "object":
            return bool(_without_null(old) != _without_null(new))
        return bool(old != new)


class StateOnlyProvider(ResourceProvider):
    """A plugin whose objects exist only in the state: its tables decide every check, and delete has nothing to do."""

    types: Mapping[str, ResourceSchema]

    def schema(self, type_: str) -> ResourceSchema:
        """Raises `ResourceError` for a type that is not in the tables."""
        if type_ not in self.types:
            raise self.unsupported(type_)
        return self.types[type_]

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        return self.schema(type_).check(news)

    def delete(self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        self.schema(type_)


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if item is not None}
    return value


def _unknown_property(name: str, type_: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{nearest[0]}'?" if nearest else f"; known: {', '.join(sorted(known))}"
    return f"{type_} has no property '{name}'{hint}"


def _failures(path: str, known: Property, value: Any) -> list[CheckFailure]:
    if value is UNKNOWN:
        return []
    if not _fits(known.kind, value):
        return [CheckFailure(path, f"'{path}' must be {_ARTICLES[known.kind]}, not {type(value).__name__}")]
    if known.kind == "object":
        return _object_failures(path, known.fields, value)
    failures = []
    for item in value if known.kind == "strings" else [value]:
        if known.choices and item is not UNKNOWN and item not in known.choices:
            accepted = ", ".join(sorted(known.choices))
            failures.append(CheckFailure(path, f"'{path}': {item!r} is none of the accepted values: {accepted}"))
    if known.at_least is not None and value < known.at_least:
        failures.append(CheckFailure(path, f"'{path}': {value} is less than {known.at_least}"))
    return failures


def _object_failures(path: str, fields: Mapping[str, Kind], value: Mapping[str, Any]) -> list[CheckFailure]:
    failures = []
    for name, item in value.items():
        if name not in fields:
            failures.append(CheckFailure(f"{path}.{name}", _unknown_property(name, path, fields)))
        elif item is not None and item is not UNKNOWN and not _fits(fields[name], item):
            failures.append(CheckFailure(f"{path}.{name}", f"'{path}.{name}' must be {_ARTICLES[fields[name]]}"))
    return failures


_ARTICLES: dict[Kind, str] = {
    "string": "a string",
    "integer": "an integer",
    "boolean": "a boolean",
    "strings": "a list of strings",
    "string map": "a map of strings",
    "object": "an object",
}


def _fits(kind: Kind, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "strings":
        return isinstance(value, list) and all(item is UNKNOWN or isinstance(item, str) for item in value)
    if kind == "string map":
        return isinstance(value, Mapping) and all(
            item is None or item is UNKNOWN or isinstance(item, str) for item in value.values()
        )
    return isinstance(value, Mapping)
