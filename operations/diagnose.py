"""`diagnose`: maps logs, events and objects to their cause and the remedy. Reads only.

Collects the lines; `symptoms` has the table. Proofs that something works are in `verify`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from components.settings import (
    CertManagerTlsSettings,
    ManualTeleportSettings,
    ReleaseTeleportSettings,
    Settings,
    service_name,
)
from components.settings.names import CERT_MANAGER_API_VERSION, ISSUED_CERTIFICATE_NAME
from components.teleport_values import access_graph_section, auth_deployment_name, proxy_deployment_name
from operations.checks.certificate_source import issuer_of
from operations.checks.namespace import held_by
from operations.checks.teleport import available_since, pods_of, rolled_out
from operations.checks.values import given_again
from operations.cluster import Cluster, ClusterError, Document, NotAllowed, condition, name_of, place_of
from operations.events import about, first_seen, last_seen, said_by, warnings
from operations.helm_releases import (
    PENDING,
    TAKEN_AWAY,
    UNSETTLED,
    DamagedRecord,
    HelmRelease,
    failed_upgrade,
    installed_again,
    list_revisions,
)
from operations.ownership import connect_to_read
from operations.preview.scrub import scrub
from operations.symptoms import MISSED, OBJECT_SYMPTOMS, SYMPTOMS, Symptom
from operations.teleport_log import SECONDS_BETWEEN_COMPLAINTS, since_good_news

# Characters. One log line may be a whole document.
LONGEST_EVIDENCE = 300
# The engine compares a release's values, and Helm's record has the right ones: not even a refresh sees that an object
# is missing.
_DELETED = "somebody deleted it: Helm's record still has it, so an `up` finds nothing to change"
# Stands in for the time of an event that has none.
_NEVER = datetime.min.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Diagnosis:
    """A symptom that was found, with one line of evidence."""

    where: str
    evidence: str
    cause: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one Helm release runs, and what is known of it."""

    context: str
    namespace: str
    release: str
    entry: str | None  # the configuration key whose values the stack gives it; None when somebody else owns the release
    deployments: Sequence[tuple[str, str]]  # name and role
    maker: str | None  # who makes a missing Deployment; None for an adopted release, which `recover` and Helm reinstall


def _places(settings: Settings) -> Iterator[_Place]:
    graph, engine = settings.access_graph, "`up --refresh` makes it"
    yield _Place(
        context=settings.kubernetes.context,
        namespace=graph.namespace,
        release=graph.release,
        entry="accessGraph",
        deployments=[(service_name(graph.release), "access-graph")],
        maker=engine,
    )
    for name, entry in settings.teleport.items():
        if isinstance(entry, ManualTeleportSettings):
            continue
        maker: str | None = "the release's owner makes it"
        if isinstance(entry, ReleaseTeleportSettings):
            maker = None if entry.adopt else engine
        yield _Place(
            context=settings.kubernetes_of(name).context,
            namespace=entry.namespace,
            release=entry.release,
            entry=f"teleport.{name}" if isinstance(entry, ReleaseTeleportSettings) else None,
            deployments=[
                (auth_deployment_name(entry.release), "auth"),
                (proxy_deployment_name(entry.release), "proxy"),
            ],
            maker=maker,
        )


def diagnose_stack(settings: Settings, connect: Callable[[str], Cluster]) -> list[Diagnosis]:
    """Everything that is known to be wrong with a stack's access graph and its Teleport clusters."""
    found: list[Diagnosis] = []
    for place in _places(settings):
        namespace, release = place.namespace, place.release
        try:
            cluster = connect_to_read(settings, connect, place.context)
            found += diagnose_namespace(cluster.get("Namespace", namespace))
            helm = cluster.helm(namespace)
            revisions, unread = _revisions(cluster, namespace, release)
            found += [unread] if unread else diagnose_release(helm, release, revisions, place.entry)
            unissued = diagnose_certificate(settings, cluster) if place.entry == "accessGraph" else []
            found += unissued
            failed = failed_upgrade(revisions)
            if failed is not None and _was_cancelled(failed):
                failed = None  # nothing that its pods said was the reason
            if place.entry != "accessGraph" or settings.access_graph.enabled:
                found += diagnose_recorded_objects(cluster, revisions, place.deployments)
            for name, role in place.deployments:
                deployment = cluster.get("Deployment", name, namespace)
                if deployment is not None:
                    found += diagnose_deployment(cluster, deployment, role, failed)
                elif revisions and revisions[-1].status in TAKEN_AWAY:
                    continue  # the release's diagnosis tells it
                elif role == "access-graph" and (not settings.access_graph.enabled or (unissued and not revisions)):
                    continue  # it is switched off, or its release waits for the certificate
                elif unread:
                    cause = "it was never made, or somebody deleted it: the records that would tell cannot be read"
                    remedy = "look at this again once they can"
                    found.append(Diagnosis(f"Deployment {name} in {namespace}", "does not exist", cause, remedy))
                else:
                    way = place.maker or f"`recover`, {installed_again(helm, release)}"
                    said = [] if revisions else diagnose_taken_back(cluster, name, namespace, role)
                    missing = _missing(name, namespace, f"{helm} rollback {release}", revisions, way, bool(said))
                    found += [*said, missing]
        except ClusterError as error:
            cause = "the cluster does not answer, refuses, or is not the stack's"
            one = Diagnosis(f"context {place.context}", str(error), cause, "check the kubeconfig and your rights")
            if one not in found:  # TAG and Teleport are often in one cluster
                found.append(one)
    return found


def _revisions(cluster: Cluster, namespace: str, release: str) -> tuple[list[HelmRelease], Diagnosis | None]:
    """Helm's records, or a diagnosis of why they cannot be read: pods and events are examined without them."""
    where = f"release {release} in {namespace}"
    try:
        return list_revisions(cluster, namespace, release), None
    except DamagedRecord as error:
        cause = "something cut off or overwrote Helm's record of a revision"
        return [], Diagnosis(where, error.problem, cause, error.remedy)
    except NotAllowed as error:
        cause = "whether an upgrade failed or was killed is not known: Helm's records are Secrets"
        return [], Diagnosis(where, str(error), cause, "use a context that may read Secrets there")


def diagnose_recorded_objects(
    cluster: Cluster, revisions: Sequence[HelmRelease], deployments: Sequence[tuple[str, str]]
) -> list[Diagnosis]:
    """Objects of the release that runs and that do not exist. `deployments` are left out: they are examined by
    themselves."""
    if not revisions or revisions[-1].status != "deployed":
        return []
    last, found = revisions[-1], []
    back = f"{cluster.helm(last.namespace)} rollback {last.name} {last.revision} --wait"
    for document in last.objects:
        kind, name = str(document.get("kind")), name_of(document)
        # A Job may have been deleted after its end, by its ttlSecondsAfterFinished.
        if kind == "Job" or (kind == "Deployment" and name in dict(deployments)):
            continue
        if cluster.exists(document, last.namespace) is False:
            place = place_of(document, last.namespace)
            found.append(Diagnosis(f"{kind} {name}{f' in {place}' if place else ''}", "does not exist", _DELETED, back))
    return found


def _missing(
    deployment: str, namespace: str, back: str, revisions: Sequence[HelmRelease], way: str, taken_back: bool
) -> Diagnosis:
    """A Deployment that does not exist. `back`: the command that restores a Helm revision, without its number; `way`:
    how to make it anew; `taken_back`: it existed, and another diagnosis says why it did not get ready."""
    where, evidence = f"Deployment {deployment} in {namespace}", "does not exist"
    if taken_back:
        cause = "Helm removed it again because it did not get ready, or somebody uninstalled its release"
        return Diagnosis(where, evidence, cause, f"{way}, once the causes found for its pods are corrected")
    if not revisions or revisions[-1].status != "deployed":
        cause = f"it was never made, or is of a release that {namespace} does not have"
        return Diagnosis(where, evidence, cause, f"{way}, if namespace and release are right")
    return Diagnosis(where, evidence, _DELETED, f"{back} {revisions[-1].revision} --wait")


def diagnose_namespace(namespace: Document | None) -> list[Diagnosis]:
    """A namespace that is being deleted, by somebody or by a `destroy` that ended before the deletion did."""
    held = held_by(namespace) if namespace is not None else None
    if namespace is None or held is None:
        return []
    cause = "the namespace is being deleted: it takes nothing new, and waits until what is in it is gone"
    remedy = (
        "let the controller whose finalizer is named finish; if there is none any more, take it out of the object: "
        """kubectl patch <object> --type merge --patch '{"metadata": {"finalizers": null}}'; then `up --refresh`"""
    )
    return [Diagnosis(f"namespace {name_of(namespace)}", held, cause, remedy)]


def diagnose_certificate(settings: Settings, cluster: Cluster) -> list[Diagnosis]:
    """Why cert-manager has not issued TAG's certificate, or cannot renew it: an `up` only says that it waited."""
    tls, namespace = settings.tls, settings.access_graph.namespace
    if not isinstance(tls, CertManagerTlsSettings):
        return []
    certificate = cluster.get_custom(CERT_MANAGER_API_VERSION, "certificates", ISSUED_CERTIFICATE_NAME, namespace)
    if certificate is None:
        return []
    where = f"Certificate {ISSUED_CERTIFICATE_NAME} in {namespace}"
    issuing, ready = condition(certificate, "Issuing"), condition(certificate, "Ready")
    renew = f"`cmctl renew {ISSUED_CERTIFICATE_NAME} --namespace {namespace}`"
    if issuing.get("status") == "False":
        cause = "its issuer did not sign: cert-manager asks again after an hour, and doubles the wait at each refusal"
        remedy = f"correct what the message names; {renew} asks at once; then `up`"
        return [Diagnosis(where, _quoted(f"{issuing.get('reason', '')}: {issuing.get('message', '')}"), cause, remedy)]
    if ready.get("status") == "True":
        return []
    found = issuer_of(tls, namespace, cluster)
    if found is not None and condition(found[1] or {}, "Ready").get("status") != "True":
        name, issuer = found
        said = condition(issuer, "Ready").get("message") or "says nothing" if issuer else "does not exist"
        remedy = "correct what it names, or tls.issuer; then `up`"
        return [Diagnosis(name, _quoted(said), "the certificate's issuer is not ready, so nothing is issued", remedy)]
    cause = "cert-manager has not issued it"
    remedy = (
        f"{cluster.kubectl(namespace)} describe certificaterequests says what it waits for; correct that, then `up`"
    )
    return [Diagnosis(where, _quoted(str(ready.get("message") or "says nothing")), cause, remedy)]


def diagnose_deployment(
    cluster: Cluster, deployment: Document, role: str, failed: HelmRelease | None = None
) -> list[Diagnosis]:
    """What the pods' logs, states and events tell of a Deployment; each cause once, with its latest line.

    `failed` is an upgrade that Helm gave up: its pods are gone, and only the events about them tell the reason.
    """
    namespace = deployment["metadata"]["namespace"]
    itself, kubectl = f"Deployment {name_of(deployment)} in {namespace}", cluster.kubectl(namespace)
    if deployment["spec"].get("replicas") == 0:
        cause = "somebody scaled it to no pod: Helm's record has more, so an `up` finds nothing to change"
        remedy = f"{kubectl} scale deployment/{name_of(deployment)} --replicas=<as many as its values say>"
        return [Diagnosis(itself, "spec.replicas is 0", cause, remedy)]
    found: dict[str, Diagnosis] = {}
    pods, lacking = pods_of(cluster, deployment), _lacking(deployment)
    for pod in pods:
        for where, line, current in _lines(cluster, pod):
            _match(SYMPTOMS, role, where, line, found, current=current)
        for where, line in _states(pod):
            _match(OBJECT_SYMPTOMS, role, where, line, found)
    # Earlier events are over: since then the rollout was complete, or enough pods were available.
    well = [at for at in (rolled_out(deployment), available_since(deployment)) if at is not None]
    since = max(well, default=None) if failed is None else _beginning(failed)
    names = {name_of(deployment), *map(name_of, pods)}
    unknown, of = "", ""
    # By time, so that the latest line of each cause is kept: the server sorts them by name.
    for event in sorted(warnings(cluster.list("Event", namespace), names), key=lambda one: last_seen(one) or _NEVER):
        at = last_seen(event)
        if since is not None and at is not None and at < since:
            continue
        where, line = said_by(event)
        if failed is None and _is_there_again(cluster, namespace, line):
            continue
        if not _match(OBJECT_SYMPTOMS, role, where, line, found):
            unknown, of = _quoted(line), where
    if found:
        return [*found.values()]
    if failed is not None and unknown:
        cause = f"the cluster said this of a pod while revision {failed.revision} was being rolled out"
        return [Diagnosis(of, unknown, cause, "correct what it names, then `up`")]
    if lacking is not None:
        cause = "it has too few ready pods, and no log or event has a symptom that is known here"
        evidence = "; ".join(filter(None, [lacking, unknown]))
        return [Diagnosis(itself, evidence, cause, f"{kubectl} describe pods, and their logs; correct what they name")]
    return []


def _is_there_again(cluster: Cluster, namespace: str, line: str) -> bool:
    """Whether what the event misses has been made since: a pod that runs mounts it again without a rollout."""
    missed = re.search(MISSED, line, re.IGNORECASE)
    if missed is None:
        return False
    kind = {"secret": "Secret", "configmap": "ConfigMap"}[missed[1].lower()]
    return bool(cluster.exists({"apiVersion": "v1", "kind": kind, "metadata": {"name": missed[2]}}, namespace))


def diagnose_taken_back(cluster: Cluster, deployment: str, namespace: str, role: str) -> list[Diagnosis]:
    """Why an installation did not get ready. Helm removes everything it installed, but the events about its pods stay
    for an hour."""
    events = cluster.list("Event", namespace)
    scaled = [event for event in events if about(event) == deployment and event.get("reason") == "ScalingReplicaSet"]
    begun = max((at for at in map(last_seen, scaled) if at is not None), default=None)
    if begun is None:
        return []
    found: dict[str, Diagnosis] = {}
    where, line = "", ""
    # The first event of a kind has the reason: during the removal, pods miss what was deleted before them.
    for event in sorted(warnings(events, {deployment}), key=lambda one: first_seen(one) or begun):
        if (last_seen(event) or begun) >= begun:
            where, line = said_by(event)
            of_this: dict[str, Diagnosis] = {}
            _match(OBJECT_SYMPTOMS, role, where, line, of_this)
            found = of_this | found
    if not found and line:
        cause = "the cluster said this last of the pods of a release that Helm has since removed"
        remedy = "correct what it names; the pods' logs are gone with them: ask again while the next `up` waits"
        return [Diagnosis(where, _quoted(line), cause, remedy)]
    return [*found.values()]


def _lacking(deployment: Document) -> str | None:
    """The Deployment's complaint about pods that are missing or not ready; None when it has enough."""
    for kind, bad in (("ReplicaFailure", "True"), ("Available", "False"), ("Progressing", "False")):
        said = condition(deployment, kind)
        if said.get("status") == bad:
            return _quoted(f"{said.get('reason', kind)}: {said.get('message', '')}")
    return None


def diagnose_release(helm: str, release: str, revisions: Sequence[HelmRelease], entry: str | None) -> list[Diagnosis]:
    """What Helm's revisions tell. `helm` begins a command for the release's namespace; `entry` is the configuration key
    whose values the stack gives it, None when somebody else owns it."""
    if not revisions:
        return []
    last, where = revisions[-1], f"release {release}"
    evidence = f"revision {last.revision} is {last.status}"
    if last.status in PENDING:
        cause = "an upgrade was killed: Helm answers `another operation is in progress` to every other"
        return [Diagnosis(where, evidence, cause, "`recover` rolls it back")]
    if last.status in TAKEN_AWAY:
        cause = (
            "an uninstall was killed, or kept Helm's record: no `up` sees that it is gone, and Helm cannot upgrade it"
        )
        remedy = f"`recover` completes its removal where nothing is lost by that, then `up`; {helm} rollback {release} "
        return [Diagnosis(where, evidence, cause, f"{remedy}{last.revision} --wait brings it back")]
    failed = failed_upgrade(revisions)
    if failed is None:
        return _gone_back(helm, release, revisions, entry) if entry is not None else []
    said = f": {scrub(failed.description)}" if failed.description else ""
    remedy = f"`{helm} history {release}` has all; correct what is below, then `up`"
    how = "failed"
    if _was_cancelled(failed):
        how, remedy = "was cancelled with the `up`", "`up` again"
    if failed is last:
        cause = f"the last upgrade {how}; Helm compares the next one with the revision before it"
        return [Diagnosis(where, f"{evidence}{said}", cause, remedy)]
    cause = f"the last upgrade {how}, and Helm rolled it back: what ran before runs again"
    evidence = f"revision {failed.revision} failed{said}; revision {last.revision}: {last.description}"
    return [Diagnosis(where, evidence, cause, remedy)]


def _was_cancelled(failed: HelmRelease) -> bool:
    """Whether somebody, or a CI system, interrupted the `up`: the plugin then cancels Helm's context."""
    return failed.description.endswith("context canceled")


def _gone_back(helm: str, release: str, revisions: Sequence[HelmRelease], entry: str) -> list[Diagnosis]:
    """Whether somebody rolled a release of the stack's back to other values, or another chart, by hand.

    A rollback to the running revision is a repair: Helm remakes what was edited or deleted behind its back.
    """
    if len(revisions) == 1 or not revisions[-1].description.startswith("Rollback"):
        return []
    before, last = revisions[-2:]
    if before.status in UNSETTLED or (before.chart_version, before.values) == (last.chart_version, last.values):
        return []
    if entry != "accessGraph" and not any(access_graph_section(one.values) for one in (before, last)):
        return []  # its owner rolled it back, before the stack adopted it
    cause = (
        f"somebody rolled it back from revision {before.revision} by hand, and a plain `up` does not see that: it "
        "compares with what it last set itself"
    )
    remedy = f"`{helm} history {release}` has both; to set again what the stack last set, {given_again(entry)}"
    return [Diagnosis(f"release {release}", f"revision {last.revision}: {last.description}", cause, remedy)]


def _beginning(failed: HelmRelease) -> datetime | None:
    """When the upgrade began, less a second: events have whole seconds."""
    return None if failed.began is None else failed.began - timedelta(seconds=1)


def _match(
    symptoms: Sequence[Symptom],
    role: str,
    where: str,
    line: str,
    found: dict[str, Diagnosis],
    *,
    current: bool = True,
) -> bool:
    """Whether a symptom fits the line; it is then added to `found`. `current`: the line is recent, so a repeated
    complaint still holds."""
    for symptom in symptoms:
        if symptom.fits(role, line):
            if symptom.repeated and not current:
                return False
            found[symptom.cause] = Diagnosis(where, _quoted(line), symptom.cause, symptom.remedy)
            return True
    return False


def _quoted(line: str) -> str:
    """The line as evidence. Secrets are removed before the cut, which might leave half of one."""
    return scrub(line.strip())[:LONGEST_EVIDENCE]


def _lines(cluster: Cluster, pod: Document) -> Iterator[tuple[str, str, bool]]:
    """Where, line and whether it is current, for each line of the pod's logs; for a container that is down, of its last
    run."""
    name, namespace = name_of(pod), pod["metadata"]["namespace"]
    for status in pod.get("status", {}).get("containerStatuses") or []:
        container, down = status["name"], "running" not in (status.get("state") or {})
        try:
            text = cluster.logs(name, namespace, container, previous=down and bool(status.get("restartCount")))
            recent = "" if down else cluster.logs(name, namespace, container, since=SECONDS_BETWEEN_COMPLAINTS)
        except ClusterError:
            continue  # the node may be gone; the events tell that
        for line in since_good_news(text):
            yield f"log of {name}", line, down
        for line in since_good_news(recent):
            yield f"log of {name}", line, True


def _states(pod: Document) -> Iterator[tuple[str, str]]:
    status = pod.get("status", {})
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        ended = (one.get("lastState") or {}).get("terminated") or {}
        for state in (waiting, ended):
            if state.get("reason"):
                yield f"container {one['name']} of {name_of(pod)}", f"{state['reason']}: {state.get('message', '')}"
