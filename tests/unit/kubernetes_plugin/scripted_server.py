"""An API server for tests of the plugin's own decisions: it keeps objects in memory and answers as scripted.

The engine tests (`tests/engine/`) run on a real API server; here the question is what the plugin makes of the answers.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.plugins.kubernetes.cluster import Connected
from sandbox.plugins.kubernetes.configuration import Options
from sandbox.plugins.kubernetes.connection import ApiError, ApiServer
from sandbox.plugins.kubernetes.schema import Kind


@dataclass
class ScriptedServer:
    """`refusals` maps a verb (create, apply, ...) to the error that it raises; `calls` has every request in order."""

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    refusals: dict[str, ApiError] = field(default_factory=dict)
    definitions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    calls: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def add(self, live: Mapping[str, Any]) -> None:
        metadata = live["metadata"]
        self.objects[live["kind"], metadata.get("namespace", ""), metadata["name"]] = dict(live)

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        self._note("get", name)
        try:
            return dict(self.objects[kind.name, namespace, name])
        except KeyError:
            raise refusal(404, "NotFound", f'{kind.plural} "{name}" not found') from None

    def request(self, method: str, path: str) -> dict[str, Any]:
        """Discovery: the kinds of a group version."""
        self._note(method.lower(), path)
        if path not in self.definitions:
            raise refusal(404, "NotFound", "the server could not find the requested resource")
        return {"resources": self.definitions[path]}

    def list_objects(self, kind: Kind, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        self._note("list", kind.plural, **selectors)
        return [live for (name, where, _), live in self.objects.items() if (name, where) == (kind.name, namespace)]

    def create(
        self, kind: Kind, namespace: str, body: Mapping[str, Any], field_manager: str, dry_run: bool
    ) -> dict[str, Any]:
        self._note("create", body["metadata"]["name"], body=dict(body), manager=field_manager, dry_run=dry_run)
        return self._stored(kind, namespace, body["metadata"]["name"], body)

    def apply(
        self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any], manager: str, force: bool, dry_run: bool
    ) -> dict[str, Any]:
        self._note("apply", name, body=dict(body), manager=manager, force=force, dry_run=dry_run)
        return self._stored(kind, namespace, name, body)

    def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, content_type: str, manager: str, dry_run: bool
    ) -> dict[str, Any]:
        self._note("patch", name, body=body, manager=manager, dry_run=dry_run)
        return self.get(kind, namespace, name)

    def delete(self, kind: Kind, namespace: str, name: str, propagation: str) -> None:
        self._note("delete", name, propagation=propagation)
        self.objects.pop((kind.name, namespace, name), None)

    def verbs(self) -> list[str]:
        return [verb for verb, _, _ in self.calls]

    def _stored(self, kind: Kind, namespace: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.objects.get((kind.name, namespace, name), body))

    def _note(self, verb: str, name: str, **details: Any) -> None:
        self.calls.append((verb, name, details))
        if verb in self.refusals:
            raise self.refusals[verb]


def refusal(code: int, reason: str, message: str, **details: Any) -> ApiError:
    return ApiError(code, {"reason": reason, "message": message, "details": details})


def connected(server: ScriptedServer | None, **options: Any) -> Connected:
    """A cluster configured like the recordings' provider; without a server, an unreachable cluster."""
    chosen = Options(**({"config_map_mutable": True, "secret_mutable": True} | options))
    typed: Any = server
    answering: ApiServer | None = typed
    return Connected(chosen, answering, "" if server else "connection refused", "default", threading.Event())
