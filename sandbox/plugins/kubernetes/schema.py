"""The built-in kinds and the properties of their inputs, from `kinds.json`.

Owns what a resource type is and which inputs it has; `schema_source.py` generates the table.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any, Final

from sandbox.plugins.protocol import CheckFailure
from sandbox.plugins.values import UNKNOWN

PREFIX: Final = "kubernetes:"
# The scale of each suffix (k8s.io/apimachinery, pkg/api/resource/suffix.go). `QUANTITY` tries `Mi` before `M`.
BINARY: Final = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL: Final = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Kind:
    """A built-in or custom kind; `patch`: the resource type is its `...Patch`, which owns some fields, not the object.

    For a custom kind `type` is empty, and so is `plural` while the cluster has no definition of it.
    """

    api_version: str
    name: str
    plural: str
    namespaced: bool
    type: str
    patch: bool = False

    @property
    def key(self) -> str:
        return f"{self.api_version}/{self.name}"

    @property
    def properties(self) -> str:
        """The table's entry for the properties of its objects."""
        return f"#{self.type}" if self.type else "any"

    @property
    def typed(self) -> bool:
        """Whether the official plugin compares its objects in the form of their Go type: neither Secrets nor custom
        kinds (provider/pkg/clients/unstructured.go, Normalize)."""
        return bool(self.type) and self.key != "v1/Secret"

    @property
    def is_defined(self) -> bool:
        """Whether the cluster, as far as it was asked, can store its objects."""
        return bool(self.plural)


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("kinds.json").read_text())
    return table


@functools.cache
def kind_of(api_version: str, name: str) -> Kind | None:
    """The kind of an object's `apiVersion` and `kind`."""
    entry = _table()["kinds"].get(f"{api_version}/{name}")
    return None if entry is None else Kind(api_version, name, entry["plural"], entry["namespaced"], entry["type"])


@functools.cache
def kind_of_type(token: str) -> Kind | None:
    """The kind of a resource type such as `kubernetes:core/v1:ConfigMap` or `kubernetes:apps/v1:DeploymentPatch`."""
    version, _, name = token.removeprefix(PREFIX).rpartition(":")
    api_version = version.removeprefix("core/")
    found = kind_of(api_version, name)
    if found is not None or not name.endswith("Patch"):
        return found
    target = kind_of(api_version, name.removesuffix("Patch"))
    return None if target is None else Kind(**{**target.__dict__, "patch": True})


def input_names(kind: Kind, live: Mapping[str, Any]) -> set[str]:
    """The top-level properties that a program may give; for a custom kind, only those that `live` has."""
    return set(_table()["types"][kind.type] if kind.type else live) - {"status"}


def check(kind: Kind, inputs: Mapping[str, Any]) -> list[CheckFailure]:
    """One failure for each misspelt property and each value of the wrong type; unknown values pass."""
    return list(_check_value(kind.properties, inputs, ""))


def _check_value(expression: str, value: Any, path: str) -> Iterator[CheckFailure]:
    if value is None or value is UNKNOWN or expression == "any":
        return
    if expression.startswith("#"):
        if not isinstance(value, Mapping):
            yield _wrong(path, "an object", value)
            return
        fields = _table()["types"][expression[1:]]
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            if key in fields:
                yield from _check_value(fields[key], item, inner)
            else:
                near = difflib.get_close_matches(key, fields, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; {expression[1:]} has {', '.join(sorted(fields))}"
                yield CheckFailure(inner, f"unknown field {inner!r}{hint}")
    elif expression.startswith("["):
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        for index, item in enumerate(value):
            yield from _check_value(expression[1:], item, f"{path}[{index}]")
    elif expression.startswith("{"):
        if not isinstance(value, Mapping):
            yield _wrong(path, "an object", value)
            return
        for key, item in value.items():
            yield from _check_value(expression[1:], item, f"{path}.{key}")
    elif not _fits(expression, value):
        yield _wrong(
            path,
            {"integer": "a whole number", "quantity": "a quantity such as 250m or 1Gi"}.get(
                expression, f"a {expression}"
            ),
            value,
        )


def _fits(expression: str, value: Any) -> bool:
    if isinstance(value, bool):
        return expression == "boolean"
    if expression == "string":
        return isinstance(value, str)
    if expression == "integer":
        return isinstance(value, int)
    if expression == "number":
        return isinstance(value, (int, float))
    if expression == "int-or-string":
        return isinstance(value, (int, str))
    if expression == "quantity":
        return isinstance(value, (int, float)) or (isinstance(value, str) and QUANTITY.fullmatch(value) is not None)
    return False


def _wrong(path: str, wanted: str, value: Any) -> CheckFailure:
    # The value may be a secret; its type says enough.
    return CheckFailure(path, f"{path}: expected {wanted}, got {type(value).__name__}")


def canonical(kind: Kind, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as the API server would write them: no nulls, quantities in their canonical form."""
    value = _canonical_value(kind.properties, inputs)
    assert isinstance(value, dict)
    return value


def _canonical_value(expression: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if expression.startswith("#"):
            fields = _table()["types"][expression[1:]]
            return {
                key: _canonical_value(fields.get(key, "any"), item) for key, item in value.items() if item is not None
            }
        inner = expression[1:] if expression.startswith("{") else "any"
        return {key: _canonical_value(inner, item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        inner = expression[1:] if expression.startswith("[") else "any"
        return [_canonical_value(inner, item) for item in value]
    if expression == "quantity" and value is not UNKNOWN and not isinstance(value, bool):
        return canonical_quantity(value)
    return value


def canonical_quantity(value: str | int | float) -> str:
    """`1000m` -> `1`, `0.5Gi` -> `512Mi`: the largest suffix of the same family without a fraction."""
    match = QUANTITY.fullmatch(str(value))
    if match is None:
        return str(value)
    number, suffix = Decimal(match.group(1)), match.group(2) or ""
    if suffix in BINARY:
        amount, base, family = number * Decimal(1024) ** BINARY[suffix], 1024, BINARY
    elif suffix in DECIMAL:
        amount, base, family = number * Decimal(1000) ** DECIMAL[suffix], 1000, DECIMAL
    else:
        return str(value)  # an exponent keeps its form
    if amount == 0:
        return "0"
    if family is BINARY and amount != amount.to_integral_value():
        base, family = 1000, DECIMAL
    for name, power in sorted(family.items(), key=lambda item: -item[1]):
        scaled = amount / Decimal(base) ** power
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{name}"
    if family is BINARY:
        return str(int(amount))
    return f"{int((amount * 10**9).to_integral_value(ROUND_CEILING))}n"
