"""Definitions of operators' kinds: the originals where a Go module has them, otherwise what the API server needs."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from tests.engine.conftest import RunningSandbox
from tests.engine.waiting import eventually
from tests.published import PROMETHEUS_OPERATOR, fetched

SECONDS = 180.0
PROMETHEUS_KINDS = ("servicemonitors", "prometheusrules")


def prometheus_definitions() -> list[Path]:
    """The definitions of ServiceMonitor and PrometheusRule, with their schemas."""
    directory = fetched(PROMETHEUS_OPERATOR)
    return [directory / f"monitoring.coreos.com_{plural}.yaml" for plural in PROMETHEUS_KINDS]


def loose_definition(directory: Path, group: str, kind: str, plural: str) -> Path:
    """The definition of a namespaced kind of version v1 that accepts any fields."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    document: dict[str, Any] = {
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
    file = directory / f"{group}_{plural}.json"
    file.write_text(json.dumps(document))
    return file


def define(sandbox: RunningSandbox, *files: Path) -> None:
    """Apply the definitions and wait until the server accepts objects of these kinds."""

    def established(file: Path) -> bool:
        # `kubectl wait` fails at once on a definition without conditions.
        waiting = ("wait", "--filename", str(file), "--for=condition=Established", "--timeout=1s")
        return sandbox.kubectl(*waiting, check=False).returncode == 0

    for file in files:
        # Server-side, because an operator's schema exceeds the annotation that a client-side apply would leave.
        sandbox.kubectl("apply", "--server-side", "--filename", str(file))
    for file in files:
        eventually(functools.partial(established, file), SECONDS, f"{file.name} is established")
