"""Events of pods, as `kubectl get events` and `describe` show them; a repeated event only raises its count."""

from __future__ import annotations

import asyncio
import secrets

from sandbox.kubelet.api import ApiClient, ApiError, Object
from sandbox.kubelet.log import say, timestamp

_KEPT = 2000


class EventRecorder:
    """Writes in the background: an event that cannot be written is logged and dropped, as on a real node."""

    def __init__(self, client: ApiClient, node: str, component: str) -> None:
        self._client = client
        self._node = node
        self._component = component
        self._written: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._queue: asyncio.Queue[tuple[Object, str, str, str]] = asyncio.Queue()

    def normal(self, pod: Object, reason: str, message: str) -> None:
        self._queue.put_nowait((pod, "Normal", reason, message))

    def warning(self, pod: Object, reason: str, message: str) -> None:
        self._queue.put_nowait((pod, "Warning", reason, message))

    async def run(self) -> None:
        while True:
            pod, kind, reason, message = await self._queue.get()
            try:
                await self._write(pod, kind, reason, message)
            except (ApiError, OSError, asyncio.TimeoutError) as error:
                # A namespace that is being deleted takes no events, which is nothing worth logging.
                if not (isinstance(error, ApiError) and error.status in (403, 404)):
                    say(f"event {reason} of {pod['metadata']['name']}: {error}")

    async def _write(self, pod: Object, kind: str, reason: str, message: str) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/events"
        key = (metadata["uid"], reason, message)
        now = timestamp()
        if key in self._written:
            name, count = self._written[key]
            try:
                await self._client.merge(f"{path}/{name}", {"count": count + 1, "lastTimestamp": now})
                self._written[key] = (name, count + 1)
                return
            except ApiError as error:
                if error.status != 404:
                    raise
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        event: Object = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self._component, "host": self._node},
            "reportingComponent": self._component,
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._client.create(path, event)
        if len(self._written) > _KEPT:
            self._written.clear()
        self._written[key] = (name, 1)
