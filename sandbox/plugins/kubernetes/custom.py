"""Custom resources: kinds that only the cluster knows, because somebody defined them there.

Owns how such a kind is found. `objects.py` handles its objects like any other; the API server checks their properties,
about which nothing is known here.
"""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes.connection import ApiError, ApiServer
from sandbox.plugins.kubernetes.schema import PREFIX, Kind

# Kubernetes' own groups have this suffix or no dot at all: if the table lacks one of their kinds, it is unsupported.
OWN_SUFFIX: Final = ".k8s.io"


def kind_of_custom(token: str, server: ApiServer | None) -> Kind | None:
    """The kind of a resource type such as `kubernetes:cert-manager.io/v1:Certificate`; None for one of Kubernetes' own.

    `plural` is empty while the cluster has no such definition; its objects then count as namespaced.
    """
    api_version, _, name = token.removeprefix(PREFIX).rpartition(":")
    group, slash, _ = api_version.partition("/")
    if not slash or "." not in group or group.endswith(OWN_SUFFIX) or name.endswith("Patch"):
        return None
    undefined = Kind(api_version, name, plural="", namespaced=True, type="")
    return undefined if server is None else defined(undefined, server)


def defined(kind: Kind, server: ApiServer) -> Kind:
    """The kind as the cluster defines it now, or unchanged if the cluster has no definition."""
    try:
        served = server.request("GET", f"/apis/{kind.api_version}").get("resources") or []
    except ApiError as error:
        if error.not_found:
            return kind
        raise
    for resource in served:
        if resource.get("kind") == kind.name and "/" not in resource["name"]:
            return Kind(kind.api_version, kind.name, resource["name"], bool(resource["namespaced"]), type="")
    return kind
