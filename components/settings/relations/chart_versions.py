"""Rules between the access graph's settings and what is known of its chart's version."""

from __future__ import annotations

from collections.abc import Iterator

from components.settings.access_graph import PodDisruptionBudgetSettings, ResourceSettings
from components.settings.chart_versions import KNOWN_CHARTS, dotted, known_chart, knows
from components.settings.charts import PathChart
from components.settings.configuration import Configuration
from components.settings.database import ExistingDatabaseSettings, RdsDatabaseSettings
from components.settings.names import CHART_NAME
from components.settings.relations import Draft, Findings, finding
from components.settings.relations.files import packaged_chart

ALLOW = "accessGraph.allowUntested"


def chart_version_is_known(draft: Draft) -> Findings:
    """`accessGraph.chart` is of a version that this program is known to fit, unless `allowUntested` is true."""
    key, version = _version(draft)
    if version is None or draft.configuration.access_graph.allow_untested or known_chart(version) is not None:
        return
    if version.split(".")[0] != "1":
        return  # told by the rule of the series
    chart = draft.configuration.access_graph.chart
    known = " and ".join(dotted(row.version) for row in KNOWN_CHARTS)
    yield finding(
        key,
        chart.path if isinstance(chart, PathChart) else version,
        f"is version {version}, and this program is only known to fit {known}: Helm silently ignores a value that a "
        "chart does not have",
        f"give one of those, or set {ALLOW} to true after comparing the chart's values with docs/teleport.md",
        "accessGraph.chart",
        ALLOW,
    )


def chart_takes_the_values(draft: Draft) -> Findings:
    """The chart's version has the values that the settings need, unless `allowUntested` is true."""
    key, version = _version(draft)
    chart = None if version is None else known_chart(version)
    if chart is None or draft.configuration.access_graph.allow_untested:
        return
    for setting, value in _needed(draft.configuration):
        if not knows(chart, value):
            yield finding(
                setting,
                ...,
                f"needs the chart's value {value}, which {version} is not known to have ({chart.values_source})",
                f"give a newer chart, or set {ALLOW} to true if yours has it",
                key,
                "accessGraph.chart",
                ALLOW,
            )


def _version(draft: Draft) -> tuple[str, str | None]:
    """The key that decides on the version, and the version, where it can be told."""
    chart = draft.configuration.access_graph.chart
    if not isinstance(chart, PathChart):
        return "accessGraph.chart.version", chart.version
    name, version = packaged_chart(draft.root, chart.path) or ("", "")
    return "accessGraph.chart.path", version if name == CHART_NAME else None


def _needed(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Settings that have an effect only by a value of the chart, with its name. A default is no wish, and may have
    none."""
    graph, database = configuration.access_graph, configuration.database
    for setting, value, used in (
        ("accessGraph.metrics", "metrics.enabled", graph.metrics),
        ("accessGraph.logLevel", "log.level", graph.log_level != "INFO"),
        ("accessGraph.image", "image.repository", graph.image is not None),
        ("accessGraph.imageDigest", "image.repository", graph.image_digest is not None),
        ("accessGraph.imagePullSecrets", "imagePullSecrets", bool(graph.image_pull_secrets)),
        ("accessGraph.resources", "resources", graph.resources != ResourceSettings()),
        (
            "accessGraph.podDisruptionBudget",
            "podDisruptionBudget",
            graph.pod_disruption_budget != PodDisruptionBudgetSettings(),
        ),
    ):
        if used:
            yield setting, value
    if isinstance(database, RdsDatabaseSettings):
        yield "database.mode", "volumeMounts"
        if database.authentication == "iam":
            yield "database.authentication", "postgres.aws"
        if database.replica is not None:
            yield "database.replica", "postgres.replica"
    if isinstance(database, ExistingDatabaseSettings):
        if database.ca_bundle_file is not None:
            yield "database.caBundleFile", "volumeMounts"
        if database.secret is not None and database.secret.key != "uri":
            yield "database.secret.key", "postgres.secretKey"


RULES = (chart_version_is_known, chart_takes_the_values)
