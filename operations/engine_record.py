"""What a stack's state says of the engine's work: what it has made, what it left open, what it last gave to Helm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operations.begun import present
from operations.interrupted_releases import RELEASE
from operations.preview.scrub import ENVELOPE
from operations.stack import ROOT, run_engine


@dataclass(frozen=True, kw_only=True)
class GivenRelease:
    """A Helm release as the engine last gave it to Helm, or as a refresh saw it."""

    values: Mapping[str, Any] | None
    """None where a secret is among them: the state has them encrypted as a whole."""
    revision: int | None


@dataclass(frozen=True, kw_only=True)
class EngineRecord:
    """What the state of one stack has of it."""

    begun: list[str]
    """Names of the resources that the engine began to make and has no end of: it was killed."""
    releases: Mapping[str, GivenRelease]
    """By the resource's name."""
    ids: Mapping[str, str]
    """The id that its plugin gave each resource, by its name: of an object in a cluster `name` or `namespace/name`. An
    `up` that failed has recorded what it made here, and a `destroy` that left something has taken out what it deleted,
    while the outputs are those of the last whole `up`."""


def read_record(stack: str | None, root: Path = ROOT) -> EngineRecord:
    """From the engine. Raises `StackError` where it has no such stack."""
    document = json.loads(run_engine(["stack", "export", *(["--stack", stack] if stack else [])], root))
    deployment = document.get("deployment") or {}
    operations = deployment.get("pending_operations") or []
    # One that has been replaced stands there until it is deleted, under its successor's name.
    resources = [one for one in present(deployment) if not one.get("delete")]
    releases = [one for one in resources if one.get("type") == RELEASE]
    return EngineRecord(
        begun=[_name_of(one["resource"]) for one in operations if one.get("type") == "creating"],
        releases={_name_of(release): _given(release) for release in releases},
        ids={_name_of(one): str(one["id"]) for one in resources if one.get("id")},
    )


def _name_of(resource: Mapping[str, Any]) -> str:
    return str(resource["urn"]).rpartition("::")[2]


def _given(resource: Mapping[str, Any]) -> GivenRelease:
    values = (resource.get("inputs") or {}).get("values")
    status = (resource.get("outputs") or {}).get("status")
    revision = status.get("revision") if isinstance(status, dict) else None
    return GivenRelease(
        values=values if isinstance(values, dict) and ENVELOPE not in values else None,
        revision=int(revision) if isinstance(revision, (int, float)) else None,
    )
