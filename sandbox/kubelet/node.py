"""The Node object: registration, conditions, lease, and the taint of a new node."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
from datetime import datetime, timezone

from sandbox.kubelet.api import ApiClient, ApiError, Object, is_missing
from sandbox.kubelet.log import say, timestamp
from sandbox.kubelet.node_context import HOST_IP, NODE_NAME

_NODE = f"/api/v1/nodes/{NODE_NAME}"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_LEASE_SECONDS = 40
_MAX_PODS = 250
_NOT_READY_TAINT = "node.kubernetes.io/not-ready"
_RETRY_SECONDS = 1.0
# The version that the control plane is pinned to; kubectl shows it.
_KUBELET_VERSION = "v1.36.3+sandbox"


class NodeRegistration:
    """Creates and refreshes the Node and its Lease. The API server fetches logs from `log_port`."""

    def __init__(self, client: ApiClient, log_port: int, lease_period: float) -> None:
        self._client = client
        self._log_port = log_port
        self._lease_period = lease_period

    async def register(self) -> None:
        """Retries until it succeeds: the control plane may still be starting."""
        while True:
            try:
                await self._write()
                await self._renew()
                return
            except (ApiError, OSError, asyncio.TimeoutError) as error:
                say(f"node: cannot register yet: {error}")
                await asyncio.sleep(_RETRY_SECONDS)

    async def keep_alive(self) -> None:
        while True:
            await asyncio.sleep(self._lease_period)
            try:
                await self._renew()
                await self._write()
            except (ApiError, OSError, asyncio.TimeoutError) as error:
                say(f"node: cannot renew the lease: {error}")

    async def node_became_tainted(self, node: Object) -> None:
        """Remove the not-ready taint once the node is ready; no controller may get to it in time."""
        taints = node["spec"].get("taints") or []
        kept = [taint for taint in taints if taint["key"] != _NOT_READY_TAINT]
        if len(kept) != len(taints):
            await self._client.merge(_NODE, {"spec": {"taints": kept or None}})

    async def _write(self) -> None:
        try:
            node = await self._client.get(_NODE)
        except ApiError as error:
            if not is_missing(error):
                raise
            node = await self._client.create("/api/v1/nodes", self._object())
        status = self._status(node)
        await self._client.merge(f"{_NODE}/status", {"status": status})
        await self.node_became_tainted(node)

    def _object(self) -> Object:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        labels = {
            "kubernetes.io/hostname": NODE_NAME,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": machine,
            "beta.kubernetes.io/os": "linux",
            "topology.kubernetes.io/region": "sandbox",
            "topology.kubernetes.io/zone": "sandbox-a",
        }
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": NODE_NAME, "labels": labels},
            "spec": {"providerID": f"sandbox://{socket.gethostname()}"},
        }

    def _status(self, node: Object) -> Object:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
        # Charts' resource requests are meant for real nodes and not enforced here, so there is room for all of them.
        resources = {"cpu": "64", "memory": f"{max(memory, 256 * 1024 * 1024)}Ki", "pods": str(_MAX_PODS)}
        now = timestamp()
        before = {one["type"]: one for one in (node.get("status") or {}).get("conditions") or []}
        conditions = []
        for kind, value, reason, message in (
            ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ):
            older = before.get(kind)
            moved = older["lastTransitionTime"] if older and older["status"] == value else now
            conditions.append(
                {
                    "type": kind,
                    "status": value,
                    "reason": reason,
                    "message": message,
                    "lastHeartbeatTime": now,
                    "lastTransitionTime": moved,
                }
            )
        return {
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions,
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": NODE_NAME}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._log_port}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": platform.release(),
                "osImage": "local processes",
                "containerRuntimeVersion": "sandbox://1",
                "kubeletVersion": _KUBELET_VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            },
        }

    async def _renew(self) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {"holderIdentity": NODE_NAME, "leaseDurationSeconds": _LEASE_SECONDS, "renewTime": now}
        try:
            await self._client.merge(f"{_LEASES}/{NODE_NAME}", {"spec": spec})
        except ApiError as error:
            if not is_missing(error):
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE_NAME}}
            await self._client.create(_LEASES, {**lease, "spec": spec})
