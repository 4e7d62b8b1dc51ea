"""Adds the labels and annotations that an organisation asks for to every Kubernetes object that the stack registers,
and the annotation by which `recover` tells this stack's objects from another's.

Owns where they belong: on the object itself and on the pods that it makes. The stack's annotation is on the object
alone, since no pod should be made anew for it. `settings.object_metadata` decides which keys may be set; the access
graph's chart gets its share as values. Left alone: a release (the chart makes its objects) and patches (somebody else
owns their objects).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pulumi

from components.settings.names import STACK_ANNOTATION

# For each kind, the paths of the pod template and of any template above it.
_TEMPLATES: dict[str, tuple[tuple[str, ...], ...]] = {
    "Job": (("spec", "template"),),
    "CronJob": (("spec", "jobTemplate"), ("spec", "jobTemplate", "spec", "template")),
}
_NOT_OURS = "kubernetes:helm.sh/"


class ClashError(pulumi.RunError):
    """A label or annotation that every object should have is one that this object needs with another value."""


def mark_objects(stack: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    """Every Kubernetes object registered from here on gets them. `stack` is the stack's full name."""
    wanted = {"labels": dict(labels), "annotations": dict(annotations)}

    def mark(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        kind = args.type_.rpartition(":")[2]
        if not args.type_.startswith("kubernetes:") or args.type_.startswith(_NOT_OURS) or kind.endswith("Patch"):
            return None
        return pulumi.ResourceTransformationResult(marked(kind, args.name, args.props, wanted, stack), args.opts)

    pulumi.runtime.register_stack_transformation(mark)


def marked(
    kind: str, name: str, props: Mapping[str, Any], wanted: Mapping[str, Mapping[str, str]], stack: str
) -> dict[str, Any]:
    """`props` of an object of `kind`, with `wanted` in its metadata and its pods', and `stack` in its own alone."""
    own = {**wanted, "annotations": {**wanted["annotations"], STACK_ANNOTATION: stack}}
    changed = {**props, "metadata": _metadata(props.get("metadata"), own, name)}
    templates = _TEMPLATES.get(kind)
    if templates is not None and any(wanted.values()):
        changed["spec"] = pulumi.Output.from_input(props["spec"]).apply(
            lambda spec: _with_templates(spec, templates, wanted, name)
        )
    return changed


def merged(given: Mapping[str, Any] | None, wanted: Mapping[str, str], where: str) -> dict[str, Any]:
    """`given` and `wanted` in one map. Raises `ClashError` for a key that both have with different values."""
    given = given or {}
    for key, value in wanted.items():
        if key in given and given[key] != value:
            raise ClashError(
                f"{where}: {key} is {value!r} by the stack's settings, and this object needs another value"
            )
    return {**given, **wanted}


def _metadata(given: Any, wanted: Mapping[str, Mapping[str, str]], name: str) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(given or {})
    for field, values in wanted.items():
        if values:
            merge = functools.partial(merged, wanted=values, where=f"{name}.metadata.{field}")
            before = metadata.get(field)
            metadata[field] = before.apply(merge) if isinstance(before, pulumi.Output) else merge(before)
    return metadata


def _with_templates(
    spec: Mapping[str, Any], paths: tuple[tuple[str, ...], ...], wanted: Mapping[str, Mapping[str, str]], name: str
) -> dict[str, Any]:
    changed = dict(spec)
    for _, *path in paths:
        target = changed
        for part in path:
            # Each level is copied, because the spec belongs to its component.
            target[part] = dict(target[part])
            target = target[part]
        target["metadata"] = _metadata(target.get("metadata"), wanted, name)
    return changed
