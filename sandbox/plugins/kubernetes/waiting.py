"""Waits until an object is ready or gone; gives up when time is up, when success is impossible, or when asked to.

Owns the clock and the messages; `readiness.py` defines ready.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.plugins.kubernetes.connection import ApiError, ApiServer
from sandbox.plugins.kubernetes.inputs import annotations_of, name_of, namespace_of
from sandbox.plugins.kubernetes.readiness import Progress, Readiness, readiness_of
from sandbox.plugins.kubernetes.schema import Kind
from sandbox.plugins.protocol import Log, ResourceError

SKIP_AWAIT: Final = "pulumi.com/skipAwait"
WAIT_FOR: Final = "pulumi.com/waitFor"
TIMEOUT_ANNOTATION: Final = "pulumi.com/timeoutSeconds"
# Kinds whose deletion proceeds unawaited with skipAwait; all others are awaited (the official plugin's list).
LEFT_TO_GO: Final = frozenset(
    {
        "apps/v1/DaemonSet",
        "apps/v1/Deployment",
        "apps/v1/StatefulSet",
        "batch/v1/Job",
        "v1/Namespace",
        "v1/Pod",
        "v1/ReplicationController",
    }
)
DEFAULT_SECONDS: Final = 600.0  # the official plugin's, for becoming ready and for going away
# Short at first, because most objects in a small cluster are ready at once, but never a burden on the server.
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0


class NotReady(Exception):
    """The object exists but is not ready; `reasons` say why, `live` is its newest state."""

    def __init__(self, message: str, live: dict[str, Any], reasons: list[str]) -> None:
        super().__init__(message)
        self.live = live
        self.reasons = reasons


@dataclass(frozen=True)
class Waiter:
    """One wait of one operation. `timeout` is the resource option in seconds, 0 if there is none."""

    server: ApiServer
    kind: Kind
    urn: str
    log: Log
    cancelled: threading.Event
    timeout: float

    def until_ready(self, inputs: Mapping[str, Any], live: dict[str, Any]) -> dict[str, Any]:
        """The ready object. Raises `NotReady`."""
        readiness = self._readiness(inputs)
        if readiness is None:
            return live
        ends, pause, said = time.monotonic() + self.seconds(inputs), FIRST_PAUSE_SECONDS, ""
        while True:
            progress = readiness.rule(self.server, live)
            if progress.ready:
                if said:
                    self.log("info", "", self.urn, True)
                return live
            if progress.failed:
                raise self._not_ready(
                    f"Resource '{name_of(live)}' was created but failed to initialize", readiness, live, progress
                )
            if progress.note != said:
                said = progress.note
                self.log("info", said, self.urn, True)
            if time.monotonic() >= ends:
                raise self._not_ready(f"'{name_of(live)}' timed out waiting to be Ready", readiness, live, progress)
            if self.cancelled.wait(pause):
                raise self._not_ready(
                    f'Resource operation was cancelled for "{name_of(live)}"', readiness, live, progress
                )
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            live = self.server.get(self.kind, namespace_of(live), name_of(live))

    def check_once(self, inputs: Mapping[str, Any], live: dict[str, Any]) -> None:
        """Raises `NotReady` if an existing object is not ready now; does not wait: used by refresh."""
        readiness = self._readiness(inputs)
        if readiness is None:
            return
        progress = readiness.rule(self.server, live)
        if not progress.ready:
            raise self._not_ready(
                f"Resource '{name_of(live)}' was created but failed to initialize", readiness, live, progress
            )

    def until_gone(self, inputs: Mapping[str, Any], namespace: str, name: str) -> None:
        if annotations_of(inputs).get(SKIP_AWAIT) == "true" and self.kind.key in LEFT_TO_GO:
            return
        ends, pause = time.monotonic() + self.seconds(inputs), FIRST_PAUSE_SECONDS
        while True:
            try:
                live = self.server.get(self.kind, namespace, name)
            except ApiError as error:
                if error.not_found:
                    return
                raise
            if time.monotonic() >= ends:
                holders = ", ".join(live["metadata"].get("finalizers") or []) or "none"
                raise ResourceError(
                    f"Timed out waiting for deletion of {self.kind.key} {name!r} (finalizers: {holders})"
                )
            if self.cancelled.wait(pause):
                raise ResourceError(f'Resource operation was cancelled for "{name}"')
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    def seconds(self, inputs: Mapping[str, Any]) -> float:
        if self.timeout:
            return self.timeout
        given = str(annotations_of(inputs).get(TIMEOUT_ANNOTATION, ""))
        return float(given) if given.isdigit() else DEFAULT_SECONDS

    def _readiness(self, inputs: Mapping[str, Any]) -> Readiness | None:
        annotations = annotations_of(inputs)
        if annotations.get(SKIP_AWAIT) == "true":
            return None
        return readiness_of(self.kind, annotations.get(WAIT_FOR))

    def _not_ready(self, message: str, readiness: Readiness, live: dict[str, Any], progress: Progress) -> NotReady:
        problems = list(progress.problems)
        try:
            problems += readiness.problems(self.server, live)
        except ApiError as error:
            # Reading pods or events may be forbidden; the failure itself must still be reported.
            problems.append(f"its pods and events cannot be read: {error}")
        return NotReady(message, live, list(dict.fromkeys(problems)) or [progress.note])
