"""What restarts, how many pods of it, and in which order.

About the charts teleport-access-graph 1.30.2 and teleport-cluster 18: changed values restart the pods whose template
they reach. In doubt, a restart is announced rather than left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from components.teleport_args import VALUES_KEY
from components.teleport_values import access_graph_section
from operations.preview.document import Preview, Step
from operations.preview.property_paths import RELEASE, changed_paths
from operations.value_at import value_at

DEPLOYMENT_PATCH = "kubernetes:apps/v1:DeploymentPatch"
_CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
ACCESS_GRAPH = "teleport-access-graph:index:AccessGraph"
TELEPORT_CLUSTER = "teleport-access-graph:index:TeleportCluster"

# The chart's default.
_ACCESS_GRAPH_REPLICAS = 2
# Values of TAG's chart outside its pods' template. A changed count only adds or removes pods.
_OUTSIDE_THE_PODS = ("values.replicaCount", "values.podDisruptionBudget", "values.service.type")
# Values of Teleport's chart that reach only one side. `proxyListenerMode` is not among them: auth's configuration has
# it too.
_OF_PROXIES = ("values.proxy",)
_OF_AUTH = ("values.auth", "values.authentication")

_ROLES = ("the access graph", "auth", "proxies")

_BY_ITS_OWNER = "once the release's owner rolls out the values that it is given"


@dataclass(frozen=True)
class Restart:
    """The pods of one Deployment that are replaced."""

    role: str  # the access graph, auth, proxies
    cluster: str  # Teleport's name; empty for the access graph
    pods: int | None  # None when the values do not tell
    urn: str  # of the resource whose change causes it
    note: str = ""

    def __str__(self) -> str:
        count = "" if self.pods is None else f", {self.pods} pod{'s' if self.pods != 1 else ''}"
        whose = f" of {self.cluster}" if self.cluster else ""
        return f"{self.role}{whose}{count}"


def restarts(preview: Preview) -> list[Restart]:
    """In the order of the flow: TAG, then each auth, then each cluster's proxies."""
    found: dict[tuple[str, str], Restart] = {}
    for step in preview.changes:
        for restart in _of_step(step, preview):
            found.setdefault((restart.role, restart.cluster), restart)
    return sorted(found.values(), key=lambda one: (_ROLES.index(one.role), one.cluster))


def teleport_cluster(step: Step) -> str:
    """Teleport's cluster name for a step; resources are named `teleport-<cluster>-<part>`."""
    return step.name.removeprefix("teleport-").rpartition("-")[0]


def _of_step(step: Step, preview: Preview) -> Iterable[Restart]:
    if step.type == RELEASE and step.operation == "update":
        paths = changed_paths(step)
        values = step.new_inputs.get("values")
        if step.parent_type == ACCESS_GRAPH:
            if any(_reaches_pods(path) and not path.startswith(_OUTSIDE_THE_PODS) for path in paths):
                yield Restart(
                    "the access graph", "", _count(value_at(values, "replicaCount"), _ACCESS_GRAPH_REPLICAS), step.urn
                )
        elif step.parent_type == TELEPORT_CLUSTER:
            yield from _of_paths(step, {path for path in paths if _reaches_pods(path)}, values)
    elif _hands_over(step) and step.operation != "delete":
        yield from _by_its_owner(step)
    elif step.type == DEPLOYMENT_PATCH and step.parent_type == TELEPORT_CLUSTER and step.name.endswith("-proxies"):
        yield _proxies(step, _release_values(preview, teleport_cluster(step)))


def _by_its_owner(step: Step) -> Iterable[Restart]:
    before, after = _handed_over(step.old_inputs), _handed_over(step.new_inputs)
    paths: Iterable[str] = ("values",)  # what changes is known only after the apply
    if step.operation == "create":
        # So far the owner has the user's own values. The patch, if it is in these, reaches only auth.
        paths = ("values.auth",) if after is None or access_graph_section(after) else ()
    elif before is not None and after is not None:
        paths = _different(before, after)
    for restart in _of_paths(step, paths, after):
        yield replace(restart, note="; ".join(filter(None, (_BY_ITS_OWNER, restart.note))))


def _of_paths(step: Step, paths: Iterable[str], values: Any) -> Iterable[Restart]:
    """What a Teleport's values restart if they change at `paths`."""
    if any(not _is_below(path, _OF_PROXIES) for path in paths):
        yield _auth(step, values)
    if any(not _is_below(path, _OF_AUTH) for path in paths):
        yield _proxies(step, values)


def _hands_over(step: Step) -> bool:
    """Whether the step is about the ConfigMap from which a release's owner takes its values (mode `values`)."""
    return step.type == _CONFIG_MAP and step.parent_type == TELEPORT_CLUSTER and step.name.endswith("-values")


def _handed_over(inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The values in that ConfigMap; None where they are known only after the apply."""
    try:
        values = json.loads(value_at(inputs, "data", VALUES_KEY))
    except (TypeError, ValueError, RecursionError):
        return None
    return values if isinstance(values, Mapping) else None


def _different(before: Mapping[str, Any], after: Mapping[str, Any]) -> set[str]:
    absent = object()
    return {f"values.{key}" for key in {*before, *after} if before.get(key, absent) != after.get(key, absent)}


def _reaches_pods(path: str) -> bool:
    return path in ("values", "chart", "version") or path.startswith(("values.", "values["))


def _is_below(path: str, values: Iterable[str]) -> bool:
    return any(path == value or path.startswith((f"{value}.", f"{value}[")) for value in values)


def _auth(step: Step, values: Any) -> Restart:
    pods = _teleport_replicas(values, "auth")
    return Restart(
        "auth",
        teleport_cluster(step),
        pods,
        step.urn,
        "its Deployment is recreated, not rolled: Teleport has no auth until the new pod is ready" if pods == 1 else "",
    )


def _proxies(step: Step, values: Any) -> Restart:
    return Restart("proxies", teleport_cluster(step), _proxy_replicas(values), step.urn)


def _proxy_replicas(values: Any) -> int | None:
    if not isinstance(values, Mapping):
        return None
    # The chart runs several proxies only when all serve the same certificate.
    shared = any(
        value_at(section, *keys)
        for section in (values, value_at(values, "proxy"))
        for keys in (
            ("tls", "existingSecretName"),
            ("ingress", "enabled"),
            ("highAvailability", "certManager", "enabled"),
        )
    )
    if not shared:
        return 1
    own = _count(value_at(values, "proxy", "highAvailability", "replicaCount"), 0)
    if own:
        return own
    root = _count(value_at(values, "highAvailability", "replicaCount"), 1)
    return None if root is None else max(2, root)


def _teleport_replicas(values: Any, component: str) -> int | None:
    if not isinstance(values, Mapping):
        return None
    own = value_at(values, component, "highAvailability", "replicaCount")
    return _count(value_at(values, "highAvailability", "replicaCount") if own is None else own, 1)


def _release_values(preview: Preview, cluster: str) -> Any:
    for step in preview.steps:
        if step.parent_type != TELEPORT_CLUSTER or teleport_cluster(step) != cluster:
            continue
        inputs = step.new_inputs or step.old_inputs
        values = inputs.get("values") if step.type == RELEASE else _handed_over(inputs) if _hands_over(step) else None
        if values is not None:
            return values
    return None


def _count(value: Any, default: int) -> int | None:
    if value is None:
        return default
    return value if isinstance(value, int) and not isinstance(value, bool) else None
