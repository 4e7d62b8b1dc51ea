"""The versions of the access graph's chart that this program is known to fit: which Teleport each needs at least, and
which values it takes.

Data with its sources. A row is added when a version has been looked at: its page for the Teleport that it needs, its
chart for the values. Helm says nothing of a value that a chart does not know, so that an unknown name is a setting
without effect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class KnownChart:
    """One version, with what is known of it and from where."""

    version: Version
    teleport: Version
    """The oldest Teleport that it is for."""
    teleport_source: str
    values: frozenset[str]
    """Names of values, dotted, that the chart takes; a name stands for all below it."""
    values_source: str


# In the guide and in the reference of Teleport 14's time (docs/pages/reference/helm-reference/includes/
# zz_generated.teleport-access-graph.mdx in gravitational/teleport at f7ef69a7b8a2).
_FIRST_VALUES = frozenset(
    {
        "affinity",
        "clusterHostCAs",
        "image.tag",
        "nodeSelector",
        "podAnnotations",
        "podLabels",
        "podSecurityContext",
        "postgres.secretName",
        "replicaCount",
        "securityContext",
        "service.grpcPort",
        "service.type",
        "tls.existingSecretName",
        "tolerations",
        "volumes",
    }
)
# In the published chart's values.yaml and templates.
_LATER_VALUES = _FIRST_VALUES | {
    "extraEnv",
    "extraEnvFrom",
    "identityActivityCenter",
    "image",
    "imagePullSecrets",
    "log.level",
    "metrics",
    "podDisruptionBudget",
    "postgres",
    "resources",
    "service.metricsPort",
    "serviceAccount",
    "volumeMounts",
}

KNOWN_CHARTS = (
    KnownChart(
        version=(1, 13, 0),
        teleport=(14, 3, 4),
        teleport_source="Teleport's guide of the time for self-hosted clusters with Helm, which installs this version",
        values=_FIRST_VALUES,
        values_source="Teleport 14's guide for self-hosted clusters and its chart reference",
    ),
    KnownChart(
        version=(1, 30, 2),
        teleport=(18, 0, 0),
        teleport_source="goteleport.com/docs/identity-security/access-graph/self-hosted-helm; searching session "
        "recordings needs 18.8.0 (docs/identity-security/session-search)",
        values=_LATER_VALUES,
        values_source="the published chart",
    ),
)


def known_chart(version: str) -> KnownChart | None:
    """The row of exactly that version."""
    number = numbers(version)
    exact = re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", version) is not None
    return next((chart for chart in KNOWN_CHARTS if exact and chart.version == number), None)


def nearest_chart(version: str) -> KnownChart:
    """The row of that version, or of the newest one before it: what a version needs, the next ones need too."""
    number = numbers(version)
    return [chart for chart in KNOWN_CHARTS if chart.version <= number or chart is KNOWN_CHARTS[0]][-1]


def knows(chart: KnownChart, value: str) -> bool:
    """Whether the chart takes a value of that dotted name."""
    return any(value == name or value.startswith(f"{name}.") for name in chart.values)


def numbers(version: str) -> Version:
    """The three numbers that a version begins with; what is missing is 0. Any text: a proxy may have said it."""
    found = [*map(int, re.findall(r"\d{1,9}", version)[:3]), 0, 0, 0]
    return found[0], found[1], found[2]


def dotted(version: tuple[int, ...]) -> str:
    """`(1, 30, 2)` -> `1.30.2`."""
    return ".".join(map(str, version))
