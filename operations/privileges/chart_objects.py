"""What the two charts render, and what Helm does with it.

From the templates of teleport-access-graph 1.30.2 and teleport-cluster 18.10.3. Objects that a chart has only where its
values ask for them stand with the value that asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from operations.privileges.kubernetes_objects import DEPLOYMENTS, ROLE_BINDINGS, ROLES, Resource
from operations.value_at import value_at

# Helm keeps each revision of a release as a Secret `sh.helm.release.v1.<release>.v<revision>` in its namespace
# (https://helm.sh/docs/topics/advanced/#storage-backends).
ACCESS_GRAPH = (
    DEPLOYMENTS,
    Resource("", "configmaps"),
    Resource("", "serviceaccounts"),
    Resource("", "services"),
    Resource("policy", "poddisruptionbudgets"),
)

TELEPORT_CLUSTER = (
    DEPLOYMENTS,
    Resource("", "configmaps"),
    Resource("", "persistentvolumeclaims"),
    Resource("", "serviceaccounts"),
    Resource("", "services"),
    Resource("batch", "jobs"),
    Resource("policy", "poddisruptionbudgets"),
)

# Path in the values, true for the resources beside it.
TELEPORT_BY_VALUE: dict[str, tuple[Resource, ...]] = {
    "highAvailability.certManager.enabled": (
        Resource("cert-manager.io", "certificates"),
        Resource("cert-manager.io", "issuers"),
    ),
    "ingress.enabled": (Resource("networking.k8s.io", "ingresses"),),
    "operator.enabled": (ROLE_BINDINGS, ROLES),
    "podMonitor.enabled": (Resource("monitoring.coreos.com", "podmonitors"),),
    "proxy.highAvailability.horizontalPodAutoscaler.enabled": (Resource("autoscaling", "horizontalpodautoscalers"),),
}

# Kinds of teleport-cluster that stand outside its namespace, by the names that the chart gives them.
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "clusterroles")
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "clusterrolebindings")
# The operator's kinds. A release without the operator looks for one, to keep what an earlier operator left, and a
# lookup that is refused is an error to Helm: charts/teleport-operator/templates/_helpers.tpl in teleport-cluster, and
# helm.sh/helm/v3/pkg/engine/lookup_func.go.
DEFINITIONS = Resource("apiextensions.k8s.io", "customresourcedefinitions")
LOOKED_UP = "teleportrolesv7.resources.teleport.dev"
# Bound to auth's ServiceAccount beside the chart's own role.
DELEGATOR = "system:auth-delegator"


def cluster_role_names(namespace: str, release: str) -> list[str]:
    """With the namespace in some versions of the chart, without it in others."""
    return sorted({release, f"{namespace}-{release}"})


def cluster_role_binding_names(namespace: str, release: str) -> list[str]:
    names = {release, f"{release}-teleport", f"{release}-teleport-auth"}
    return sorted(names | {f"{namespace}-{release}", f"{namespace}-{release}-auth"})


def has_operator(values: Mapping[str, Any]) -> bool:
    return value_at(values, "operator", "enabled") is True


def makes_definitions(values: Mapping[str, Any]) -> bool:
    """Whether a release with `values` has the operator's kinds among its objects."""
    asked = value_at(values, "operator", "installCRDs")
    return asked == "always" or (asked in (None, "dynamic") and has_operator(values))


def asked_for(values: Mapping[str, Any]) -> Iterator[Resource]:
    """Resources of `TELEPORT_BY_VALUE` that a release with `values` has."""
    for path, resources in TELEPORT_BY_VALUE.items():
        if value_at(values, *path.split(".")) is True:
            yield from resources
