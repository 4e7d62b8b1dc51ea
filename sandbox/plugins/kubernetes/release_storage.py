"""Reads Helm's own record of a release: the Secrets `sh.helm.release.v1.<name>.v<revision>`.

One request instead of a Helm process; only Helm writes the record.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from sandbox.plugins.kubernetes.connection import ApiServer
from sandbox.plugins.kubernetes.schema import kind_of
from sandbox.plugins.protocol import ResourceError

GZIP_MAGIC: Final = b"\x1f\x8b\x08"


@dataclass(frozen=True)
class Stored:
    """`status` is Helm's term: deployed, failed, pending-install, ...; `config` holds the values that were given."""

    name: str
    namespace: str
    revision: int
    status: str
    chart_name: str
    chart_version: str
    application_version: str
    config: dict[str, Any]
    manifest: str


def latest(server: ApiServer, namespace: str, name: str, driver: str) -> Stored | None:
    """The newest revision, whatever its status; None when there is no such release."""
    found = _entries(server, namespace, name, driver)
    return _decode(max(found, key=_revision), driver) if found else None


def revision(server: ApiServer, namespace: str, name: str, number: int, driver: str) -> Stored | None:
    for entry in _entries(server, namespace, name, driver):
        if _revision(entry) == number:
            return _decode(entry, driver)
    return None


def resource_names(manifest: str) -> dict[str, list[str]]:
    """`{"Deployment.apps/apps/v1": ["name", "namespace/name"]}`, sorted."""
    names: dict[str, set[str]] = {}
    for document in yaml.load_all(manifest, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if not isinstance(document, Mapping) or not document.get("kind"):
            continue
        version = str(document.get("apiVersion", ""))
        group = version.rpartition("/")[0]
        metadata = document.get("metadata") or {}
        name = "/".join(str(metadata[key]) for key in ("namespace", "name") if metadata.get(key))
        kind = f"{document['kind']}.{group}" if group else str(document["kind"])
        names.setdefault(f"{kind}/{version}", set()).add(name)
    return {key: sorted(values) for key, values in sorted(names.items())}


def _entries(server: ApiServer, namespace: str, name: str, driver: str) -> list[dict[str, Any]]:
    kinds = {"secret": "Secret", "secrets": "Secret", "": "Secret", "configmap": "ConfigMap", "configmaps": "ConfigMap"}
    if driver not in kinds:
        raise ResourceError(
            f"helmReleaseSettings.driver: the stand-in cannot read Helm's driver {driver!r}; use secret"
        )
    kind = kind_of("v1", kinds[driver])
    assert kind is not None
    return server.list_objects(kind, namespace, labelSelector=f"owner=helm,name={name}")


def _revision(entry: Mapping[str, Any]) -> int:
    return int(entry["metadata"]["labels"]["version"])


def _decode(entry: Mapping[str, Any], driver: str) -> Stored:
    encoded = entry["data"]["release"]
    # A Secret's data has one more layer of base64 than a ConfigMap's.
    content = base64.b64decode(encoded if driver.startswith("configmap") else base64.b64decode(encoded))
    if content.startswith(GZIP_MAGIC):
        content = gzip.decompress(content)
    release = json.loads(content)
    metadata = (release.get("chart") or {}).get("metadata") or {}
    return Stored(
        name=release["name"],
        namespace=release["namespace"],
        revision=int(release["version"]),
        status=release["info"]["status"],
        chart_name=metadata.get("name", ""),
        chart_version=metadata.get("version", ""),
        application_version=str(metadata.get("appVersion", "")),
        config=release.get("config") or {},
        manifest=release.get("manifest", ""),
    )
