"""Whether a cluster has the custom resource definitions that the stack needs: without one an `up` fails."""

from __future__ import annotations

from components import monitoring, reader_role
from components.settings import ManualTeleportSettings, Settings
from operations.cluster import Cluster
from operations.findings import Finding, failed, passed

_BRINGS = {
    monitoring.API_VERSION: "install the Prometheus Operator, or leave monitoring out",
    reader_role.API_VERSION: "let the teleport-cluster chart bring it (operator.enabled), or leave applyReaderRole out",
}


def wanted_kinds(settings: Settings, context: str) -> list[tuple[str, str]]:
    """apiVersion and kind of each custom object that the stack makes in the cluster behind `context`."""
    if not settings.access_graph.enabled:
        return []
    told = settings.monitoring
    wanted: list[tuple[str, str]] = []
    if settings.kubernetes.context == context:
        wanted += [(monitoring.API_VERSION, "ServiceMonitor")] if told.service_monitor else []
        wanted += [(monitoring.API_VERSION, "PrometheusRule")] if told.rules else []
    for cluster, entry in settings.teleport.items():
        elsewhere = settings.kubernetes_of(cluster).context != context
        if elsewhere or isinstance(entry, ManualTeleportSettings) or not settings.connects(cluster):
            continue
        wanted += [(monitoring.API_VERSION, "PrometheusRule")] if told.rules and told.lockout_watch is not None else []
        wanted += [(reader_role.API_VERSION, reader_role.KIND)] if entry.apply_reader_role else []
    return list(dict.fromkeys(wanted))


def check_definitions(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Raises `ClusterError`."""
    return [_kind(cluster, version, kind) for version, kind in wanted_kinds(settings, cluster.context)]


def _kind(cluster: Cluster, version: str, kind: str) -> Finding:
    check, statement = f"definitions.{cluster.context}.{kind}", f"{cluster.context} has the kind {kind}"
    if cluster.serves(version, kind):
        return passed(check, statement, f"it serves {version}")
    return failed(check, statement, f"there is no {kind} of {version}; {_BRINGS[version]}")
