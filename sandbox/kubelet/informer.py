"""Keeps a local copy of one kind of object by list and watch, and tells subscribers what changed.

Owns reconnecting and relisting. Reads come from memory, so nothing here polls the API server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.kubelet.api import ApiClient, ApiError, Object
from sandbox.kubelet.log import say

# Namespace and name; the namespace is empty for objects without one.
Key = tuple[str, str]
# The object before and after a change; None before for a new object, None after for one that is gone.
Subscriber = Callable[[Object | None, Object | None], None]

_PAUSE_SECONDS = 1.0
# A server that sends nothing for longer than a watch lasts is gone, even if the connection stands.
_SILENCE_SECONDS = 330.0


def key_of(obj: Object) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Informer:
    """The objects of one collection, by (namespace, name)."""

    def __init__(self, client: ApiClient, path: str, query: Mapping[str, str] | None = None) -> None:
        self._client = client
        self._path = path
        self._query = dict(query or {})
        self._subscribers: list[Subscriber] = []
        self.objects: dict[Key, Object] = {}
        self.synced = asyncio.Event()

    def subscribe(self, subscriber: Subscriber) -> None:
        """Reports every change from now on; existing objects are reported as new with the first list."""
        self._subscribers.append(subscriber)

    def get(self, namespace: str, name: str) -> Object | None:
        return self.objects.get((namespace, name))

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                version = await self._list()
                self.synced.set()
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                # 410: the version is too old to resume from. Either way, start over with a list.
                if error.status != 410:
                    say(f"{self._path}: {error}")
            except (OSError, EOFError, asyncio.TimeoutError, ValueError) as error:
                say(f"{self._path}: the API server does not answer: {error}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self) -> str:
        listed = await self._client.get(self._path, self._query)
        kind = {"apiVersion": listed.get("apiVersion"), "kind": str(listed.get("kind", "")).removesuffix("List")}
        found = {key_of(item): {**kind, **item} for item in listed.get("items") or []}
        for key in [key for key in self.objects if key not in found]:
            self._apply(key, None)
        for key, item in found.items():
            self._apply(key, item)
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> str:
        events = self._client.watch(self._path, {**self._query, "resourceVersion": version})
        try:
            while True:
                try:
                    event = await asyncio.wait_for(events.__anext__(), _SILENCE_SECONDS)
                except StopAsyncIteration:
                    return version
                obj: dict[str, Any] = event["object"]
                if event["type"] == "ERROR":
                    raise ApiError(int(obj.get("code", 500)), obj.get("reason", ""), obj.get("message", ""))
                version = obj["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._apply(key_of(obj), None if event["type"] == "DELETED" else obj)
        finally:
            await events.aclose()  # type: ignore[attr-defined]  # an async generator behind the iterator's type

    def _apply(self, key: Key, new: Object | None) -> None:
        old = self.objects.get(key)
        if new is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = new
            if old and old["metadata"]["resourceVersion"] == new["metadata"]["resourceVersion"]:
                return
        if old is None and new is None:
            return
        # Deleted and recreated between two lists: report two changes, so that nobody takes one object for the other.
        if old and new and old["metadata"]["uid"] != new["metadata"]["uid"]:
            for subscriber in self._subscribers:
                subscriber(old, None)
            old = None
        for subscriber in self._subscribers:
            subscriber(old, new)
