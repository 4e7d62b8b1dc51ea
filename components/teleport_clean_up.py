"""What a plain `destroy` leaves of a Teleport's connection to the access graph, and how to remove it, in words.

Owns the text of the output `teleportCleanUp`. `teleport` decides what stays, and why.
"""

from __future__ import annotations

import shlex

from components.settings import (
    ManualTeleportSettings,
    ReleaseTeleportSettings,
    Settings,
    ValuesTeleportSettings,
)
from components.settings.charts import helm_source
from components.teleport_assembly import chart_arguments
from components.teleport_values import CA_CONFIG_MAP_NAME, proxy_deployment_name


def clean_up(settings: Settings, cluster: str) -> list[str]:
    """Lines for a person to read, some of them commands; none when a destroy leaves nothing of this Teleport."""
    entry = settings.teleport[cluster]
    if not settings.connects(cluster):
        return _when_off(settings, cluster)
    before = "to leave nothing: accessGraph.enabled: false and `up` come before `destroy`"
    after = "after a plain `destroy`, in this order"
    if isinstance(entry, ManualTeleportSettings):
        lines = [f"{after}: take `access_graph` out of auth's teleport.yaml", "restart auth, then the proxies"]
        return [before, *lines, *([f"delete {entry.ca_path}"] if settings.tls.trust == "bundle" else [])]
    at = f"--namespace {entry.namespace}"
    context = settings.kubernetes_of(cluster).context
    kubectl = _kubectl(settings, cluster, entry.namespace)
    if isinstance(entry, ReleaseTeleportSettings):
        if not entry.adopt:
            return []
        chart = chart_arguments(entry.chart)
        name, repository = helm_source(chart["chart"], chart["repository"])
        source = name if repository is None else f"{name} --repo {repository}"
        version = "" if chart["version"] is None else f" --version {chart['version']}"
        files = "".join(f" --values {shlex.quote(path)}" for path in entry.values_files)
        give_back = (
            f"helm upgrade {entry.release} {source}{version} {at} --kube-context {shlex.quote(context)} --reset-values"
            f"{files} --wait (and --values with what teleportSecretValues had, if it was set)"
        )
    else:
        give_back = f"let the owner of the release {entry.release} roll it out without the patch"
    lines = [before, f"{after}: {give_back}"]
    lines.append(f"{kubectl} rollout restart deployment/{proxy_deployment_name(entry.release)}")
    if settings.tls.trust == "bundle":
        lines.append(f"{kubectl} delete configmap {CA_CONFIG_MAP_NAME}")
    return lines


def _when_off(settings: Settings, cluster: str) -> list[str]:
    """Where nobody waits for the owner's rollout, auth may still mount the ConfigMap."""
    entry = settings.teleport[cluster]
    if not isinstance(entry, ValuesTeleportSettings) or entry.rollout is not None or settings.tls.trust != "bundle":
        return []
    return [
        f"after `destroy`, once the owner of the release {entry.release} has rolled it out without the patch: "
        f"{_kubectl(settings, cluster, entry.namespace)} delete configmap {CA_CONFIG_MAP_NAME}"
    ]


def _kubectl(settings: Settings, cluster: str, namespace: str) -> str:
    return f"kubectl --context {shlex.quote(settings.kubernetes_of(cluster).context)} --namespace {namespace}"
