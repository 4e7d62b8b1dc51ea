"""A deployed stack as the commands find it: settings, outputs and every object, all in order."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from components.settings import Settings, load_settings
from components.teleport_values import AccessGraphPatch, patch_values
from tests.unit.operations.certificates import authority
from tests.unit.operations.kubernetes_api import IDENTIFIER, KubernetesApi, put_release

CLUSTER = "teleport.example.com"
HOST = "teleport-access-graph.teleport-access-graph.svc.cluster.local"
GRAPH = "teleport-access-graph"
PATCH = AccessGraphPatch(endpoint=f"{HOST}:443", ca_checksum="0123")
USERS: dict[str, Any] = {
    "clusterName": CLUSTER,
    "enterprise": True,
    "service": {"type": "ClusterIP"},
    "extraVolumes": [{"name": "banner", "configMap": {"name": "banner"}}],
    "extraVolumeMounts": [{"name": "banner", "mountPath": "/etc/banner"}],
    "annotations": {"pod": {"team": "identity"}},
}
OUTPUTS = {
    "serviceHost": HOST,
    "namespace": GRAPH,
    "tlsSecretName": "teleport-access-graph-tls",
    "databaseSecretName": "teleport-access-graph-postgres",
    "teleportConfig": {CLUSTER: {"access_graph": PATCH.configuration()}},
    "teleportValues": {CLUSTER: patch_values(USERS, PATCH)},
}
# All within one hour: the access graph becomes ready first, then auth, then the proxies start.
GRAPH_READY, AUTH_READY, PROXY_STARTED = "2026-06-01T12:00:00Z", "2026-06-01T12:01:00Z", "2026-06-01T12:02:00Z"
CONNECTED = "2026-06-01T12:01:05Z INFO [ACCESSGRAPH] Connected to Access Graph service endpoint:graph:443\n"
ANSWERED = "2026-06-01T12:02:05Z INFO [ACCESSGRAPH] Access Graph answered endpoint:graph:443\n"


def configuration(**changes: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "kubernetes": {"context": "test", "clusterIdentifier": IDENTIFIER},
        "accessGraph": {
            "chart": {"repository": "https://charts.example.com", "name": GRAPH, "version": "1.30.2"},
        },
        "database": {"mode": "existing", "secret": {"name": "database"}},
        "teleport": {
            CLUSTER: {
                "mode": "release",
                "adopt": True,
                "chart": {"repository": "https://charts.example.com", "name": "teleport-cluster", "version": "18.10.3"},
                "valuesFiles": ["teleport.yaml"],
                "hostAuthorities": {"mode": "inline", "certificates": [authority(CLUSTER).pem]},
            }
        },
    }
    for key, value in changes.items():
        plain[key] = {**plain.get(key, {}), **value} if isinstance(value, dict) else value
    return plain


def settings(root: Path, **changes: Any) -> Settings:
    (root / "teleport.yaml").write_text(yaml.safe_dump(USERS), encoding="utf-8")
    return load_settings(configuration(**changes), (), root=root, stack="test")


def settings_of_mode(root: Path, mode: str) -> Settings:
    """Like `settings`, with the Teleport entry in this mode: `release` or `values`."""
    entry = configuration()["teleport"][CLUSTER]
    if mode == "values":
        entry = {key: value for key, value in entry.items() if key not in ("adopt", "chart")}
    return settings(root, teleport={CLUSTER: {**entry, "mode": mode}})


def put_world(api: KubernetesApi) -> None:
    """Put everything that an `up` makes, and everything that was there before it."""
    for namespace in (GRAPH, "teleport"):
        api.put("Namespace", namespace)
    put_deployment(api, GRAPH, GRAPH, available=GRAPH_READY)
    put_deployment(api, "teleport-auth", "teleport", rolled_out=AUTH_READY, users=True, extra=[volume()])
    put_deployment(api, "teleport-proxy", "teleport", rolled_out=PROXY_STARTED, users=True)
    put_pod(api, "teleport-auth", started=AUTH_READY)
    put_pod(api, "teleport-proxy", started=PROXY_STARTED)
    api.logs |= {"teleport-auth-0": CONNECTED, "teleport-proxy-0": ANSWERED}
    teleport_yaml = yaml.safe_dump({"access_graph": PATCH.configuration()})
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": teleport_yaml})
    api.put("ConfigMap", "teleport-access-graph-ca", "teleport", data={"ca.pem": authority("graph-1").pem})
    api.put("Secret", "license", "teleport", data={"license.pem": base64.b64encode(b"x").decode()})
    put_release(api, 2, "deployed", patch_values(USERS, PATCH))


def volume() -> dict[str, Any]:
    return {"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca", "defaultMode": 420}}


def put_deployment(
    api: KubernetesApi,
    name: str,
    namespace: str,
    *,
    rolled_out: str = GRAPH_READY,
    available: str = GRAPH_READY,
    reason: str = "NewReplicaSetAvailable",
    users: bool = False,
    extra: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    volumes = [{"name": "banner", "configMap": {"name": "banner", "defaultMode": 420}}] if users else []
    container = {
        "name": "teleport",
        "image": "registry.example.com/teleport-ent-distroless:18.10.3",
        "volumeMounts": [{"name": "banner", "mountPath": "/etc/banner"}] if users else [],
    }
    return api.put(
        "Deployment",
        name,
        namespace,
        metadata={"generation": 1},
        spec={
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"team": "identity"} if users else {}},
                "spec": {"containers": [container], "volumes": [*volumes, *(extra or [])]},
            },
        },
        status={
            "observedGeneration": 1,
            "conditions": [
                {"type": "Progressing", "status": "True", "reason": reason, "lastUpdateTime": rolled_out},
                {"type": "Available", "status": "True", "lastTransitionTime": available},
            ],
        },
    )


def put_pod(
    api: KubernetesApi,
    deployment: str,
    *,
    started: str,
    ready: bool = True,
    state: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
) -> None:
    status = {
        "name": "teleport",
        "image": "x",
        "imageID": "x",
        "ready": ready,
        "restartCount": 0,
        "state": state or {"running": {"startedAt": started}},
    }
    api.put(
        "Pod",
        f"{deployment}-0",
        "teleport",
        metadata={"labels": {"app": deployment}, "annotations": annotations or {}},
        spec={"containers": [{"name": "teleport", "image": "x"}]},
        status={
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [status],
        },
    )
