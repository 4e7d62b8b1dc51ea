"""Whether what an `up` would make or take over is another stack's: TAG's namespace, what stands in it, a Teleport.

Everything that a stack makes says which stack that was. Of a Teleport, auth's own configuration says what it dials.
"""

from __future__ import annotations

import yaml

from components.settings import Settings
from components.settings.names import (
    DATABASE_ACCESS_NAME,
    DATABASE_CA_CONFIG_MAP_NAME,
    POSTGRES_SECRET_NAMES,
    TLS_SECRET_NAME,
)
from components.teleport_values import auth_deployment_name
from operations.cluster import Cluster, Document, NotAllowed
from operations.findings import Finding, failed
from operations.ownership import maker
from operations.stack import short_name
from operations.value_at import value_at

# Of each environment one or another: what a role that may read no Secret sees comes first.
_FIXED_NAMES = (
    ("ConfigMap", DATABASE_CA_CONFIG_MAP_NAME),
    ("ServiceAccount", DATABASE_ACCESS_NAME),
    ("Secret", TLS_SECRET_NAME),
    *(("Secret", name) for name in POSTGRES_SECRET_NAMES),
)


def other_maker(settings: Settings, document: Document) -> str | None:
    """Full name of the stack that made the object, where that is certainly another one than that of `settings`; None
    too for one of the same name, which this stack may have made before it was killed."""
    found = maker(document)
    return None if found is None or short_name(found) == settings.stack else found


def check_shared_namespace(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Of a namespace that the stack does not make: what a stack makes in it has one name in all of them."""
    namespace = settings.access_graph.namespace
    for kind, name in _FIXED_NAMES:
        try:
            found = cluster.get(kind, name, namespace)
        except NotAllowed:
            continue
        other = None if found is None else other_maker(settings, found)
        if other is not None:
            reason = f"the {kind} {name} is of the stack {other}, and of that name there is one; give another "
            statement = f"no other stack has its access graph in {namespace}"
            return [failed("access-graph.shared", statement, f"{reason}accessGraph.namespace")]
    return []


def dialled_endpoint(cluster: Cluster, namespace: str, release: str) -> str | None:
    """What auth dials; None where it knows of no access graph, or does not say."""
    found = cluster.get("ConfigMap", auth_deployment_name(release), namespace)  # the chart calls both the same
    try:
        section = value_at(yaml.safe_load(str(value_at(found, "data", "teleport.yaml"))), "access_graph")
    except yaml.YAMLError:
        return None
    endpoint = value_at(section, "endpoint")
    return str(endpoint) if endpoint and value_at(section, "enabled") is True else None
