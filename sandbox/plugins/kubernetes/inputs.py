"""Turns the inputs of a program's object into what is sent to the API server.

Owns `apiVersion` and `kind`, generated names, the default namespace and the encoding of Secrets. `schema.py` decides
whether the result is valid.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.kubernetes import schema
from sandbox.plugins.kubernetes.checkpoint import without_server_metadata
from sandbox.plugins.kubernetes.schema import Kind
from sandbox.plugins.values import UNKNOWN, contains_unknown

AUTONAMED: Final = "pulumi.com/autonamed"
SUFFIX_DIGITS: Final = 8


def normalise(kind: Kind, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Plain inputs in the form the state keeps; while some are unknown, values and Secrets are not converted."""
    value = dict(inputs)
    value.setdefault("apiVersion", kind.api_version)
    value.setdefault("kind", kind.name)
    if not contains_unknown(value):
        value = schema.canonical(kind, value)
        if kind.key == "v1/Secret":
            value = encode_secret(value)
    return without_server_metadata(value)


def encode_secret(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Moves `stringData` into `data` as base64, as the API server does; on a shared key `stringData` wins."""
    value = dict(inputs)
    texts = value.pop("stringData", None) or {}
    if texts:
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        value["data"] = {**(value.get("data") or {}), **encoded}
    return value


def metadata_of(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = inputs.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def name_of(inputs: Mapping[str, Any]) -> str:
    """Empty if the object has no name or its name is not yet known."""
    name = metadata_of(inputs).get("name")
    return name if isinstance(name, str) else ""


def namespace_of(inputs: Mapping[str, Any]) -> str:
    namespace = metadata_of(inputs).get("namespace")
    return namespace if isinstance(namespace, str) else ""


def annotations_of(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    annotations = metadata_of(inputs).get("annotations")
    return annotations if isinstance(annotations, Mapping) else {}


def is_named(inputs: Mapping[str, Any]) -> bool:
    """Whether the program names the object, even if the name is not yet known."""
    return inputs.get("metadata") is UNKNOWN or bool(metadata_of(inputs).get("name"))


def is_autonamed(inputs: Mapping[str, Any]) -> bool:
    return annotations_of(inputs).get(AUTONAMED) == "true"


def with_metadata(inputs: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    return {**inputs, "metadata": {**metadata_of(inputs), **values}}


def autonamed(inputs: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The mark tells `diff` that a replacement may have another name, and so need not delete first."""
    annotations = metadata_of(inputs).get("annotations")
    if annotations is UNKNOWN:
        return with_metadata(inputs, name=name)
    return with_metadata(inputs, name=name, annotations={**(annotations or {}), AUTONAMED: "true"})


def generated_name(urn: str, seed: bytes) -> str:
    """`<resource name>-<8 hex digits>`."""
    digest = hashlib.sha256(seed + urn.encode()).hexdigest() if seed else os.urandom(SUFFIX_DIGITS).hex()
    return f"{urn.rsplit('::', 1)[-1]}-{digest[:SUFFIX_DIGITS]}"


def with_default_namespace(kind: Kind, inputs: Mapping[str, Any], default: str) -> dict[str, Any]:
    if not kind.namespaced or not default or inputs.get("metadata") is UNKNOWN:
        return dict(inputs)
    return dict(inputs) if metadata_of(inputs).get("namespace") else with_metadata(inputs, namespace=default)


def object_id(value: Mapping[str, Any]) -> str:
    """`<namespace>/<name>`, or only the name if there is no namespace."""
    return "/".join(part for part in (namespace_of(value), name_of(value)) if part)


def parse_id(id_: str) -> tuple[str, str]:
    """The namespace and the name."""
    namespace, _, name = id_.rpartition("/")
    return namespace, name
