"""Previews for tests: recorded ones, and small ones built from steps."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from operations.preview.document import Preview, read_preview

RECORDINGS = Path(__file__).with_name("recordings")

INSTANCE = "teleport-access-graph:index:Database$aws:rds/instance:Instance"
KEY = "teleport-access-graph:index:Database$aws:kms/key:Key"
GRAPH_RELEASE = "teleport-access-graph:index:AccessGraph$kubernetes:helm.sh/v3:Release"
TELEPORT_RELEASE = "teleport-access-graph:index:TeleportCluster$kubernetes:helm.sh/v3:Release"
PROXIES = "teleport-access-graph:index:TeleportCluster$kubernetes:apps/v1:DeploymentPatch"
HANDED_OVER = "teleport-access-graph:index:TeleportCluster$kubernetes:core/v1:ConfigMap"
AUTHORITY_KEY = "teleport-access-graph:index:Certificates$tls:index/privateKey:PrivateKey"
LEAF = "teleport-access-graph:index:Certificates$tls:index/locallySignedCert:LocallySignedCert"
SECRET = "teleport-access-graph:index:Credentials$kubernetes:core/v1:Secret"


def text(name: str) -> str:
    return (RECORDINGS / f"{name}.json").read_text()


@functools.cache
def recorded(name: str) -> Preview:
    return read_preview(text(name))


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:test::teleport-access-graph::{type_}::{name}"


def step(
    operation: str,
    type_: str,
    name: str,
    *,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    reasons: list[str] | None = None,
    paths: list[str] | None = None,
    **state: Any,
) -> dict[str, Any]:
    """A step as the engine writes it. `old` and `new` are inputs; `state` goes into both the old and the new state."""
    own = urn(type_, name)
    common = {"urn": own, "type": type_.rsplit("$", 1)[-1], "custom": True, **state}
    made: dict[str, Any] = {"op": operation, "urn": own}
    if operation not in ("create", "import"):
        made["oldState"] = {**common, "inputs": old or {}}
    if operation != "delete":
        made["newState"] = {**common, "inputs": new or {}}
    if reasons:
        made["replaceReasons"] = reasons
    if paths:
        made["detailedDiff"] = {path: {"kind": "update", "inputDiff": False} for path in paths}
    return made


def document(*steps: dict[str, Any], **more: Any) -> str:
    return json.dumps({"steps": list(steps), "changeSummary": {"same": 1}, **more})


def preview_of(*steps: dict[str, Any], **more: Any) -> Preview:
    return read_preview(document(*steps, **more))
