"""Proves from a Teleport cluster's pods that auth is connected, and that the proxies asked auth late enough."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from time import sleep
from typing import Any

import yaml

from components.expiry import read_time
from components.teleport_args import PROXY_ANNOTATION
from components.teleport_values import auth_deployment_name
from operations.cluster import Cluster, Document, condition, is_ready, name_of
from operations.findings import Finding, failed, not_proven, passed
from operations.teleport_log import SECONDS_BETWEEN_COMPLAINTS, is_good_news, is_repeated, is_trouble, last_statement

_CONTAINER = "teleport"
# Enough to reach back to the line that auth logged when it connected, days ago on a quiet cluster.
_LOG_LINES = 50_000


def check_auth(cluster: Cluster, teleport: str, deployment: Document) -> Finding:
    """Whether the last thing that auth logged about the access graph says that it is connected.

    After a complaint, wait until auth has dialled again: TAG's pods may just have been replaced.
    """
    check, statement = f"teleport.{teleport}.auth-connected", f"auth of {teleport} is connected"
    pods = pods_of(cluster, deployment)
    if not pods:
        return failed(check, statement, f"the Deployment {name_of(deployment)} has no pod; look at its events")
    last = {name_of(pod): last_statement(_log(cluster, pod)) for pod in pods}
    over: dict[str, str] = {}
    if any(map(_may_be_over, last.values())):
        sleep(SECONDS_BETWEEN_COMPLAINTS)
        for pod in pods:
            name = name_of(pod)
            before, since = last[name], last_statement(_log(cluster, pod, since=SECONDS_BETWEEN_COMPLAINTS))
            if since is None and before is not None and _may_be_over(before):
                over[name] = before
            last[name] = since or before
    troubles = [f"{pod}: {line}" for pod, line in last.items() if line and is_trouble(line) and pod not in over]
    connected = [f"{pod}: {line}" for pod, line in last.items() if line and not is_trouble(line)]
    if troubles:
        return failed(check, statement, f"{'; '.join(troubles)}; `python -m operations diagnose` has the cause")
    if connected:
        return passed(check, statement, "; ".join(connected))
    silent = f"{', '.join(last)} has no complaint, and auth logs that it is connected only at level DEBUG"
    said = "".join(f"; the last complaint of {pod} is over: {line}" for pod, line in over.items())
    return not_proven(check, statement, f"the log of {silent}{said}")


def _may_be_over(line: str | None) -> bool:
    """Whether the line is a complaint that auth repeats for as long as the trouble lasts."""
    return line is not None and is_trouble(line) and is_repeated(line)


def check_configuration(
    cluster: Cluster, teleport: str, namespace: str, release: str, expected: Mapping[str, Any] | None, remedy: str
) -> Finding:
    """Whether auth's own `teleport.yaml` has the `expected` section; None means no access graph. `remedy` goes into
    failures."""
    check = f"teleport.{teleport}.configuration"
    statement = f"auth of {teleport} is told of the access graph" if expected else f"auth of {teleport} knows of none"
    name = auth_deployment_name(release)  # the chart gives both the same name
    found = cluster.get("ConfigMap", name, namespace)
    if found is None:
        return failed(check, statement, f"there is no ConfigMap {name} in {namespace}; is the release's name right?")
    try:
        section = (yaml.safe_load(found["data"]["teleport.yaml"]) or {}).get("access_graph")
    except (KeyError, TypeError, AttributeError, yaml.YAMLError):
        return failed(check, statement, f"the ConfigMap {name} has no readable teleport.yaml")
    if not expected:
        if section and section.get("enabled"):
            return failed(check, statement, f"teleport.yaml still says {section}; {remedy}")
        return passed(check, statement, "teleport.yaml has no access_graph that is enabled")
    wrong = {key: (section or {}).get(key) for key in expected if (section or {}).get(key) != expected[key]}
    if wrong:
        return failed(check, statement, f"teleport.yaml says {wrong} where {dict(expected)} belongs; {remedy}")
    return passed(
        check, statement, f"endpoint {expected.get('endpoint')}, ca {expected.get('ca', 'from its own store')}"
    )


def check_proxies(
    cluster: Cluster, teleport: str, auth: Document, proxy: Document, access_graph: Document, content: str
) -> Finding:
    """Proxies ask auth once, when they start, and auth's answer needs TAG: both must have been ready by then.

    content: checksum of what determines the answer now. The program restarts proxies with it as an annotation: a pod
    that carries it has the current answer, even if auth was rolled out again since.
    """
    check = f"teleport.{teleport}.proxies"
    statement = f"each proxy of {teleport} started after auth was ready and the access graph answered"
    pods = pods_of(cluster, proxy)
    if not pods:
        return failed(check, statement, f"the Deployment {name_of(proxy)} has no pod; look at its events")
    auth_since, graph_since = rolled_out(auth), available_since(access_graph)
    if auth_since is None:
        return failed(check, statement, f"the rollout of {name_of(auth)} is not complete; wait, or look at its events")
    if graph_since is None:
        return failed(check, statement, f"{name_of(access_graph)} is not available; look at its events")
    earlier, notes = [], []
    for pod in pods:
        started = started_at(pod)
        if started is None:
            return failed(check, statement, f"{name_of(pod)} does not run; look at its events")
        line = last_statement(_log(cluster, pod))
        # After a node restarts, all pods start at once; a proxy that got its answer later says so in its log.
        answered = bool(line and is_good_news(line))
        follows = (pod["metadata"].get("annotations") or {}).get(PROXY_ANNOTATION) == content
        for what, since, excuse in (
            (name_of(auth), auth_since, "has what auth says of it today" if follows else None),
            (name_of(access_graph), graph_since, "has been answered since" if answered else None),
        ):
            if started < since and excuse:
                notes.append(f", {name_of(pod)} {excuse}")
            elif started < since:
                earlier.append(
                    f"{name_of(pod)} started {started.isoformat()}, before {what} was ready {since.isoformat()}"
                )
        if line and not answered:
            earlier.append(f"{name_of(pod)} says: {line}")
    if earlier:
        kubectl = cluster.kubectl(proxy["metadata"]["namespace"])
        restart = f"{kubectl} rollout restart deployment/{name_of(proxy)}"
        return failed(check, statement, f"{'; '.join(earlier)}; restart them: {restart}")
    first = min(filter(None, map(started_at, pods)))
    return passed(
        check,
        statement,
        f"{len(pods)} started from {first.isoformat()} on; auth was ready {auth_since.isoformat()}, "
        f"the access graph {graph_since.isoformat()}{''.join(notes)}",
    )


def pods_of(cluster: Cluster, deployment: Document) -> list[Document]:
    """The Deployment's pods, without those that are being deleted."""
    labels = deployment["spec"]["selector"].get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    pods = cluster.list("Pod", deployment["metadata"]["namespace"], labels=selector)
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def rolled_out(deployment: Document) -> datetime | None:
    """When the rollout of the Deployment's current template was complete; pods that moved since do not change this."""
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") != "NewReplicaSetAvailable":
        return None
    if deployment["metadata"].get("generation") != deployment.get("status", {}).get("observedGeneration"):
        return None
    return moment(progressing.get("lastUpdateTime"))


def available_since(deployment: Document) -> datetime | None:
    """Since when enough replicas have been ready without interruption."""
    available = condition(deployment, "Available")
    return moment(available.get("lastTransitionTime")) if available.get("status") == "True" else None


def started_at(pod: Document) -> datetime | None:
    """When the main container's current run began."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        if status.get("name") == _CONTAINER and is_ready(pod):
            return moment((status.get("state", {}).get("running") or {}).get("startedAt"))
    return None


def moment(text: str | None) -> datetime | None:
    return read_time(text) if text else None


def _log(cluster: Cluster, pod: Document, *, since: int | None = None) -> str:
    return cluster.logs(name_of(pod), pod["metadata"]["namespace"], _CONTAINER, lines=_LOG_LINES, since=since)
