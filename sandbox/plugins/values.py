"""Property values as plain Python: secrets, unknowns, and their wire format (protobuf Struct).

Owns what a value is and how it is encoded; each plugin decides what to do with values.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import struct_pb2

Properties = dict[str, Any]

# Signatures of the wire format: sdk/go/common/resource/properties.go and sdk/go/common/resource/plugin/rpc.go.
SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE: Final = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT_SIGNATURE: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# The engine sends a different sentinel for each kind of value; a plugin need not tell them apart.
UNKNOWN_SENTINELS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
REFUSED_SIGNATURES: Final = {
    "c44067f5952c0a294b673a41bacd8c17": "asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "archive",
    "5cf8f73096256a8f31e491e813e4eb8e": "resource reference",
}


class UnsupportedValue(ValueError):
    """A value that the stand-in plugins do not accept: an asset, an archive, a resource reference."""


class Unknown(enum.Enum):
    """The one value that stands for "known only after the update"; test with `is UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class Secret:
    """A value that the state encrypts and the engine hides when it prints; may occur anywhere in a tree."""

    value: Any

    def __repr__(self) -> str:
        return "Secret([secret])"


def unwrap(value: Any) -> Any:
    """The value without any `Secret`, at any depth; the result shares no container with the argument."""
    if isinstance(value, Secret):
        return unwrap(value.value)
    if isinstance(value, Mapping):
        return {key: unwrap(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unwrap(item) for item in value]
    return value


def _nodes(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Secret):
        yield from _nodes(value.value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def contains_unknown(value: Any) -> bool:
    return any(node is UNKNOWN for node in _nodes(value))


def contains_secret(value: Any) -> bool:
    return any(isinstance(node, Secret) for node in _nodes(value))


def rewrap(outputs: Mapping[str, Any], inputs: Mapping[str, Any]) -> Properties:
    """`outputs` with each key marked secret whose value in `inputs` contains a secret.

    As the engine does for plugins without support for secrets: maps are walked; a list with one secret in it becomes
    secret as a whole, because a plugin may reorder it.
    """
    marked: Properties = {}
    for key, value in outputs.items():
        given = inputs.get(key)
        if isinstance(value, Mapping) and isinstance(given, Mapping):
            marked[key] = rewrap(value, given)
        elif not isinstance(value, Secret) and contains_secret(given):
            marked[key] = Secret(unwrap(value))
        else:
            marked[key] = value
    return marked


def decode(struct: struct_pb2.Struct) -> Properties:
    """Raises `UnsupportedValue` naming the path of an asset, archive or resource reference."""
    return {key: _decode_value(value, key) for key, value in struct.fields.items()}


def _decode_value(value: struct_pb2.Value, path: str) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in UNKNOWN_SENTINELS else text
    if kind == "struct_value":
        return _decode_struct(value.struct_value, path)
    if kind == "number_value":
        number = value.number_value
        # The wire format has only doubles; whole numbers come back as int, as they were written.
        return int(number) if math.isfinite(number) and number == math.trunc(number) else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode_value(item, f"{path}[{index}]") for index, item in enumerate(value.list_value.values)]
    return None


def _decode_struct(struct: struct_pb2.Struct, path: str) -> Any:
    fields = struct.fields
    if SIGNATURE_KEY not in fields:
        return {key: _decode_value(item, f"{path}.{key}") for key, item in fields.items()}
    signature = fields[SIGNATURE_KEY].string_value
    if signature == SECRET_SIGNATURE:
        return Secret(_decode_value(fields["value"], path))
    if signature == OUTPUT_SIGNATURE:
        known = _decode_value(fields["value"], path) if "value" in fields else UNKNOWN
        return Secret(known) if "secret" in fields and fields["secret"].bool_value else known
    named = REFUSED_SIGNATURES.get(signature, f"value with signature {signature}")
    raise UnsupportedValue(f"{path}: the stand-in plugins take no {named}; give a plain value")


def encode(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Raises `UnsupportedValue` for a value that has no JSON form."""
    struct = struct_pb2.Struct()
    _encode_into(struct, properties)
    return struct


def _encode_into(struct: struct_pb2.Struct, properties: Mapping[str, Any]) -> None:
    for key, value in properties.items():
        _encode_value(struct.fields[key], value)


def _encode_value(target: struct_pb2.Value, value: Any) -> None:
    if value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        target.string_value = UNKNOWN_STRING
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, (int, float)):
        target.number_value = value
    elif isinstance(value, Secret):
        fields = target.struct_value.fields
        fields[SIGNATURE_KEY].string_value = SECRET_SIGNATURE
        # A secret nested in a secret adds nothing, and the engine's own values never contain one.
        _encode_value(fields["value"], unwrap(value.value))
    elif isinstance(value, Mapping):
        target.struct_value.SetInParent()
        _encode_into(target.struct_value, value)
    elif isinstance(value, (list, tuple)):
        target.list_value.SetInParent()
        for item in value:
            _encode_value(target.list_value.values.add(), item)
    else:
        raise UnsupportedValue(f"a {type(value).__name__} cannot be a property value")
