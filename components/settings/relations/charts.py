"""Rules about the names of charts that come from a repository; a packaged chart's is looked up in the file."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings.charts import RepositoryChart
from components.settings.names import CHART_NAME, TELEPORT_CHART_NAME
from components.settings.relations import Draft, Findings, finding
from components.settings.teleport import ReleaseTeleportSettings


def charts_of_a_repository_are_right(draft: Draft) -> Findings:
    """A chart of a repository is the chart that is wanted, by the last part of its `name`."""
    # A mirror has its own address and keeps the name: the access graph's Service is called after it, and a chart that
    # wraps another takes the values elsewhere.
    for key, chart, wanted in _charts(draft):
        if chart.name.rpartition("/")[2] != wanted:
            yield finding(
                f"{key}.name",
                chart.name,
                f"is not {wanted}, the chart that is expected here",
                f"give {wanted}; a mirror's address belongs to {key}.repository",
                key,
            )


def names_with_a_path_are_of_a_registry(draft: Draft) -> Findings:
    """A chart's `name` has a slash only where its `repository` is a registry (`oci://`)."""
    for key, chart, wanted in _charts(draft):
        if "/" in chart.name and not chart.repository.startswith("oci://"):
            yield finding(
                f"{key}.name",
                chart.name,
                "has a slash, and the index of an https:// repository has none in its names",
                f"give {wanted}, with what comes before it in {key}.repository",
                f"{key}.repository",
                key,
            )


def _charts(draft: Draft) -> Iterator[tuple[str, RepositoryChart, str]]:
    graph = draft.configuration.access_graph
    if isinstance(graph.chart, RepositoryChart):
        yield "accessGraph.chart", graph.chart, CHART_NAME
    for cluster, entry in draft.configuration.teleport.items():
        if isinstance(entry, ReleaseTeleportSettings) and isinstance(entry.chart, RepositoryChart):
            yield f"teleport.{cluster}.chart", entry.chart, TELEPORT_CHART_NAME


RULES = (charts_of_a_repository_are_right, names_with_a_path_are_of_a_registry)
