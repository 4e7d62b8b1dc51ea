"""Field managers that the engine has forgotten, in the managedFields of the API server.

The Kubernetes plugin gives each resource a manager name of its own, and keeps it only in the state. A resource that was
not recorded (a killed `up`, a lost state) or that outlived its stack leaves that name behind. What is made or imported
in its place has another, and its first change is refused as a conflict. Part of `recover`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from components.settings import ManualTeleportSettings, Settings
from components.settings.names import STACK_ANNOTATION
from components.teleport_args import PROXY_ANNOTATION
from components.teleport_values import CA_CONFIG_MAP_NAME, CA_KEY, auth_deployment_name, proxy_deployment_name
from operations.begun import context_of, current
from operations.cluster import Cluster, Document
from operations.mending import Step
from operations.ownership import maker

# The error of a preview or an `up`, also quoted in docs/recover.md.
_CONFLICT: Final = "Server-Side Apply field conflict"
# https://github.com/pulumi/pulumi-kubernetes, fieldManagerName: a prefix and eight random hexadecimal digits.
_PLUGINS_OWNER: Final = re.compile(r"pulumi-kubernetes-[0-9a-f]{8}")
# The mark is on auth's Deployment itself, for the proxies on the pod template.
_AUTHS_MARK: Final = ("f:metadata", "f:annotations", f"f:{PROXY_ANNOTATION}")
_MARK: Final = ("f:spec", "f:template", *_AUTHS_MARK)
_AUTHORITIES: Final = ("f:data", f"f:{CA_KEY}")
# Only the maker of a stack's object writes this field; others who patch the object do not.
_MAKER: Final = ("f:metadata", "f:annotations", f"f:{STACK_ANNOTATION}")


@dataclass(frozen=True)
class _Shared:
    """An object of the stack's, or our part of somebody else's, that another state may have owned."""

    cluster: Cluster
    kind: str
    type: str
    found: Document
    field: tuple[str, ...]
    """Path of our field, in the API server's notation."""
    alone: bool
    """Whether a manager of any further field must be somebody else's."""


def forgotten_owners(
    settings: Settings, state: Mapping[str, Any], stack: str, cluster_of: Callable[[str], Cluster]
) -> Iterator[Step]:
    """A step for each object with forgotten managers. stack: our full name. `cluster_of` connects to a context."""
    recorded = current(state)
    known = {
        (str(one.get("type")), str(one.get("id"))): str((one.get("outputs") or {}).get("__fieldManager"))
        for one in recorded
    }
    seen: set[tuple[str, str]] = set()
    for shared in (*_shared(settings, stack, cluster_of), *_made(settings, recorded, stack, cluster_of)):
        metadata = shared.found["metadata"]
        identity = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
        owners = _owners(shared, known.get((shared.type, identity)))
        if owners and (shared.type, identity) not in seen:
            seen.add((shared.type, identity))
            yield Step(
                f"{', '.join(owners)} owns what the stack writes in the {shared.kind} {identity}, and the state does "
                f"not know that owner: the next change would be a {_CONFLICT}",
                "remove the owner from the object's managed fields, and leave the values as they are",
                functools.partial(_take_off, shared.cluster, shared.kind, shared.found, owners),
            )


def _shared(settings: Settings, stack: str, cluster_of: Callable[[str], Cluster]) -> Iterator[_Shared]:
    for name, entry in settings.teleport.items():
        if isinstance(entry, ManualTeleportSettings):
            continue
        cluster = cluster_of(settings.kubernetes_of(name).context)
        authorities = cluster.get("ConfigMap", CA_CONFIG_MAP_NAME, entry.namespace)
        if authorities is not None:
            if maker(authorities) != stack:
                continue  # its Teleport is another stack's, or was connected by hand
            yield _Shared(cluster, "ConfigMap", "kubernetes:core/v1:ConfigMap", authorities, _AUTHORITIES, alone=False)
        for deployment, mark in (
            (auth_deployment_name(entry.release), _AUTHS_MARK),
            (proxy_deployment_name(entry.release), _MARK),
        ):
            marked = cluster.get("Deployment", deployment, entry.namespace)
            if marked is not None:
                yield _Shared(cluster, "Deployment", "kubernetes:apps/v1:DeploymentPatch", marked, mark, alone=True)


def _made(
    settings: Settings, recorded: Sequence[Mapping[str, Any]], stack: str, cluster_of: Callable[[str], Cluster]
) -> Iterator[_Shared]:
    """The objects that the stack made and has `recorded`, perhaps by an import, or in an older state."""
    for resource in recorded:
        type_, context = str(resource.get("type")), context_of(settings, resource)
        kind = type_.rpartition(":")[2]
        is_written = isinstance((resource.get("outputs") or {}).get("__fieldManager"), str)
        if not type_.startswith("kubernetes:") or not is_written or context is None or not Cluster.knows(kind):
            continue
        namespace, _, name = str(resource.get("id")).rpartition("/")
        cluster = cluster_of(context)
        found = cluster.get(kind, name, namespace or None)
        if found is not None and maker(found) == stack:
            yield _Shared(cluster, kind, type_, found, _MAKER, alone=False)


def _owners(shared: _Shared, own: str | None) -> list[str]:
    found = []
    for entry in shared.found["metadata"].get("managedFields") or []:
        manager, fields = str(entry.get("manager")), set(_leaves(entry.get("fieldsV1") or {}))
        is_plugins = entry.get("operation") == "Apply" and _PLUGINS_OWNER.fullmatch(manager) is not None
        holds = fields == {shared.field} if shared.alone else shared.field in fields
        if is_plugins and holds and manager != own:
            found.append(manager)
    return sorted(found)


def _leaves(fields: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inner = {key: value for key, value in fields.items() if key != "."}
    if not inner:
        yield path
    for key, value in inner.items():
        yield from _leaves(value, (*path, key))


def _take_off(cluster: Cluster, kind: str, found: Document, owners: list[str]) -> str:
    kept = [entry for entry in found["metadata"]["managedFields"] if entry.get("manager") not in owners]
    cluster.set_managed_fields(kind, found, kept)
    return "taken off"
