"""From the settings of a Teleport entry to the arguments of its component.

Separate from `assembly`: the intake checks a cluster's values with these arguments before anything is registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from components.settings import ChartSettings, ManualTeleportSettings, PathChart, Settings, ValuesTeleportSettings
from components.teleport_args import TeleportClusterArgs


def teleport_cluster_args(
    settings: Settings,
    cluster: str,
    values: Mapping[str, Any],
    trust_bundle: pulumi.Input[str] | None,
) -> TeleportClusterArgs:
    """`values` are the user's own; `trust_bundle` is None where Teleport's trust store covers the certificate."""
    entry = settings.teleport[cluster]
    common: dict[str, Any] = {
        "cluster": cluster,
        "mode": entry.mode,
        "enabled": settings.connects(cluster),
        "endpoint": settings.endpoint_of(cluster),
        "trust_bundle": trust_bundle if settings.tls.trust == "bundle" else None,
        "audit_log_enabled": None if entry.audit_log is None else entry.audit_log.enabled,
        "audit_log_start_date": None if entry.audit_log is None else entry.audit_log.start_date,
    }
    if isinstance(entry, ManualTeleportSettings):
        return TeleportClusterArgs(**common, host_ca_path=entry.ca_path)
    common |= {
        "namespace": entry.namespace,
        "release": entry.release,
        "values": values,
        "secret_values": secret_values_of(settings, cluster),
    }
    if isinstance(entry, ValuesTeleportSettings):
        rollout = entry.rollout
        if rollout is not None:
            common |= {
                "rollout_image": rollout.image,
                "rollout_timeout_seconds": rollout.timeout_seconds,
                "rollout_image_pull_secrets": list(rollout.image_pull_secrets),
            }
        return TeleportClusterArgs(**common, emit_merged_values=entry.emit_secret_values)
    return TeleportClusterArgs(
        **common, **chart_arguments(entry.chart), adopt=entry.adopt, timeout_seconds=entry.timeout_seconds
    )


def secret_values_of(settings: Settings, cluster: str) -> pulumi.Output[Mapping[str, Any]] | None:
    """This cluster's part of `teleportSecretValues`."""
    everything = settings.secrets.teleport_values
    return None if everything is None else everything.apply(lambda by_cluster: by_cluster.get(cluster, {}))


def chart_arguments(chart: ChartSettings) -> dict[str, Any]:
    """A packaged chart contains its version; one from a repository needs repository, name and version."""
    if isinstance(chart, PathChart):
        return {"chart": chart.path, "repository": None, "version": None}
    return {"chart": chart.name, "repository": chart.repository, "version": chart.version}
