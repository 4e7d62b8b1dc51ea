"""Which version of TAG's chart a configuration installs, and whether this program is known to fit it."""

from __future__ import annotations

from pathlib import Path

from components.settings import PathChart, RepositoryChart, Settings
from components.settings.chart_versions import dotted, known_chart, nearest_chart
from components.settings.relations.files import packaged_chart
from operations.findings import Finding, not_proven, passed


def version_of(chart: RepositoryChart | PathChart, root: Path) -> str:
    """A chart's version; a packaged chart contains it."""
    if isinstance(chart, RepositoryChart):
        return chart.version
    return (packaged_chart(root, chart.path) or ("", "0.0.0"))[1]


def chart_version(settings: Settings) -> str:
    """The version of TAG's chart, which is also the service's."""
    return version_of(settings.access_graph.chart, settings.root)


def check_chart(settings: Settings) -> Finding:
    """`accessGraph.allowUntested` permits any version; this says which one it is."""
    version = chart_version(settings)
    check, statement = "access-graph.chart", f"the access graph {version} is one that this program is known to fit"
    known = known_chart(version)
    if known is not None:
        return passed(check, statement, f"values by {known.values_source}")
    nearest = nearest_chart(version)
    reason = (
        f"accessGraph.allowUntested lets it through; the nearest that is known is {dotted(nearest.version)}: compare "
        f"the values with `helm show values`"
    )
    return not_proven(check, statement, reason)
