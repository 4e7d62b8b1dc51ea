"""Whether TAG's namespace has what its pods need, asked of the cluster before an `up`: the state of a namespace that
exists, and the Secrets in it that the stack does not make."""

from __future__ import annotations

from components.settings import ExistingDatabaseSettings, Settings
from operations.checks.given_uri import check_secret_uri
from operations.cluster import Cluster, Document, NotAllowed, condition, secret_data
from operations.findings import Finding, failed, not_proven, passed

# https://kubernetes.io/docs/concepts/security/pod-security-standards/; TAG's pods and our Jobs meet the strictest.
ENFORCE = "pod-security.kubernetes.io/enforce"
STRICTEST = "restricted"


# Conditions of a namespace that is being deleted:
# https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
# Finalizers come first, because the rest waits for them.
_HOLDING = ("NamespaceFinalizersRemaining", "NamespaceContentRemaining", "NamespaceDeletionContentFailure")


def held_by(namespace: Document) -> str | None:
    """What a namespace that is being deleted waits for, in the API server's words; None when it is not being
    deleted."""
    if namespace.get("status", {}).get("phase") != "Terminating":
        return None
    said = (condition(namespace, kind) for kind in _HOLDING)
    return next((str(one["message"]) for one in said if one.get("status") == "True"), "it does not say what for")


def check_existing_namespace(settings: Settings, cluster: Cluster, namespace: Document | None) -> list[Finding]:
    """Checks of a namespace that the stack does not make."""
    name = settings.access_graph.namespace
    check, statement = "access-graph.namespace", f"the namespace {name} exists"
    if namespace is None:
        reason = f"it does not, and accessGraph.createNamespace is false; {cluster.kubectl()} create namespace {name}"
        return [failed(check, statement, reason)]
    if held_by(namespace) is not None:
        return [
            failed(check, statement, "it is being deleted, and takes nothing new; wait until it is gone, then make it")
        ]
    findings = [passed(check, statement, "it does")]
    level = (namespace.get("metadata", {}).get("labels") or {}).get(ENFORCE)
    check, statement = "access-graph.pod-security", f"{name} holds its pods to the {STRICTEST} standard"
    if level == STRICTEST:
        return [*findings, passed(check, statement, f"{ENFORCE}={level}")]
    reason = (
        f"its label {ENFORCE} is {level or 'missing'}: the stack's pods run all the same, but other pods there may run "
        f"with more rights; {cluster.kubectl()} label namespace {name} --overwrite {ENFORCE}={STRICTEST}"
    )
    return [*findings, not_proven(check, statement, reason)]


def check_foreign_secrets(settings: Settings, cluster: Cluster) -> list[Finding]:
    """The Secrets that somebody else must put into the namespace, except the certificate's. Raises `ClusterError`."""
    graph, database = settings.access_graph, settings.database
    findings = [
        _secret(f"access-graph.pull-secret.{name}", name, ".dockerconfigjson", graph.namespace, cluster)[0]
        for name in graph.image_pull_secrets
    ]
    if isinstance(database, ExistingDatabaseSettings) and database.secret is not None:
        name, key = database.secret.name, database.secret.key
        there, uri = _secret("access-graph.database-secret", name, key, graph.namespace, cluster, needed=graph.enabled)
        findings.append(there)
        if uri is not None:
            findings.append(check_secret_uri(uri, database))
    return findings


def _secret(
    check: str, name: str, key: str, namespace: str, cluster: Cluster, *, needed: bool = True
) -> tuple[Finding, bytes | None]:
    """Whether the Secret has the key, and its value. `needed`: whether pods of this `up` ask for it."""
    statement = f"Secret {name} has the key {key}"
    try:
        found = cluster.get("Secret", name, namespace)
    except NotAllowed as error:
        return not_proven(check, statement, str(error)), None
    if found is None and not needed:
        reason = (
            f"there is no Secret {name} in {namespace} yet, and nothing needs it while accessGraph.enabled is false; "
            "make it before you set that to true"
        )
        return not_proven(check, statement, reason), None
    if found is None:
        return failed(check, statement, f"there is no Secret {name} in {namespace}, and pods wait for it in vain"), None
    data = secret_data(found)
    if key not in data:
        keys = ", ".join(sorted(data)) or "none"
        return failed(check, statement, f"its keys are: {keys}; pods that ask for another one do not start"), None
    return passed(check, statement, "it has"), data[key]
