"""Which stack owns an object that one of our names leads to. Names alone do not tell: another stack may use the same.
The object's annotation says which stack made it, and the API server records who wrote it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from components.settings import Settings
from components.settings.names import CREDENTIALS_ANNOTATION, PROJECT, STACK_ANNOTATION, STACK_TAG, TLS_SECRET_NAME
from operations.cluster import Cluster, ClusterError, Document, NotAllowed
from operations.helm_releases import HelmRelease
from operations.stack import short_name
from operations.value_at import value_at


def full_name(state: Mapping[str, Any], stack: str) -> str:
    """`organization/project/stack`, as the stack's objects carry it: from the state, once objects are recorded
    there."""
    operations = [one.get("resource") or {} for one in state.get("pending_operations") or []]
    found = set()
    for resource in [*(state.get("resources") or []), *operations]:
        found.add(str(value_at(resource, "inputs", "tags", STACK_TAG)))
        found.add(str(value_at(resource, "inputs", "metadata", "annotations", STACK_ANNOTATION)))
    # A renamed stack's state has its former name as well.
    recorded = max((name for name in found if name.endswith(f"/{short_name(stack)}")), default="")
    organization, *rest = stack.split("/")
    # The organization's name in backends without organizations.
    given = {2: stack, 1: f"{organization}/{PROJECT}/{short_name(stack)}"}
    return recorded or given.get(len(rest), f"organization/{PROJECT}/{stack}")


def require_own(settings: Settings, cluster: Cluster) -> None:
    """Check that a context leads to the stack's cluster: names alone are the same in every environment. Raises
    `ClusterError`."""
    context, found = cluster.context, cluster.identifier()
    meant = {settings.kubernetes, *map(settings.kubernetes_of, settings.teleport)}
    identifiers = {one.cluster_identifier for one in meant if one.context == context}
    if identifiers != {found}:
        said = " and ".join(sorted(identifiers))
        raise ClusterError(
            f"{context}: is another cluster than the stack's: UID of kube-system is {found or 'unknown'}, "
            f"clusterIdentifier says {said}; take another context, or correct one of them. Nothing was touched"
        )


def connect_to_read(settings: Settings, connect: Callable[[str], Cluster], context: str) -> Cluster:
    """Connect for reading. A user who may not read the cluster's identifier may look nevertheless. Raises
    `ClusterError`."""
    cluster = connect(context)
    try:
        require_own(settings, cluster)
    except NotAllowed:
        pass
    return cluster


def maker(document: Document) -> str | None:
    """Full name of the stack that made a Kubernetes object; None when the object does not say."""
    found = value_at(document, "metadata", "annotations", STACK_ANNOTATION)
    return None if found is None else str(found)


def made_by_the_engine(document: Document) -> bool:
    """Whether the engine's Kubernetes plugin made the object, for whatever stack: the API server records who wrote
    which fields."""
    fields = document["metadata"].get("managedFields") or []
    labels = document["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/managed-by") == "pulumi" or any(
        str(one.get("manager", "")).startswith("pulumi") for one in fields
    )


def is_release_of(stack: str, cluster: Cluster, revision: HelmRelease) -> bool:
    """Whether the access graph's release is certainly that stack's (full name): its values have an annotation that only
    this program writes, and the stack made the namespace or a Secret in it."""
    if value_at(revision.values, "podAnnotations", CREDENTIALS_ANNOTATION) is None:
        return False
    around = (
        cluster.get("Namespace", revision.namespace),
        cluster.get("Secret", TLS_SECRET_NAME, revision.namespace),
    )
    return any(found is not None and maker(found) == stack for found in around)
