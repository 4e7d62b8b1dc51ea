"""Binds pending pods to the one node, or reports why they stay pending, as the real scheduler does.

Honours nodeSelector, required node affinity, taints and cordons. With a single node, spreading and requests mean
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sandbox.kubelet.api import ApiClient, ApiError, Object
from sandbox.kubelet.events import EventRecorder
from sandbox.kubelet.informer import Informer
from sandbox.kubelet.log import say, timestamp
from sandbox.kubelet.node_context import NODE_NAME

_DEFAULT_SCHEDULER = "default-scheduler"
_RETRY_SECONDS = 1.0


class Scheduler:
    """Acts whenever a pod or the node changes."""

    def __init__(self, client: ApiClient, pods: Informer, nodes: Informer, events: EventRecorder) -> None:
        self._client = client
        self._pods = pods
        self._nodes = nodes
        self._events = events
        self._wake = asyncio.Event()
        self._bound: set[str] = set()
        pods.subscribe(self._pod_changed)
        nodes.subscribe(self._node_changed)

    async def run(self) -> None:
        await self._pods.synced.wait()
        await self._nodes.synced.wait()
        while True:
            await self._wake.wait()
            self._wake.clear()
            for pod in list(self._pods.objects.values()):
                if _is_waiting(pod) and pod["metadata"]["uid"] not in self._bound:
                    await self._try(pod)

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._bound.discard(old["metadata"]["uid"])
        elif _is_waiting(new):
            self._wake.set()

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        # The node's status is written every few seconds and has no effect on placement.
        if _placement(old) != _placement(new):
            self._wake.set()

    async def _try(self, pod: Object) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        node = self._nodes.get("", NODE_NAME)
        reason = "no nodes available to schedule pods" if node is None else why_not(pod, node)
        try:
            if reason:
                await self._refuse(pod, path, reason)
                return
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE_NAME},
            }
            await self._client.create(f"{path}/binding", binding)
            self._bound.add(metadata["uid"])
            where = f"{metadata['namespace']}/{metadata['name']}"
            self._events.normal(pod, "Scheduled", f"Successfully assigned {where} to {NODE_NAME}")
        except ApiError as error:
            # The pod was deleted or bound in the meantime; other failures are retried at the pod's next change.
            if error.status not in (404, 409):
                say(f"scheduler: {metadata['namespace']}/{metadata['name']}: {error}")
        except (OSError, asyncio.TimeoutError) as error:
            say(f"scheduler: {error}")
            await asyncio.sleep(_RETRY_SECONDS)
            self._wake.set()

    async def _refuse(self, pod: Object, path: str, reason: str) -> None:
        message = (
            f"0/1 nodes are available: 1 {reason}. preemption: 0/1 nodes are available: 1 Preemption is not helpful."
        )
        conditions = (pod.get("status") or {}).get("conditions") or []
        if any(one["type"] == "PodScheduled" and one.get("message") == message for one in conditions):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(),
        }
        await self._client.write_status(path, {"status": {"conditions": [condition]}})
        self._events.warning(pod, "FailedScheduling", message)


def why_not(pod: Object, node: Object) -> str:
    """Empty if the pod may run on the node, otherwise the reason in the real scheduler's words."""
    spec, labels = pod["spec"], node["metadata"].get("labels") or {}
    taints = list(node["spec"].get("taints") or [])
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    for taint in taints:
        blocking = taint["effect"] in ("NoSchedule", "NoExecute")
        if blocking and not any(_tolerates(one, taint) for one in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint(s) {{{taint['key']}: {taint.get('value', '')}}}"
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return "node(s) didn't match Pod's node affinity/selector"
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if affinity and not any(_term_matches(term, labels) for term in affinity["nodeSelectorTerms"]):
        return "node(s) didn't match Pod's node affinity/selector"
    return ""


def _is_waiting(pod: Object) -> bool:
    spec = pod["spec"]
    return (
        not spec.get("nodeName")
        and not pod["metadata"].get("deletionTimestamp")
        and not spec.get("schedulingGates")
        and spec.get("schedulerName", _DEFAULT_SCHEDULER) == _DEFAULT_SCHEDULER
        and (pod.get("status") or {}).get("phase", "Pending") == "Pending"
    )


def _placement(node: Object | None) -> tuple[object, ...]:
    if node is None:
        return ()
    return (node["metadata"].get("labels"), node["spec"].get("taints"), node["spec"].get("unschedulable"))


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint["key"]:
        return False
    return bool(toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))


def _term_matches(term: Object, labels: dict[str, str]) -> bool:
    tests: dict[str, Callable[[str | None, list[str]], bool]] = {
        "In": lambda value, wanted: value in wanted,
        "NotIn": lambda value, wanted: value not in wanted,
        "Exists": lambda value, wanted: value is not None,
        "DoesNotExist": lambda value, wanted: value is None,
        "Gt": lambda value, wanted: value is not None and int(value) > int(wanted[0]),
        "Lt": lambda value, wanted: value is not None and int(value) < int(wanted[0]),
    }
    return all(
        tests[one["operator"]](labels.get(one["key"]), one.get("values") or [])
        for one in term.get("matchExpressions") or []
    )
