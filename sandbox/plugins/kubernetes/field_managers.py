"""Who manages which field of an object: server-side apply's bookkeeping.

Owns taking fields over from earlier managers, giving up a manager's fields, and what `ignoreChanges` means for them.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.plugins.kubernetes.connection import JSON_PATCH, ApiError, ApiServer
from sandbox.plugins.kubernetes.difference import parse
from sandbox.plugins.kubernetes.inputs import annotations_of, name_of, namespace_of
from sandbox.plugins.kubernetes.schema import Kind

# The manager recorded for an object's creation; updates are applied under the resource's own manager.
CREATOR: Final = "pulumi-kubernetes"
OWN_MANAGERS: Final = ("pulumi-kubernetes", "pulumi-resource-kubernetes")
MANAGER_ANNOTATION: Final = "pulumi.com/patchFieldManager"
FORCE_ANNOTATION: Final = "pulumi.com/patchForce"
CONFLICT_HELP: Final = (
    "https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/managing-resources-with-server-side-apply/"
    "#handle-field-conflicts-on-existing-resources"
)
# Managers whose fields an applied object takes over, by prefix and operation (`kubectl apply`, and its migration).
TAKEN_OVER: Final = (
    ("kubectl", "Apply"),
    ("kubectl", "Update"),
    ("before-first-apply", "Update"),
    ("pulumi-kubernetes", "Update"),
    ("pulumi-resource-kubernetes", "Update"),
)


def manager_name(state: Mapping[str, Any], inputs: Mapping[str, Any], server_side: bool) -> str:
    """The manager named by the annotation, else the one in the state, else a new one."""
    if not server_side:
        return CREATOR
    given = annotations_of(inputs).get(MANAGER_ANNOTATION) or state.get("__fieldManager")
    return str(given) if given else f"pulumi-kubernetes-{secrets.token_hex(4)}"


def forces(inputs: Mapping[str, Any], live: Mapping[str, Any] | None, preview: bool, always: bool) -> bool:
    """Whether an apply may take fields from other managers.

    A preview may, where the real update would first take fields over. Both may for an object without managers, all of
    whose fields the server would attribute to `before-first-apply`.
    """
    if always or annotations_of(inputs).get(FORCE_ANNOTATION) == "true":
        return True
    if live is not None and not _entries(live):
        return True
    if not preview:
        return False
    return live is None or any(
        entry.get("operation") == "Update" and entry.get("manager") in OWN_MANAGERS for entry in _entries(live)
    )


def take_over(server: ApiServer, kind: Kind, live: dict[str, Any], manager: str) -> dict[str, Any]:
    """Makes `manager` the applier of fields written earlier by this plugin or kubectl, so that an apply can remove
    them."""
    taken: dict[str, Any] = {}
    first: dict[str, Any] | None = None
    kept: list[dict[str, Any]] = []
    found = False
    for entry in _entries(live):
        own = entry.get("manager") == manager and entry.get("operation") == "Apply"
        matches = not entry.get("subresource") and any(
            str(entry.get("manager", "")).startswith(prefix) and entry.get("operation") == operation
            for prefix, operation in TAKEN_OVER
        )
        if own or matches:
            found = found or (matches and not own)
            taken = _union(taken, entry.get("fieldsV1") or {})
            first = first or entry
        else:
            kept.append(entry)
    if not found or first is None:
        return live
    merged = {**first, "manager": manager, "operation": "Apply", "fieldsV1": taken}
    patch = [
        {"op": "replace", "path": "/metadata/managedFields", "value": [merged, *kept]},
        # Optimistic lock: the server refuses the patch if somebody wrote in between.
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]
    return server.patch(kind, namespace_of(live), name_of(live), patch, JSON_PATCH, manager, dry_run=False)


def relinquish(server: ApiServer, kind: Kind, live: Mapping[str, Any], manager: str) -> None:
    """Gives up every field of `manager`; fields that nobody else manages are removed.

    Like the official plugin, it does not check whether the object still exists: if it is gone, the API server creates
    an empty one, or refuses where a field is required (`ssa.Relinquish` in pulumi-kubernetes).
    """
    metadata = {"name": name_of(live), **({"namespace": namespace_of(live)} if kind.namespaced else {})}
    body = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    server.apply(kind, namespace_of(live), name_of(live), body, manager, force=False, dry_run=False)


def apply_ignored(
    inputs: dict[str, Any], live: Mapping[str, Any], ignore_changes: Iterable[str], manager: str
) -> dict[str, Any]:
    """The inputs with ignored fields resolved: omitted if another manager owns them, otherwise at their live value."""
    value = copy.deepcopy(inputs)
    for ignore in ignore_changes:
        steps = parse(ignore)
        if "*" in steps or any(step.isdigit() for step in steps):
            continue  # as in the official plugin: paths into lists only affect the diff
        owners = {str(entry.get("manager")) for entry in _entries(live) if _owns(entry.get("fieldsV1") or {}, steps)}
        if owners and manager not in owners:
            _remove(value, steps)
        else:
            present, current = _lookup(live, steps)
            if present:
                _set(value, steps, current)
    return value


def explain_conflict(error: ApiError, manager: str) -> str:
    return (
        f"Server-Side Apply field conflict detected. See {CONFLICT_HELP} for troubleshooting help.\n"
        f'The resource managed by field manager "{manager}" had an apply conflict: {error}'
    )


def _entries(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((value.get("metadata") or {}).get("managedFields") or [])


def _union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(left)
    for key, value in right.items():
        merged[key] = _union(merged[key], value) if isinstance(merged.get(key), Mapping) else value
    return merged


def _owns(fields: Mapping[str, Any], steps: tuple[str, ...]) -> bool:
    for step in steps:
        if f"f:{step}" not in fields:
            return False
        fields = fields[f"f:{step}"]
    return True


def _lookup(value: Mapping[str, Any], steps: tuple[str, ...]) -> tuple[bool, Any]:
    current: Any = value
    for step in steps:
        if not isinstance(current, Mapping) or step not in current:
            return False, None
        current = current[step]
    return True, current


def _remove(value: dict[str, Any], steps: tuple[str, ...]) -> None:
    present, holder = _lookup(value, steps[:-1])
    if present and isinstance(holder, dict):
        holder.pop(steps[-1], None)


def _set(value: dict[str, Any], steps: tuple[str, ...], item: Any) -> None:
    for step in steps[:-1]:
        inner = value.get(step)
        if not isinstance(inner, dict):
            inner = value[step] = {}
        value = inner
    value[steps[-1]] = copy.deepcopy(item)
