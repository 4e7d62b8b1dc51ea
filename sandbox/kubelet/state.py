"""What a node knows of a container, and the pod status that follows from it, as real kubelets write it.

Pure: no processes, and no clock except the times passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

# The conditions that a node writes; others belong to controllers.
OWN_CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")

_NOT_READY = "ContainersNotReady"


@dataclass(frozen=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    started_at: str


@dataclass(frozen=True)
class Terminated:
    exit_code: int
    reason: str
    started_at: str
    finished_at: str
    message: str = ""
    signal: int = 0
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass
class ContainerRecord:
    """One container of a pod through all of its restarts."""

    name: str
    image: str
    is_init: bool = False
    state: State = Waiting("ContainerCreating")
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    @property
    def succeeded(self) -> bool:
        return isinstance(self.state, Terminated) and self.state.exit_code == 0


def container_status(record: ContainerRecord) -> Object:
    status: Object = {
        "name": record.name,
        "image": record.image,
        # There is no registry and hence no digest: once the image was found, the reference serves as its id.
        "imageID": record.image if record.container_id else "",
        "containerID": record.container_id,
        "restartCount": record.restarts,
        "ready": record.succeeded if record.is_init else record.ready,
        "started": isinstance(record.state, Running) and record.started,
        "state": _described(record.state),
        # Present even when empty: the status is merged over the older one, and null removes a key.
        "lastState": {
            "terminated": _described(record.last)["terminated"] if record.last else None,
        },
    }
    return status


def _described(state: State) -> Object:
    described: Object = {"waiting": None, "running": None, "terminated": None}
    if isinstance(state, Waiting):
        described["waiting"] = {"reason": state.reason, "message": state.message or None}
    elif isinstance(state, Running):
        described["running"] = {"startedAt": state.started_at}
    else:
        described["terminated"] = {
            "exitCode": state.exit_code,
            "reason": state.reason,
            "message": state.message or None,
            "signal": state.signal or None,
            "startedAt": state.started_at,
            "finishedAt": state.finished_at,
            "containerID": state.container_id or None,
        }
    return described


def phase_of(spec: Object, inits: Sequence[ContainerRecord], mains: Sequence[ContainerRecord]) -> str:
    """Pending, Running, Succeeded or Failed, derived from the containers and the restart policy."""
    policy = spec.get("restartPolicy", "Always")
    for record in inits:
        if isinstance(record.state, Terminated) and record.state.exit_code and policy == "Never":
            return "Failed"
    if not all(record.succeeded for record in inits):
        return "Pending"
    if any(_not_begun(record) for record in mains):
        return "Pending"
    ended = [record.state for record in mains if isinstance(record.state, Terminated)]
    if len(ended) == len(mains) and policy != "Always":
        if all(state.exit_code == 0 for state in ended):
            return "Succeeded"
        return "Failed" if policy == "Never" else "Running"
    return "Running"


def _not_begun(record: ContainerRecord) -> bool:
    return isinstance(record.state, Waiting) and record.last is None and record.restarts == 0


def conditions(
    phase: str,
    inits: Sequence[ContainerRecord],
    mains: Sequence[ContainerRecord],
    *,
    sandboxed: bool,
    previous: Sequence[Object],
    now: str,
) -> list[Object]:
    """The conditions that the node writes for a bound pod; a condition's time changes only with its status."""
    initialized = all(record.succeeded for record in inits)
    unready = [record.name for record in mains if not record.ready]
    completed = phase == "Succeeded"
    ready = not unready and phase == "Running"
    not_ready: tuple[str, str] = ("PodCompleted", "") if completed else ("", "")
    if not ready and not completed:
        not_ready = ("PodFailed", "") if phase == "Failed" else (_NOT_READY, _naming("unready status", unready))
    incomplete = _naming("incomplete status", [record.name for record in inits if not record.succeeded])
    wanted: list[tuple[str, bool, str, str]] = [
        ("PodReadyToStartContainers", sandboxed, "", ""),
        (
            "Initialized",
            initialized,
            "PodCompleted" if completed else "" if initialized else "ContainersNotInitialized",
            "" if initialized else incomplete,
        ),
        ("Ready", ready, *(("", "") if ready else not_ready)),
        ("ContainersReady", ready, *(("", "") if ready else not_ready)),
        ("PodScheduled", True, "", ""),
    ]
    before = {condition["type"]: condition for condition in previous}
    found: list[Object] = []
    for kind, holds, reason, message in wanted:
        status = "True" if holds else "False"
        older = before.get(kind)
        moved = older["lastTransitionTime"] if older and older.get("status") == status else now
        condition: Object = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": moved}
        # None removes the older value: a condition is merged into the existing one of its type.
        found.append(condition | {"reason": reason or None, "message": message or None})
    return found


def pod_status(
    spec: Object,
    inits: Sequence[ContainerRecord],
    mains: Sequence[ContainerRecord],
    *,
    previous: Sequence[Object],
    generation: int | None,
    pod_ip: str,
    host_ip: str,
    start_time: str,
    sandboxed: bool,
    now: str,
    failure: tuple[str, str] | None = None,
) -> Object:
    """The whole status to write. `failure` (reason, message) is the node's own verdict that the pod has failed."""
    phase = "Failed" if failure else phase_of(spec, inits, mains)
    status: Object = {
        "phase": phase,
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "startTime": start_time,
        "observedGeneration": generation,
        "conditions": conditions(phase, inits, mains, sandboxed=sandboxed, previous=previous, now=now),
        "containerStatuses": [container_status(record) for record in mains],
        "reason": failure[0] if failure else None,
        "message": failure[1] if failure else None,
    }
    if pod_ip:
        status |= {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    if inits:
        status["initContainerStatuses"] = [container_status(record) for record in inits]
    return status


def _naming(what: str, names: Sequence[str]) -> str:
    return f"containers with {what}: [{' '.join(names)}]"
