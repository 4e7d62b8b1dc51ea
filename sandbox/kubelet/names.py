"""The names table of the cluster's Services, `<home>/names/services.json`: DNS name -> port -> ready pods' addresses.

It replaces kube-proxy and the cluster's DNS. A Service without a ready pod has an entry without addresses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from sandbox.kubelet.addresses import bind_address
from sandbox.kubelet.api import Object

Table = dict[str, dict[str, list[str]]]

CLUSTER_DOMAIN = "cluster.local"


def names_table(services: Iterable[Object], pods: Iterable[Object], apiserver: str) -> Table:
    """`apiserver` is host:port of the API server itself, which the Service `kubernetes` stands for."""
    by_namespace: dict[str, list[Object]] = {}
    for pod in pods:
        if _has_address(pod):
            by_namespace.setdefault(pod["metadata"]["namespace"], []).append(pod)
    table: Table = {}
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        if (metadata["namespace"], metadata["name"]) == ("default", "kubernetes"):
            ports = {"443": [apiserver]}
        elif spec.get("selector"):
            ports = _ports(service, by_namespace.get(metadata["namespace"], []))
        else:
            continue
        short = f"{metadata['name']}.{metadata['namespace']}"
        for name in (f"{short}.svc.{CLUSTER_DOMAIN}", f"{short}.svc", short):
            table[name] = ports
    return table


def write_table(path: Path, table: Table) -> bool:
    """Replace the file atomically; false if it already has this content."""
    text = json.dumps(table, indent=1, sort_keys=True) + "\n"
    if path.exists() and path.read_text() == text:
        return False
    temporary = path.with_suffix(".writing")
    temporary.write_text(text)
    temporary.replace(path)
    return True


def _ports(service: Object, pods: list[Object]) -> dict[str, list[str]]:
    spec = service["spec"]
    everyone = bool(spec.get("publishNotReadyAddresses"))
    chosen = [
        pod
        for pod in sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
        if _selected(pod, spec["selector"]) and (everyone or _is_ready(pod))
    ]
    headless = spec.get("clusterIP") == "None"
    ports: dict[str, list[str]] = {}
    for port in spec.get("ports") or []:
        addresses = []
        for pod in chosen:
            target = _target_port(pod, port.get("targetPort", port["port"]))
            if target is not None:
                addresses.append(f"{bind_address(pod['status']['podIP'])}:{target}")
                if headless:
                    # A headless name resolves to the pods themselves, so clients connect to the pods' own ports.
                    ports.setdefault(str(target), []).append(addresses[-1])
        if not headless:
            ports[str(port["port"])] = addresses
    if headless:
        # For clients that only ask whether the name resolves.
        ports["0"] = [f"{bind_address(pod['status']['podIP'])}:0" for pod in chosen]
    return ports


def _selected(pod: Object, selector: dict[str, str]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def _has_address(pod: Object) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") not in ("Succeeded", "Failed")


def _is_ready(pod: Object) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _target_port(pod: Object, target: int | str) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == target:
                return int(port["containerPort"])
    return None
