"""Rules about the files that settings name: they are there, can be read, and are what they are taken for.

What is in values files and certificates is their readers'; a chart's name and version are looked up here, for they
decide whether it is the right chart at all.
"""

from __future__ import annotations

import re
import stat
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from components.settings.charts import PathChart
from components.settings.formats import SEMVER
from components.settings.names import CHART_NAME, TELEPORT_CHART_NAME
from components.settings.relations import Draft, Finding, Findings, finding
from components.settings.relations.access_graph import access_graph_version
from components.settings.relations.teleport import teleport_version
from components.settings.teleport import (
    FileHostAuthorities,
    ManualTeleportSettings,
    ProxyHostAuthorities,
    ReleaseTeleportSettings,
)

# Every one of these files ends up in a Kubernetes object (the chart and the values in Helm's release Secret), and those
# hold 1 MiB.
LARGEST_FILE = 1024 * 1024
# A description of a chart; it is unpacked into memory.
LARGEST_DESCRIPTION = 64 * 1024


def files_can_be_read(draft: Draft) -> Findings:
    """Each file that is named exists, is regular, can be read, is not empty and has 1 MiB at most."""
    for key, path in _plain_files(draft):
        yield from _file(draft.root, key, path)


def packaged_charts_are_right(draft: Draft) -> Findings:
    """A packaged chart is one, is the chart that is wanted, and has a version as above."""
    chart = draft.configuration.access_graph.chart
    if isinstance(chart, PathChart):
        yield from _packaged(draft.root, "accessGraph.chart.path", chart.path, CHART_NAME)
    for cluster, entry in draft.configuration.teleport.items():
        if isinstance(entry, ReleaseTeleportSettings) and isinstance(entry.chart, PathChart):
            yield from _packaged(draft.root, f"teleport.{cluster}.chart.path", entry.chart.path, TELEPORT_CHART_NAME)


def _plain_files(draft: Draft) -> Iterator[tuple[str, str]]:
    database = draft.configuration.database
    if database.ca_bundle_file is not None:
        yield "database.caBundleFile", database.ca_bundle_file
    bundle = draft.configuration.tls.trust_bundle_file
    if bundle is not None:
        yield "tls.trustBundleFile", bundle
    for cluster, entry in draft.configuration.teleport.items():
        key = f"teleport.{cluster}"
        authorities = entry.host_authorities
        if isinstance(authorities, FileHostAuthorities):
            yield f"{key}.hostAuthorities.path", authorities.path
        if isinstance(authorities, ProxyHostAuthorities) and authorities.ca_file is not None:
            yield f"{key}.hostAuthorities.caFile", authorities.ca_file
        if not isinstance(entry, ManualTeleportSettings):
            for index, path in enumerate(entry.values_files):
                yield f"{key}.valuesFiles[{index}]", path


def _file(root: Path, key: str, path: str) -> Iterator[Finding]:
    """A file that exists, is regular, can be read, is not empty and not larger than Kubernetes could hold."""
    try:
        status = (root / path).stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
            yield finding(key, path, f"is {kind}", "name a file", *_parents(key))
            return
        with (root / path).open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        yield finding(
            key, path, "does not exist", f"create the file, or correct the path, which starts at {root}", *_parents(key)
        )
        return
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        yield finding(key, path, f"cannot be read: {reason}", "correct its permissions or its path", *_parents(key))
        return
    if status.st_size == 0:
        yield finding(key, path, "is empty", "write the file, or remove the key", *_parents(key))
    if status.st_size > LARGEST_FILE:
        yield finding(
            key,
            path,
            f"has {status.st_size} bytes, and a Kubernetes object holds {LARGEST_FILE}",
            "take out what is not needed",
            *_parents(key),
        )


def _parents(key: str) -> tuple[str, ...]:
    # A list is refused as a whole when one of its items is.
    return (key.rpartition("[")[0],) if key.endswith("]") else ()


def _packaged(root: Path, key: str, path: str, wanted: str) -> Findings:
    problems = list(_file(root, key, path))
    if problems:
        if "is a directory" in problems[0].problem.rule:
            yield finding(key, path, "is a directory", f"package it with `helm package {path}` and name the .tgz file")
            return
        yield from problems
        return
    description = _description(root / path)
    if description is None:
        yield finding(key, path, "is not a packaged chart", "make it with `helm package` or `helm pull`")
        return
    name, version = description
    if name != wanted:
        yield finding(key, path, f"is chart {name}, and {wanted} is wanted here", "give that chart's package")
        return
    yield from (access_graph_version if wanted == CHART_NAME else teleport_version)(key, version)


def packaged_chart(root: Path, path: str) -> tuple[str, str] | None:
    """Name and version of a packaged chart, or None where there is none that can be read."""
    return None if list(_file(root, "", path)) else _description(root / path)


def _description(path: Path) -> tuple[str, str] | None:
    """Name and version in the Chart.yaml of a packaged chart, or None if it is none."""
    import yaml  # here, since a stack whose charts come from a repository does without

    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                if member.isfile() and re.fullmatch(r"[^/]+/Chart\.yaml", member.name):
                    file = archive.extractfile(member)
                    chart = yaml.safe_load(file.read(LARGEST_DESCRIPTION)) if file else None
                    break
            else:
                return None
    except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, RecursionError, yaml.YAMLError):
        return None
    if not isinstance(chart, dict):
        return None
    name, version = str(chart.get("name")), str(chart.get("version"))
    return (name, version) if re.fullmatch(SEMVER, version, re.ASCII) else None


RULES = (files_can_be_read, packaged_charts_are_right)
