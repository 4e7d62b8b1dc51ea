"""A recorded run in the form of the state that its `up` leaves, as `pulumi stack export --show-secrets` prints it."""

from __future__ import annotations

import json
from typing import Any

from bench.flat_program import SECRET_SIGNATURE, STACK_TYPE
from tests.unit.monitor import PROJECT, STACK, Recording, Secret, unsealed

ROOT = f"urn:pulumi:{STACK}::{PROJECT}::{STACK_TYPE}::{PROJECT}-{STACK}"


def sealed(value: Any) -> Any:
    """`value` with every `Secret` replaced by the envelope that a state has."""
    if isinstance(value, Secret):
        return {SECRET_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(unsealed(value.value))}
    if isinstance(value, dict):
        return {key: sealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sealed(item) for item in value]
    return value


def exported(recording: Recording) -> dict[str, Any]:
    resources: list[dict[str, Any]] = [{"urn": ROOT, "type": STACK_TYPE, "custom": False, "outputs": {"one": 1}}]
    for one in recording.registrations:
        resources.append(
            {
                "urn": one.urn,
                "type": one.type,
                "custom": one.custom,
                "inputs": sealed(one.inputs),
                "parent": one.parent or ROOT,
                "dependencies": sorted(one.dependencies),
                "propertyDependencies": {key: sorted(urns) for key, urns in one.property_dependencies.items()},
                "provider": one.provider,
                "protect": one.protect,
                "retainOnDelete": one.retain_on_delete,
                "ignoreChanges": list(one.ignore_changes),
            }
        )
    for type_ in ("pulumi:providers:pulumi", "pulumi:pulumi:StackReference"):
        resources.append({"urn": f"{ROOT}-{type_}", "type": type_, "custom": True})
    return {"version": 3, "deployment": {"resources": resources}}
