"""Checks what a YAML program uses of the component provider against the provider's own schema."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from components.package import NAME
from provider.host import Host

REFERENCE = re.compile(r"\$\{([\w-]+)(?:\.(\w+))?[^}]*\}")


@functools.cache
def schema() -> Mapping[str, Any]:
    """The schema as the provider returns it to the engine."""
    parsed: dict[str, Any] = json.loads(str(Host().schema))
    return parsed


def faults(program: Mapping[str, Any]) -> list[str]:
    """The resources, inputs and outputs of the program that the schema does not have. References to other resources are
    not followed."""
    resources: Mapping[str, Any] = program["resources"]
    found = []
    for name, resource in resources.items():
        package, _, kind = resource["type"].partition(":")
        if package != NAME:
            continue
        definition = schema()["resources"].get(f"{NAME}:index:{kind}")
        if definition is None:
            found.append(f"{name}: no component {kind}")
            continue
        given = resource.get("properties", {})
        found += [f"{name}.{key}: no such input" for key in given if key not in definition["inputProperties"]]
        found += [f"{name}.{key}: is required" for key in definition["requiredInputs"] if key not in given]
        found += [
            f"{name}.{key}: is no {definition['inputProperties'][key]['type']}"
            for key, value in given.items()
            if key in definition["inputProperties"] and not _fits(value, definition["inputProperties"][key])
        ]
        if not isinstance(resource.get("options", {}).get("providers", []), list):
            found.append(f"{name}: options.providers is no list")
    known = {*resources, *program.get("config", program.get("configuration", {})), *program.get("variables", {})}
    for name, output in REFERENCE.findall(json.dumps([resources, program.get("outputs", {})])):
        if name not in known:
            found.append(f"${{{name}}}: is nothing of this program")
        elif output and resources.get(name, {}).get("type", "").startswith(f"{NAME}:"):
            kind = resources[name]["type"].partition(":")[2]
            if output not in schema()["resources"].get(f"{NAME}:index:{kind}", {}).get("properties", {output: None}):
                found.append(f"${{{name}.{output}}}: no such output")
    return found


def _fits(value: Any, definition: Mapping[str, Any]) -> bool:
    if isinstance(value, str) and REFERENCE.fullmatch(value):
        return True
    kind = definition.get("type")
    python: dict[Any, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    return kind is None or (isinstance(value, python[kind]) and isinstance(value, bool) == (kind == "boolean"))
