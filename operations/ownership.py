"""Whose something is that a stack's names lead to: its annotation says which stack made it, and the API server who
wrote it. Names alone say nothing: another stack may have the same.
"""

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
    """`organization/project/stack`, as the stack's objects have it: from the state, of which some were recorded."""
    operations = [one.get("resource") or {} for one in state.get("pending_operations") or []]
    found = set()
    for resource in [*(state.get("resources") or []), *operations]:
        found.add(str(value_at(resource, "inputs", "tags", STACK_TAG)))
        found.add(str(value_at(resource, "inputs", "metadata", "annotations", STACK_ANNOTATION)))
    # A renamed stack has recorded its former name as well.
    recorded = max((name for name in found if name.endswith(f"/{short_name(stack)}")), default="")
    organization, *rest = stack.split("/")
    # The backends without organizations call theirs so.
    given = {2: stack, 1: f"{organization}/{PROJECT}/{short_name(stack)}"}
    return recorded or given.get(len(rest), f"organization/{PROJECT}/{stack}")


def require_own(settings: Settings, cluster: Cluster) -> None:
    """That a context leads to the cluster that the stack means by it: names alone are the same in every environment.
    Raises `ClusterError`."""
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
    """For those who change nothing: whom the cluster does not tell which one it is may look nevertheless.
    Raises `ClusterError`."""
    cluster = connect(context)
    try:
        require_own(settings, cluster)
    except NotAllowed:
        pass
    return cluster


def maker(document: Document) -> str | None:
    """Full name of the stack that made a Kubernetes object; None where it does not say."""
    found = value_at(document, "metadata", "annotations", STACK_ANNOTATION)
    return None if found is None else str(found)


def made_by_the_engine(document: Document) -> bool:
    """Whether the Kubernetes plugin of the engine made the object, for whatever stack: the API server records who wrote
    which fields."""
    fields = document["metadata"].get("managedFields") or []
    labels = document["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/managed-by") == "pulumi" or any(
        str(one.get("manager", "")).startswith("pulumi") for one in fields
    )


def is_release_of(stack: str, cluster: Cluster, revision: HelmRelease) -> bool:
    """Whether a release of the access graph is certainly that stack's: its values have what this program alone writes,
    and around it is what the stack made. stack: its full name."""
    if value_at(revision.values, "podAnnotations", CREDENTIALS_ANNOTATION) is None:
        return False
    around = (
        cluster.get("Namespace", revision.namespace),
        cluster.get("Secret", TLS_SECRET_NAME, revision.namespace),
    )
    return any(found is not None and maker(found) == stack for found in around)
