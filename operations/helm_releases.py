"""Reads Helm's own records of a release: the Secrets that it keeps, one per revision.

Only reads. Whoever changes a release calls Helm.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import yaml

from components.expiry import read_time
from operations.cluster import Cluster, ClusterError, Document, name_of, secret_data
from operations.quick_yaml import QUICK_LOADER

PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
# Left by an uninstallation that was killed, or that kept its history: Helm can neither upgrade nor install the release.
TAKEN_AWAY = ("uninstalling", "uninstalled")
UNSETTLED = (*PENDING, *TAKEN_AWAY)


@dataclass(frozen=True, kw_only=True)
class HelmRelease:
    """One revision of a release."""

    name: str
    namespace: str
    revision: int
    status: str  # deployed, superseded, failed, uninstalling, pending-install, ...
    chart: str
    chart_version: str
    description: str  # Helm's own: why it failed, or which revision it went back to
    updated: str  # RFC 3339, when Helm began to roll it out or to uninstall it
    values: dict[str, Any] = field(repr=False)  # the user's values, without the chart's defaults
    manifest: str = field(repr=False)

    @property
    def objects(self) -> list[Document]:
        """The manifests of the release's objects, without its hooks'."""
        try:
            return [one for one in yaml.load_all(self.manifest, QUICK_LOADER) if isinstance(one, dict) and name_of(one)]
        except (yaml.YAMLError, AttributeError):
            return []  # Go's YAML reads what Python's does not, and Helm has applied it

    @property
    def began(self) -> datetime | None:
        """`updated` in UTC, to the whole second; None when Helm's record has no readable time."""
        try:
            return read_time(self.updated).replace(microsecond=0)
        except ValueError:
            return None


class DamagedRecord(ClusterError):
    """A Secret that should hold a revision holds no readable one."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy = problem, remedy


def list_revisions(cluster: Cluster, namespace: str, release: str) -> list[HelmRelease]:
    """Every revision that Helm still keeps, oldest first; empty when the release does not exist.

    Raises `DamagedRecord`: Helm skips such a record, but it may be the revision that runs.
    """
    secrets = cluster.list("Secret", namespace, labels=f"owner=helm,name={release}")
    found = []
    for secret in secrets:
        try:
            found.append(_parse(secret))
        except (binascii.Error, OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
            # The error's text may quote the record, which has the release's values, secret ones among them.
            name = name_of(secret)
            problem = f"{cluster.context}: Secret {name} in {namespace} is no record of Helm ({type(error).__name__})"
            remedy = "Helm passes over it, and shows it nowhere: restore it, or if nobody can, "
            raise DamagedRecord(problem, f"{remedy}{cluster.kubectl(namespace)} delete secret {name}") from None
    return sorted(found, key=lambda revision: revision.revision)


def deployed_release(cluster: Cluster, namespace: str, release: str) -> HelmRelease | None:
    """The revision that runs: the newest deployed one. Helm upgrades from it, even after a failure."""
    deployed = [revision for revision in list_revisions(cluster, namespace, release) if revision.status == "deployed"]
    return deployed[-1] if deployed else None


def failed_upgrade(revisions: Sequence[HelmRelease]) -> HelmRelease | None:
    """The revision that failed last, unless another was deployed since; Helm's rollback after it does not count."""
    if not revisions:
        return None
    last = revisions[-1]
    if last.status == "failed":
        return last
    if last.description.startswith("Rollback") and len(revisions) > 1 and revisions[-2].status == "failed":
        return revisions[-2]
    return None


def _parse(secret: Document) -> HelmRelease:
    """Helm's record: JSON, gzipped, in base64, and in base64 once more by Kubernetes."""
    raw = base64.b64decode(secret_data(secret).get("release", b""), validate=True)
    # Before 3.0, Helm did not compress its records.
    record = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    chart = record["chart"]["metadata"]
    return HelmRelease(
        name=record["name"],
        namespace=record["namespace"],
        revision=int(record["version"]),
        status=record["info"]["status"],
        chart=chart["name"],
        chart_version=str(chart["version"]),
        description=str(record["info"].get("description", "")),
        updated=str(record["info"].get("deleted") or record["info"].get("last_deployed", "")),
        values=record.get("config") or {},
        manifest=record.get("manifest", ""),
    )


def installed_again(helm: str, release: str) -> str:
    """How to bring back an adopted release that is gone. `helm` begins a command for its namespace.

    An `up` does not: with `adopt` it takes over what runs, and a stack that has adopted a release refuses to go on
    without.
    """
    return f"`{helm} install {release} <its chart> --values <its valuesFiles>`, then `up`, which takes it over"
