"""Custom resources: kinds that only the cluster knows, because somebody has defined them there.

Owns how one is found. What becomes of its objects is `objects.py`'s, as of any other; of their properties nothing is
known here, and the API server checks them.
"""

from __future__ import annotations

from typing import Final

from sandbox.plugins.kubernetes.connection import ApiError, ApiServer
from sandbox.plugins.kubernetes.schema import PREFIX, Kind

# Groups of Kubernetes' own have this suffix or no dot at all: a kind of theirs that the table lacks is not supported.
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
    """The same kind as the cluster has it now, or unchanged where it has none."""
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
