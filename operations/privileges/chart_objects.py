"""The objects that the two charts render, and what Helm does with them.

From the templates of teleport-access-graph 1.30.2 and teleport-cluster 18.10.3. Objects that depend on a value are
listed with that value.
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

# Path of a value; when it is true, the chart makes the resources beside it.
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

# teleport-cluster's kinds outside its namespace; the functions below give the chart's names for them.
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "clusterroles")
CLUSTER_ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "clusterrolebindings")
# The operator's kinds. A release without the operator looks one up, to keep what an earlier operator left, and Helm
# fails when a lookup is refused: charts/teleport-operator/templates/_helpers.tpl in teleport-cluster, and
# helm.sh/helm/v3/pkg/engine/lookup_func.go.
DEFINITIONS = Resource("apiextensions.k8s.io", "customresourcedefinitions")
LOOKED_UP = "teleportrolesv7.resources.teleport.dev"
# Bound to auth's ServiceAccount in addition to the chart's own role.
DELEGATOR = "system:auth-delegator"


def cluster_role_names(namespace: str, release: str) -> list[str]:
    """Some versions of the chart put the namespace into the name."""
    return sorted({release, f"{namespace}-{release}"})


def cluster_role_binding_names(namespace: str, release: str) -> list[str]:
    names = {release, f"{release}-teleport", f"{release}-teleport-auth"}
    return sorted(names | {f"{namespace}-{release}", f"{namespace}-{release}-auth"})


def has_operator(values: Mapping[str, Any]) -> bool:
    return value_at(values, "operator", "enabled") is True


def makes_definitions(values: Mapping[str, Any]) -> bool:
    """Whether a release with `values` includes the operator's CustomResourceDefinitions."""
    asked = value_at(values, "operator", "installCRDs")
    return asked == "always" or (asked in (None, "dynamic") and has_operator(values))


def asked_for(values: Mapping[str, Any]) -> Iterator[Resource]:
    """The resources of `TELEPORT_BY_VALUE` in a release with `values`."""
    for path, resources in TELEPORT_BY_VALUE.items():
        if value_at(values, *path.split(".")) is True:
            yield from resources
