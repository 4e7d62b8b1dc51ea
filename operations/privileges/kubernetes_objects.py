"""The Kubernetes objects that the program makes itself, where, and what it reads while it waits for them.

From the provider's behaviour (https://github.com/pulumi/pulumi-kubernetes, provider/pkg/await): it makes and changes an
object by server-side apply (`create`, `patch`), reads and deletes it, and watches it until it is ready or gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Place(Enum):
    CLUSTER = "cluster"
    """Cluster-wide."""
    GRAPH = "graph"
    """TAG's namespace."""
    TELEPORT = "teleport"
    """The namespace of a Teleport whose release this stack owns or hands values to."""


@dataclass(frozen=True, order=True)
class Resource:
    group: str
    """API group; empty for core."""
    name: str
    """Plural."""


SECRETS = Resource("", "secrets")
DEPLOYMENTS = Resource("apps", "deployments")
NAMESPACES = Resource("", "namespaces")
ROLES = Resource("rbac.authorization.k8s.io", "roles")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "rolebindings")
_BOTH = frozenset({Place.GRAPH, Place.TELEPORT})
_GRAPH = frozenset({Place.GRAPH})
_TELEPORT = frozenset({Place.TELEPORT})

# Type to its resource and places; `chart_objects` has the charts' objects.
OBJECTS: dict[str, tuple[Resource, frozenset[Place]]] = {
    "kubernetes:batch/v1:CronJob": (Resource("batch", "cronjobs"), _BOTH),
    "kubernetes:batch/v1:Job": (Resource("batch", "jobs"), _BOTH),
    "kubernetes:cert-manager.io/v1:Certificate": (Resource("cert-manager.io", "certificates"), _GRAPH),
    "kubernetes:cert-manager.io/v1:Issuer": (Resource("cert-manager.io", "issuers"), _GRAPH),
    "kubernetes:core/v1:ConfigMap": (Resource("", "configmaps"), _BOTH),
    "kubernetes:core/v1:Namespace": (NAMESPACES, frozenset({Place.CLUSTER})),
    "kubernetes:core/v1:Secret": (SECRETS, _GRAPH),
    "kubernetes:core/v1:Service": (Resource("", "services"), _GRAPH),
    "kubernetes:core/v1:ServiceAccount": (Resource("", "serviceaccounts"), _BOTH),
    "kubernetes:monitoring.coreos.com/v1:PrometheusRule": (
        Resource("monitoring.coreos.com", "prometheusrules"),
        _BOTH,
    ),
    "kubernetes:monitoring.coreos.com/v1:ServiceMonitor": (
        Resource("monitoring.coreos.com", "servicemonitors"),
        _GRAPH,
    ),
    "kubernetes:networking.k8s.io/v1:NetworkPolicy": (Resource("networking.k8s.io", "networkpolicies"), _GRAPH),
    "kubernetes:rbac.authorization.k8s.io/v1:Role": (ROLES, _BOTH),
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding": (ROLE_BINDINGS, _BOTH),
    "kubernetes:resources.teleport.dev/v1:TeleportRoleV7": (
        Resource("resources.teleport.dev", "teleportrolesv7"),
        _TELEPORT,
    ),
}

# Types that change objects of somebody else's: no rights to create or delete are needed.
PATCHES: dict[str, tuple[Resource, frozenset[Place]]] = {
    "kubernetes:apps/v1:DeploymentPatch": (DEPLOYMENTS, _TELEPORT),
}

# Read while waiting for a Deployment, a Job, a Service or a release, and to explain why it does not get ready.
AWAITED = (
    Resource("", "endpoints"),
    Resource("", "events"),
    Resource("", "persistentvolumeclaims"),
    Resource("", "pods"),
    Resource("apps", "replicasets"),
    Resource("discovery.k8s.io", "endpointslices"),
)
LOGS = Resource("", "pods/log")
# `verify` reaches TAG's port through the API server.
PORT_FORWARD = Resource("", "pods/portforward")
