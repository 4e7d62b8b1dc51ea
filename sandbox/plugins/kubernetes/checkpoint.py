"""An object's state as the engine keeps it: the live object, the inputs that made it, and who applied them.

Owns that form, its secrets, and the pruning of a live object to the shape of its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.values import Properties, Secret, contains_secret, unwrap

INPUTS: Final = "__inputs"
INITIAL_API_VERSION: Final = "__initialApiVersion"
FIELD_MANAGER: Final = "__fieldManager"
# Metadata that only the API server writes: never an input, and a difference in it is no change.
SERVER_METADATA: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
)
SECRET_FIELDS: Final = ("data", "stringData")


def annotate(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
    """`outputs` with every value marked secret that is secret in `inputs`; a Secret's data always is.

    A list that contains one secret becomes secret as a whole, because a controller may reorder it.
    """
    marked: Properties = {}
    is_secret = outputs.get("kind") == "Secret"
    for key, value in outputs.items():
        given = inputs.get(key)
        # An object given as one secret (`metadata=Output.secret(...)`) is hidden as a whole by the rule below.
        if isinstance(value, Secret):
            marked[key] = value
        elif is_secret and key in SECRET_FIELDS:
            marked[key] = Secret(value)
        elif isinstance(value, Mapping) and isinstance(given, Mapping):
            marked[key] = annotate(value, given)
        elif contains_secret(given):
            marked[key] = Secret(value)
        else:
            marked[key] = value
    return marked


def state(
    inputs: Mapping[str, Any], live: Mapping[str, Any], given: Mapping[str, Any], initial_version: str, manager: str
) -> Properties:
    """The outputs of an object. `inputs` and `live` are plain; `given` are the inputs with their secret marks."""
    return {
        **annotate(live, given),
        INPUTS: annotate(inputs, given),
        INITIAL_API_VERSION: initial_version,
        FIELD_MANAGER: manager,
    }


def split(outputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The plain inputs and the plain live object that `state` combined."""
    plain = unwrap(outputs)
    inputs = plain.pop(INPUTS, None) or {}
    for key in (INITIAL_API_VERSION, FIELD_MANAGER):
        plain.pop(key, None)
    return inputs, plain


def prune(live: Mapping[str, Any], shape: Mapping[str, Any], zeros: bool) -> dict[str, Any]:
    """`live` without the fields that `shape` lacks: defaults, status and other managers' fields.

    `zeros`: whether the official plugin converts inputs of this kind to their Go type first, which drops the zero
    values that the server does not store (`hostNetwork: false`). Absent and zero are then equal; otherwise they would
    differ on every run.
    """
    pruned: dict[str, Any] = {}
    for key, wanted in shape.items():
        if key in live:
            value = live[key]
            if _same_type(value, wanted):
                pruned[key] = _prune_value(value, wanted, zeros)
        elif zeros and _is_zero(wanted):
            pruned[key] = wanted
    return pruned


def _prune_value(value: Any, wanted: Any, zeros: bool) -> Any:
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        return prune(value, wanted, zeros)
    if isinstance(value, list) and isinstance(wanted, list):
        return [
            _prune_value(item, shape, zeros)
            for item, shape in zip(value, wanted, strict=False)
            if _same_type(item, shape)
        ]
    return value


def _same_type(value: Any, wanted: Any) -> bool:
    numbers = (int, float)
    if isinstance(value, bool) or isinstance(wanted, bool):
        return isinstance(value, bool) and isinstance(wanted, bool)
    if isinstance(value, numbers):
        return isinstance(wanted, numbers)
    return type(value) is type(wanted)


def _is_zero(value: Any) -> bool:
    return value is False or value == 0 or value == "" or value == [] or value == {}


def without_server_metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    if not isinstance(metadata, Mapping):
        return dict(value)
    return {**value, "metadata": {key: item for key, item in metadata.items() if key not in SERVER_METADATA}}
