"""What a stack's state tells of the engine's work: what it made, what it left open, what it last gave Helm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations.begun import current, resource_name
from operations.interrupted_releases import RELEASE
from operations.preview.scrub import ENVELOPE
from operations.stack import ROOT, run_engine


@dataclass(frozen=True, kw_only=True)
class GivenRelease:
    """A Helm release as the engine last gave it to Helm, or as a refresh saw it."""

    values: Mapping[str, Any] | None
    """None when a secret is among them: the state then encrypts all of them together."""
    revision: int | None


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """What the state of one stack records."""

    begun: list[str]
    """Names of the resources that the engine began to make and did not finish: it was killed."""
    releases: Mapping[str, GivenRelease]
    """By resource name."""
    ids: Mapping[str, str]
    """The id that the plugin gave each resource, by resource name; for Kubernetes objects `name` or `namespace/name`.
    Unlike the outputs, which are from the last complete `up`, these include what a failed `up` made, and exclude what a
    partial `destroy` deleted."""


def read_record(stack: str | None, root: Path = ROOT) -> EngineRecord:
    """Ask the engine. Raises `StackError` when it has no such stack."""
    document = json.loads(run_engine(["stack", "export", *(["--stack", stack] if stack else [])], root))
    deployment = document.get("deployment") or {}
    operations = deployment.get("pending_operations") or []
    resources = current(deployment)
    releases = [one for one in resources if one.get("type") == RELEASE]
    return EngineRecord(
        begun=[resource_name(one["resource"]) for one in operations if one.get("type") == "creating"],
        releases={resource_name(release): _given(release) for release in releases},
        ids={resource_name(one): str(one["id"]) for one in resources if one.get("id")},
    )


def _given(resource: Mapping[str, Any]) -> GivenRelease:
    values = (resource.get("inputs") or {}).get("values")
    status = (resource.get("outputs") or {}).get("status")
    revision = status.get("revision") if isinstance(status, dict) else None
    return GivenRelease(
        values=values if isinstance(values, dict) and ENVELOPE not in values else None,
        revision=int(revision) if isinstance(revision, (int, float)) else None,
    )
