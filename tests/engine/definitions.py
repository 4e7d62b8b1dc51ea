"""Definitions of operators' kinds: as much of the operators' own as the API server needs to take their objects."""

from __future__ import annotations

from typing import Any


def definition(group: str, kind: str, plural: str) -> dict[str, Any]:
    """A namespaced kind of version v1 that takes any fields."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [version],
        },
    }
