"""Names that the access graph's chart derives from its release: needed before anything is made, for the certificate.

Facts of teleport-access-graph 1.30.2 (`fullname` in its _helpers.tpl).
"""

from __future__ import annotations

CHART_NAME = "teleport-access-graph"
SERVICE_PORT = 443
LONGEST_SERVICE_NAME = 63


def service_name(release: str) -> str:
    """The chart's `fullname`, which names its Service, Deployment and ServiceAccount: cut at 63 characters."""
    name = release if CHART_NAME in release else f"{release}-{CHART_NAME}"
    return name[:LONGEST_SERVICE_NAME].removesuffix("-")


def service_host(release: str, namespace: str, cluster_domain: str = "cluster.local") -> str:
    """The Service's DNS name inside the cluster: the server certificate must carry it, for Teleport verifies it."""
    return f"{service_name(release)}.{namespace}.svc.{cluster_domain}"
