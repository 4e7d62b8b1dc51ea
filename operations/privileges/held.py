"""Whether a kubeconfig context's user has the rights of a purpose, by asking the API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from operations.cluster import Cluster
from operations.privileges.rbac import ClusterRights


@dataclass(frozen=True, kw_only=True, order=True)
class Missing:
    """A right that the user lacks."""

    context: str
    verb: str
    resource: str
    namespace: str
    """Empty for cluster-wide resources."""

    def __str__(self) -> str:
        return f"{self.context}: may not {self.verb} {self.resource}" + (
            f" in namespace {self.namespace}" if self.namespace else ""
        )


def missing(
    rights: Sequence[ClusterRights],
    connect: Callable[[str], Cluster],
    *,
    verbs: frozenset[str] | None = None,
) -> list[Missing]:
    """The rights that the user lacks; only those with the given `verbs`, if any. Raises `ClusterError`."""
    found = []
    for one in rights:
        cluster = connect(one.context)
        for namespace, group, resource, name, verb in _asked(one, verbs):
            if not cluster.may(verb, group=group, resource=resource, name=name, namespace=namespace):
                full = f"{resource}.{group}" if group else resource
                found.append(
                    Missing(
                        context=one.context,
                        verb=verb,
                        resource=f"{full}/{name}" if name else full,
                        namespace=namespace or "",
                    )
                )
    return sorted(found)


def count(rights: Sequence[ClusterRights], *, verbs: frozenset[str] | None = None) -> int:
    """How many rights `missing` asks about."""
    return sum(1 for one in rights for _ in _asked(one, verbs))


def _asked(rights: ClusterRights, only: frozenset[str] | None) -> Iterator[tuple[str | None, str, str, str, str]]:
    """Namespace, group, resource, name and verb."""
    for one in _all(rights):
        if only is None or one[-1] in only:
            yield one


def _all(rights: ClusterRights) -> Iterator[tuple[str | None, str, str, str, str]]:
    for namespace, allowed in sorted(rights.namespaces.items()):
        for resource, verbs in sorted(allowed.items()):
            yield from ((namespace, resource.group, resource.name, "", verb) for verb in sorted(verbs))
    for resource, verbs in sorted(rights.everywhere.items()):
        yield from ((None, resource.group, resource.name, "", verb) for verb in sorted(verbs))
    for (resource, names), verbs in sorted(rights.named.items(), key=lambda one: one[0]):
        for name in names:
            # There may be several names, for different chart versions; every verb, `list` too, is asked with the name.
            yield from ((None, resource.group, resource.name, name, verb) for verb in sorted(verbs))
