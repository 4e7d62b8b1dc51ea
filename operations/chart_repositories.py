"""Whether the charts that a configuration names are in their repositories.

The engine asks a repository only once it knows a release's values, which before a first `up` it does not: a missing
chart would then show only after the database is made. Settings check packaged charts.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from components.proxy_export import TooLong, TooSlow, read_limited
from components.settings import ReleaseTeleportSettings, RepositoryChart, Settings
from components.settings.chart_versions import numbers
from components.settings.charts import helm_source
from operations.findings import Finding, failed, not_proven, passed

# Seconds for an index, from request to last byte; those of large repositories have several megabytes.
TIMEOUT = 30.0
# Bytes, far above any index.
LARGEST_INDEX = 64 * 1024 * 1024
# How many available ones are named when one is missing.
SHOWN = 3


class IndexUnread(Exception):
    """The index could not be read; the text says why."""


class NoRepository(Exception):
    """There is no index at the repository's URL."""


def check_charts(settings: Settings) -> list[Finding]:
    """One finding for each chart that an `up` fetches."""
    read: dict[str, Mapping[str, list[str]] | Exception] = {}
    return [_check(name, key, chart, read) for name, key, chart in _charts(settings)]


def _charts(settings: Settings) -> Iterator[tuple[str, str, RepositoryChart]]:
    """Check name, settings key and chart, for each chart that an `up` fetches."""
    own = settings.access_graph.chart
    if settings.access_graph.enabled and isinstance(own, RepositoryChart):
        yield "charts.access-graph", "accessGraph.chart", own
    for cluster, entry in settings.teleport.items():
        if isinstance(entry, ReleaseTeleportSettings) and isinstance(entry.chart, RepositoryChart):
            yield f"charts.{cluster}", f"teleport.{cluster}.chart", entry.chart


def _check(
    check: str, key: str, chart: RepositoryChart, read: dict[str, Mapping[str, list[str]] | Exception]
) -> Finding:
    """`read` caches the index of each repository, or why it could not be read."""
    statement = f"the chart {chart.name} {chart.version} is in {chart.repository}"
    source, repository = helm_source(chart.name, chart.repository)
    if repository is None:
        reason = f"a registry is asked by Helm alone: helm show chart {source} --version {chart.version}"
        return not_proven(check, statement, reason)
    if repository not in read:
        try:
            read[repository] = versions_in(fetch_index(repository))
        except (IndexUnread, NoRepository) as error:
            read[repository] = error
    found = read[repository]
    if isinstance(found, NoRepository):
        return failed(check, statement, f"{key}.repository: {found}; give the URL that `helm repo add` takes")
    if isinstance(found, Exception):
        return not_proven(check, statement, f"{found}; the engine has to reach it as well")
    if chart.name not in found:
        there = ", ".join(sorted(found)[:SHOWN]) or "nothing"
        return failed(check, statement, f"{key}.name: there is no such chart; there is {there}")
    if _comparable(chart.version) not in map(_comparable, found[chart.name]):
        newest = sorted((one for one in found[chart.name] if "-" not in one), key=numbers, reverse=True)
        there = ", ".join(newest[:SHOWN]) or "no version of it"
        return failed(check, statement, f"{key}.version: there is no such version; the newest there are {there}")
    return passed(check, statement, "its index has it")


def fetch_index(repository: str) -> bytes:
    """The text of a repository's index, as Helm asks for it. Raises `IndexUnread`, `NoRepository`."""
    url = f"{repository.rstrip('/')}/index.yaml"
    deadline = time.monotonic() + TIMEOUT
    try:
        with urllib.request.build_opener().open(url, timeout=TIMEOUT) as response:
            return read_limited(response, LARGEST_INDEX, deadline)
    except (TooLong, TooSlow):
        raise IndexUnread(f"{url} is too long, or too slow to be read in {TIMEOUT:g} s") from None
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (404, 410):
            raise NoRepository(f"there is no {url}") from None
        raise IndexUnread(f"{url} answered with status {error.code}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise IndexUnread(f"{url} cannot be reached ({getattr(error, 'reason', None) or error})") from None


def versions_in(index: bytes) -> dict[str, list[str]]:
    """The versions of each chart in an index. Raises `NoRepository` when it is no index."""
    # Only strings are needed. libyaml's loader where PyYAML has it: several megabytes take it a second or two.
    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    try:
        entries = yaml.load(index, Loader=loader)["entries"]
        return {name: [str(one["version"]) for one in charts or ()] for name, charts in (entries or {}).items()}
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise NoRepository("what is at its index.yaml is no index of charts") from None


def _comparable(version: str) -> str:
    # Helm treats versions that differ only in these as equal.
    return version.removeprefix("v").partition("+")[0]
