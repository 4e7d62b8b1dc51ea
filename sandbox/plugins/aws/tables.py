"""The form of a resource type's table, and what follows from it alone: failures, defaults, names, differences.

Makes no AWS calls and owns no resource type: those are in `resources.py`, with `violations` for the program's tests.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, PropertyDiff
from sandbox.plugins.values import UNKNOWN, UNKNOWN_SENTINELS, Properties, Secret, contains_unknown, unwrap

Kind = Literal["string", "integer", "number", "boolean", "set", "map", "object", "objects"]

# As in the bridge: names the inputs that the program did not give, so that a generated name is kept, not remade.
DEFAULTS: Final = "__defaults"

AUTONAME_DIGITS: Final = 7


@dataclass(frozen=True)
class Input:
    """One input of a type, in Terraform's terms: `replaces` is ForceNew; an optional `computed` input takes AWS's
    value."""

    kind: Kind = "string"
    required: bool = False
    default: Any = None
    computed: bool = False
    replaces: bool = False
    secret: bool = False
    document: bool = False
    """JSON, compared by meaning."""
    choices: tuple[Any, ...] = ()
    between: tuple[int, int] | None = None
    pattern: str = ""
    longest: int | None = None
    conflicts: tuple[str, ...] = ()
    fields: Mapping[str, Input] = field(default_factory=dict)
    same: Callable[[Any, Any, Properties], bool] | None = None
    """(old, new, new inputs): whether the provider considers the two values equal."""
    live: bool = False
    """The state has AWS's value, even if the program's differs only in spelling."""


@dataclass(frozen=True)
class Autoname:
    """The input that the plugin fills when neither it nor its prefix is given: `<prefix><resource name>-<7 hex>`."""

    input: str = "name"
    prefix_input: str = "namePrefix"
    prefix: str = ""
    longest: int = 255
    lower: bool = False


@dataclass(frozen=True)
class ResourceType:
    """`outputs` are computed by AWS; `rules` return failures that span inputs as (input, text)."""

    token: str
    source: str
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]
    secret_outputs: tuple[str, ...] = ()
    autoname: Autoname | None = None
    exactly_one: tuple[tuple[str, ...], ...] = ()
    rules: Callable[[Properties], list[tuple[str, str]]] = lambda inputs: []

    def failures(self, inputs: Properties) -> list[CheckFailure]:
        """Everything that the official plugin, or AWS behind it, would refuse. Unknown values pass."""
        plain = {key: value for key, value in _known(inputs).items() if value is not None and key != DEFAULTS}
        found = [
            failure
            for name, value in plain.items()
            for failure in (
                _failures(name, self.inputs[name], value)
                if name in self.inputs
                else [CheckFailure(name, _unknown_input(self.token, name, self.inputs))]
            )
        ]
        for name, known in self.inputs.items():
            if known.required and name not in plain:
                found.append(CheckFailure(name, f"Missing required argument: {name} of {self.token}"))
            if name in plain:
                found += [
                    CheckFailure(name, f"Conflicting configuration arguments: {name} conflicts with {other}")
                    for other in known.conflicts
                    if other in plain
                ]
        for alternatives in self.exactly_one:
            given = [name for name in alternatives if name in plain]
            if len(given) != 1:
                text = f"exactly one of {', '.join(alternatives)} must be given, and there are {len(given)}"
                found.append(CheckFailure(alternatives[0], text))
        if not found:
            found = [CheckFailure(name, text) for name, text in self.rules(plain)]
        return found

    def check(self, name: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        """The inputs with defaults and, if no name is given, a name: the old one, or a new one made from the seed."""
        inputs = {key: value for key, value in news.items() if unwrap(value) is not None and key != DEFAULTS}
        failures = self.failures(inputs)
        defaults = [key for key, known in self.inputs.items() if known.default is not None and key not in inputs]
        inputs.update({key: self.inputs[key].default for key in defaults})
        auto = self.autoname
        if auto and auto.input not in inputs and auto.prefix_input not in inputs:
            if auto.input in unwrap(olds.get(DEFAULTS, [])):
                inputs[auto.input] = olds[auto.input]
            else:
                tail = f"-{random_seed.hex()[:AUTONAME_DIGITS]}"
                text = f"{auto.prefix}{name}"[: auto.longest - len(tail)] + tail
                inputs[auto.input] = text.lower() if auto.lower else text
            defaults.append(auto.input)
        for key, known in self.inputs.items():
            if known.secret and key in inputs and not isinstance(inputs[key], Secret):
                inputs[key] = Secret(inputs[key])
        return CheckResult({**inputs, DEFAULTS: sorted(defaults)}, failures)

    def planned(self, inputs: Properties) -> Properties:
        """The outputs at preview: given values, and unknown where AWS decides."""
        outputs = {key: value for key, value in inputs.items() if key != DEFAULTS}
        computed = [*self.outputs, *(key for key, known in self.inputs.items() if known.computed), "id"]
        for key in computed:
            if key not in outputs:
                outputs[key] = Secret(UNKNOWN) if key in self.secret_outputs else UNKNOWN
        return outputs

    def difference(self, outputs: Properties, news: Properties, ignored: list[str]) -> DiffResult:
        """Compares with the recorded outputs, which a refresh replaces by the live values."""
        detailed: dict[str, PropertyDiff] = {}
        skip = {path.split(".")[0].split("[")[0] for path in ignored}
        old_values, new_values = unwrap(outputs), unwrap(news)
        replaces = []
        for name, known in self.inputs.items():
            old, new = old_values.get(name), new_values.get(name)
            if name in skip or not _differs(known, old, new, new_values):
                continue
            suffix = "-replace" if known.replaces else ""
            if known.replaces:
                replaces.append(name)
            if known.kind == "map" and isinstance(new, Mapping) and isinstance(old, Mapping) and not suffix:
                for key in sorted(old.keys() | new.keys()):
                    if old.get(key) != new.get(key):
                        path = f"{name}.{key}" if re.fullmatch(r"\w+", key) else f'{name}["{key}"]'
                        detailed[path] = PropertyDiff(
                            "add" if key not in old else "delete" if key not in new else "update"
                        )
            elif old is None:
                detailed[name] = PropertyDiff("add-replace" if suffix else "add")
            elif new is None:
                detailed[name] = PropertyDiff("delete-replace" if suffix else "delete")
            else:
                detailed[name] = PropertyDiff("update-replace" if suffix else "update")
        auto = self.autoname
        explicit = auto is not None and auto.input in new_values and auto.input not in new_values.get(DEFAULTS, [])
        return DiffResult(
            changes=bool(detailed),
            replaces=replaces,
            detailed=detailed,
            # A name that the program gave stays taken until its owner is gone.
            delete_before_replace=bool(replaces) and explicit,
            diffs=sorted({re.split(r"[.\[]", path)[0] for path in detailed}),
        )


def _known(value: Any) -> Any:
    """Plain values, with every form of unknown as `UNKNOWN`; a test's recording contains the wire's own sentinels."""
    value = unwrap(value)
    if isinstance(value, str) and value in UNKNOWN_SENTINELS:
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: _known(item) for key, item in value.items()}
    return [_known(item) for item in value] if isinstance(value, list) else value


def _empty(value: Any) -> bool:
    """Whether it is Terraform's zero value: absent and empty are the same."""
    return value is None or value is False or value in ("", 0, [], {})


def _differs(known: Input, old: Any, new: Any, news: Properties) -> bool:
    if contains_unknown(new):
        return True
    if new is None:
        # An optional, computed input that is not given keeps AWS's value.
        return not known.computed and not _empty(old)
    if _empty(old) and _empty(new):
        return False
    if known.same is not None and old is not None and known.same(old, new, news):
        return False
    return bool(_comparable(known, old) != _comparable(known, new))


def _comparable(known: Input, value: Any) -> Any:
    if known.kind in ("set", "objects") and isinstance(value, list):
        return sorted(json.dumps(item, sort_keys=True) for item in value)
    if known.document and isinstance(value, str):
        try:
            return _policy(json.loads(value))
        except ValueError:
            return value
    return value


def _policy(value: Any) -> Any:
    """AWS returns a one-element list as its element, and sets in any order."""
    if isinstance(value, Mapping):
        return {key: _policy(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_policy(item) for item in value]
        return items[0] if len(items) == 1 else sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _unknown_input(token: str, name: str, known: Mapping[str, Input]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    return f"the stand-in for aws has no input {name} of {token}{hint}; install the official plugin if it is right"


_PYTHON: Final[dict[Kind, Any]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "set": list,
    "map": Mapping,
    "object": Mapping,
    "objects": list,
}


def _failures(path: str, known: Input, value: Any) -> list[CheckFailure]:
    if value is UNKNOWN:
        return []
    expected: Any = _PYTHON[known.kind]
    if not isinstance(value, expected) or (known.kind in ("integer", "number") and isinstance(value, bool)):
        return [CheckFailure(path, f"{path} must be of kind {known.kind}, not {type(value).__name__}")]
    if known.kind == "objects":
        return [
            failure
            for index, item in enumerate(value)
            for failure in _object_failures(f"{path}[{index}]", known.fields, item)
        ]
    if known.kind == "object":
        return _object_failures(path, known.fields, value)
    members = value if known.kind == "set" else value.values() if known.kind == "map" else [value]
    found = []
    for member in members:
        if member is UNKNOWN:
            continue
        if known.kind in ("set", "map") and not isinstance(member, str):
            found.append(f"{path} must hold strings")
        elif known.choices and member not in known.choices:
            found.append(f"expected {path} to be one of {', '.join(map(str, known.choices))}, got {member}")
        elif known.between and not known.between[0] <= member <= known.between[1]:
            found.append(f"expected {path} to be in the range ({known.between[0]} - {known.between[1]}), got {member}")
        elif known.pattern and not re.fullmatch(known.pattern, member):
            found.append(f"invalid value for {path}: {member!r} does not match {known.pattern}")
        elif known.longest and len(member) > known.longest:
            found.append(f"expected length of {path} to be at most {known.longest}, got {len(member)}")
        elif known.document and not _is_json_object(member):
            found.append(f"{path} contains an invalid JSON policy")
    return [CheckFailure(path, text) for text in found]


def _object_failures(path: str, fields: Mapping[str, Input], value: Any) -> list[CheckFailure]:
    if value is UNKNOWN:
        return []
    if not isinstance(value, Mapping):
        return [CheckFailure(path, f"{path} must be an object")]
    found = [CheckFailure(path, _unknown_input(path, name, fields)) for name in value if name not in fields]
    for name, known in fields.items():
        if value.get(name) is not None:
            found += _failures(f"{path}.{name}", known, value[name])
        elif known.required:
            found.append(CheckFailure(path, f"Missing required argument: {path}.{name}"))
    return found


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
