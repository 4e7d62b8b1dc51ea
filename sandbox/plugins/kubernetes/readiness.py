"""When an object of a kind counts as ready, and what is reported until then.

Owns the rules, which are the official plugin's; `waiting.py` applies them until time is up.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.plugins.kubernetes.connection import ApiError, ApiServer
from sandbox.plugins.kubernetes.inputs import name_of, namespace_of
from sandbox.plugins.kubernetes.schema import Kind, kind_of

REVISION: Final = "deployment.kubernetes.io/revision"
EVENTS_SHOWN: Final = 3  # per object: a crash loop repeats itself


@dataclass(frozen=True)
class Progress:
    """`failed`: can no longer become ready. `note` says what is awaited, `problems` what stands in the way."""

    ready: bool
    note: str = ""
    failed: bool = False
    problems: tuple[str, ...] = ()


Rule = Callable[[ApiServer, Mapping[str, Any]], Progress]
READY: Final = Progress(ready=True)


def conditions(value: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {str(item.get("type")): item for item in (value.get("status") or {}).get("conditions") or []}


def is_true(value: Mapping[str, Any], condition: str) -> bool:
    return conditions(value).get(condition, {}).get("status") == "True"


def _reason(condition: Mapping[str, Any]) -> str:
    return f"[{condition.get('reason', 'unknown')}] {condition.get('message', '')}".rstrip()


def conditional(wanted: str) -> Rule:
    """The rule for the annotation `waitFor`: `condition=<type>` (status True) or `condition=<type>=<status>`.

    Raises `ValueError` for any other expression; this plugin does not support `jsonpath=`.
    """
    keyword, _, rest = wanted.partition("=")
    type_, _, status = rest.partition("=")
    if keyword != "condition" or not type_:
        raise ValueError(f"{wanted!r} is no condition=<type> or condition=<type>=<status>")
    expected = status or "True"

    def rule(server: ApiServer, live: Mapping[str, Any]) -> Progress:
        found = next((one for name, one in conditions(live).items() if name.lower() == type_.lower()), None)
        note = f"Waiting for condition {type_}={expected}"
        if found is None:
            return Progress(False, note)
        generation = (live.get("metadata") or {}).get("generation", 0)
        seen = found.get("observedGeneration", (live.get("status") or {}).get("observedGeneration", generation))
        # A condition of an older generation describes what was requested before.
        if seen >= generation and str(found.get("status")).lower() == expected.lower():
            return READY
        return Progress(False, note, problems=(_reason(found),))

    return rule


def job(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    status = live.get("status") or {}
    if is_true(live, "Complete"):
        return READY
    counts = ", ".join(f"{key}: {status.get(key, 0)}" for key in ("active", "succeeded", "failed"))
    note = f'Waiting for Job "{namespace_of(live)}/{name_of(live)}" to succeed ({counts})'
    if is_true(live, "Failed"):
        return Progress(False, note, failed=True, problems=(_reason(conditions(live)["Failed"]),))
    return Progress(False, note)


def job_problems(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    """What a Job's pods report, and the events of the pods and of the Job itself."""
    selector = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return [*pod_problems(server, namespace_of(live), selector), *events(server, live, "Job")]


def deployment(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    status = live.get("status") or {}
    metadata = live.get("metadata") or {}
    if status.get("observedGeneration") != metadata.get("generation"):
        return Progress(False, "Waiting for the Deployment controller to see the change")
    found = conditions(live)
    problems = tuple(
        _reason(found[name]) for name in ("Progressing", "Available") if name in found and not is_true(live, name)
    )
    revision = (metadata.get("annotations") or {}).get(REVISION)
    rolled_out = is_true(live, "Progressing") and found["Progressing"].get("reason") == "NewReplicaSetAvailable"
    current = _current_replica_set(server, live, revision)
    wanted = (current.get("spec") or {}).get("replicas", 1)
    ready = (current.get("status") or {}).get("readyReplicas", 0)
    # The first revision is not a roll-out: its Progressing condition may lag behind.
    if current and ready >= wanted and is_true(live, "Available") and (rolled_out or revision == "1"):
        return READY
    return Progress(
        False, f"Waiting for app ReplicaSet to be available ({ready}/{wanted} Pods available)", False, problems
    )


def deployment_problems(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    current = _current_replica_set(server, live, ((live.get("metadata") or {}).get("annotations") or {}).get(REVISION))
    selector = ((current.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    found = pod_problems(server, namespace_of(live), selector) if current else []
    return ["Minimum number of Pods to consider the application live was not attained", *found] + (
        events(server, current, "ReplicaSet") if current else []
    )


def _current_replica_set(server: ApiServer, live: Mapping[str, Any], revision: str | None) -> Mapping[str, Any]:
    kind = kind_of("apps/v1", "ReplicaSet")
    assert kind is not None
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    for replica_set in server.list_objects(kind, namespace_of(live), labelSelector=_selector(labels)):
        metadata = replica_set["metadata"]
        owners = {owner.get("uid") for owner in metadata.get("ownerReferences") or []}
        if live["metadata"]["uid"] in owners and (metadata.get("annotations") or {}).get(REVISION) == revision:
            return replica_set
    return {}


def stateful_set(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    status, wanted = live.get("status") or {}, (live.get("spec") or {}).get("replicas", 1)
    seen = status.get("observedGeneration") == live["metadata"].get("generation")
    done = status.get("currentRevision") == status.get("updateRevision")
    ready = status.get("readyReplicas", 0)
    if seen and done and ready >= wanted:
        return READY
    return Progress(False, f"Waiting for StatefulSet to create Pods ({ready}/{wanted} Pods ready)")


def daemon_set(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    status = live.get("status") or {}
    seen = status.get("observedGeneration") == live["metadata"].get("generation")
    wanted, updated = status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0)
    available = status.get("numberAvailable", 0)
    if seen and updated >= wanted and available >= wanted:
        return READY
    return Progress(False, f"Waiting for DaemonSet to be available ({available}/{wanted} Pods available)")


def replicated_problems(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    selector = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return [*pod_problems(server, namespace_of(live), selector), *events(server, live, str(live.get("kind")))]


def pod(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    phase = (live.get("status") or {}).get("phase")
    if phase == "Succeeded" or (phase == "Running" and is_true(live, "Ready")):
        return READY
    return Progress(
        False, f'Waiting for Pod "{namespace_of(live)}/{name_of(live)}" to be ready', failed=phase == "Failed"
    )


def own_pod_problems(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    return _describe_pod(server, live)


def service(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    spec = live.get("spec") or {}
    kind = spec.get("type", "ClusterIP")
    if kind == "LoadBalancer" and not ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
        return Progress(False, "Waiting for a load balancer to assign an address")
    # Without a selector somebody else manages the endpoints; a headless Service may stand for pods yet to come.
    if kind == "ExternalName" or not spec.get("selector") or spec.get("clusterIP") == "None":
        return READY
    slices = _endpoint_slices(server, live)
    ready = any(
        (endpoint.get("conditions") or {}).get("ready", True)
        for part in slices
        for endpoint in part.get("endpoints") or []
    )
    return READY if ready else Progress(False, "Waiting for the Service to find at least one ready Pod")


def _endpoint_slices(server: ApiServer, live: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace_of(live)}/endpointslices"
    answer = server.request("GET", path, {"labelSelector": f"kubernetes.io/service-name={name_of(live)}"})
    return list(answer.get("items") or [])


def service_problems(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    return [service(server, live).note]


def claim(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    phase = (live.get("status") or {}).get("phase")
    storage = (live.get("spec") or {}).get("storageClassName")
    kind = kind_of("storage.k8s.io/v1", "StorageClass")
    assert kind is not None
    wanted = "Bound"
    if storage:
        try:
            if server.get(kind, "", storage).get("volumeBindingMode") == "WaitForFirstConsumer":
                wanted = "Pending"
        except ApiError as error:
            if not error.not_found:
                raise
    return READY if phase in (wanted, "Bound") else Progress(False, f"Waiting for the claim to be {wanted.lower()}")


def volume(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    phase = (live.get("status") or {}).get("phase")
    return READY if phase in ("Available", "Bound") else Progress(False, "Waiting for the volume to be available")


def ingress(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    assigned = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return READY if assigned else Progress(False, "Waiting for the Ingress controller to assign an address")


def service_account_token(server: ApiServer, live: Mapping[str, Any]) -> Progress:
    waits = live.get("type") == "kubernetes.io/service-account-token" and not live.get("data")
    return Progress(False, "Waiting for the token to be issued") if waits else READY


@dataclass(frozen=True)
class Readiness:
    """`problems` is called only when waiting has ended without success, because it costs requests."""

    rule: Rule
    problems: Callable[[ApiServer, Mapping[str, Any]], list[str]] = lambda server, live: []


BY_KIND: Final = {
    "apps/v1/DaemonSet": Readiness(daemon_set, replicated_problems),
    "apps/v1/Deployment": Readiness(deployment, deployment_problems),
    "apps/v1/StatefulSet": Readiness(stateful_set, replicated_problems),
    "batch/v1/Job": Readiness(job, job_problems),
    "networking.k8s.io/v1/Ingress": Readiness(ingress),
    "v1/PersistentVolume": Readiness(volume),
    "v1/PersistentVolumeClaim": Readiness(claim),
    "v1/Pod": Readiness(pod, own_pod_problems),
    "v1/Secret": Readiness(service_account_token),
    "v1/Service": Readiness(service, service_problems),
}


def readiness_of(kind: Kind, wanted: str | None) -> Readiness | None:
    """`wanted` is the annotation `waitFor`: one expression or a JSON list of them. It overrides the kind's own rule.

    Raises `ValueError` for an expression that cannot be read.
    """
    if wanted is None:
        return BY_KIND.get(kind.key)
    rules = [conditional(one) for one in (json.loads(wanted) if wanted.startswith("[") else [wanted])]

    def rule(server: ApiServer, live: Mapping[str, Any]) -> Progress:
        return next((found for found in (one(server, live) for one in rules) if not found.ready), READY)

    return Readiness(rule, lambda server, live: events(server, live, kind.name))


def pod_problems(server: ApiServer, namespace: str, labels: Mapping[str, str]) -> list[str]:
    """One line per container that waits or has failed, and the warnings about its pod."""
    kind = kind_of("v1", "Pod")
    assert kind is not None
    if not labels:
        return []
    pods = server.list_objects(kind, namespace, labelSelector=_selector(labels))
    return [line for found in pods for line in _describe_pod(server, {**found, "kind": "Pod"})]


def _describe_pod(server: ApiServer, live: Mapping[str, Any]) -> list[str]:
    status = live.get("status") or {}
    if status.get("phase") == "Succeeded" or is_true(live, "Ready"):
        return []
    name = f"{namespace_of(live)}/{name_of(live)}"
    lines = []
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        for state in (container.get("state") or {}, container.get("lastState") or {}):
            waiting, ended = state.get("waiting"), state.get("terminated")
            if waiting:
                said = ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
                lines.append(f"[Pod {name}]: container {container['name']} is waiting: {said or 'no reason given'}")
            elif ended and ended.get("exitCode"):
                said = " ".join(str(ended.get("message") or ended.get("reason") or "").split())
                lines.append(
                    f"[Pod {name}]: container {container['name']} ended with exit code {ended['exitCode']}"
                    + (f": {said}" if said else "")
                )
    scheduled = conditions(live).get("PodScheduled", {})
    if scheduled.get("status") == "False":
        lines.append(f"[Pod {name}]: {_reason(scheduled)}")
    return [*lines, *events(server, live, "Pod")]


def events(server: ApiServer, live: Mapping[str, Any], kind: str) -> list[str]:
    """The newest warnings about an object."""
    event_kind = kind_of("v1", "Event")
    assert event_kind is not None
    selector = f"involvedObject.uid={live['metadata']['uid']},type=Warning"
    found = server.list_objects(event_kind, namespace_of(live), fieldSelector=selector)
    found.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    said = [
        f"[{kind} {namespace_of(live)}/{name_of(live)}]: {event.get('reason')}: {event.get('message')}"
        for event in found
    ]
    return list(dict.fromkeys(said))[-EVENTS_SHOWN:]


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
