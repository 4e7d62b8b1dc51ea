"""Whether the source that `tls.mode` names can supply TAG's certificate, asked of the cluster before an `up`."""

from __future__ import annotations

from datetime import datetime

from components.settings import CertManagerTlsSettings, ExistingIssuerSettings, ExistingSecretTlsSettings, Settings
from components.settings.names import (
    CERT_MANAGER_API_VERSION,
    CERT_MANAGER_GROUP,
    ISSUED_CERTIFICATE_NAME,
    ISSUED_SECRET_NAME,
    STACKS_ISSUER_NAME,
)
from operations.checks.certificate import authority_problem, check_issued, check_pair
from operations.cluster import Cluster, Document, NotAllowed, condition, secret_data
from operations.findings import Finding, failed, not_proven, passed

# Only kinds of cert-manager's own group. The namespace of a ClusterIssuer's Secrets depends on how its controller runs.
_PLURALS = {"Issuer": "issuers", "ClusterIssuer": "clusterissuers"}


def dialled_names(settings: Settings) -> list[str]:
    """The hosts that connected Teleports dial; TAG's own service name when no Teleport is connected yet."""
    hosts = [
        settings.endpoint_of(cluster).rpartition(":")[0]
        for cluster, entry in settings.teleport.items()
        if entry.connected
    ]
    return list(dict.fromkeys(hosts)) or [settings.service_host]


def check_source(settings: Settings, cluster: Cluster, *, trust: str | None, now: datetime) -> list[Finding]:
    """`trust` is the PEM of `tls.trustBundleFile`. Raises `ClusterError`."""
    tls = settings.tls
    if isinstance(tls, CertManagerTlsSettings):
        return _cert_manager(settings, tls, cluster, trust if tls.trust == "bundle" else None, now)
    if isinstance(tls, ExistingSecretTlsSettings):
        return _secret(settings, tls.secret_name, cluster, trust, now)
    return []


def _cert_manager(
    settings: Settings, tls: CertManagerTlsSettings, cluster: Cluster, trust: str | None, now: datetime
) -> list[Finding]:
    namespace = settings.access_graph.namespace
    check, statement = "certificate.definitions", "cert-manager is in the cluster"
    if not cluster.serves(CERT_MANAGER_API_VERSION, "Certificate"):
        return [
            failed(
                check, statement, f"there is no Certificate of {CERT_MANAGER_API_VERSION}; install cert-manager first"
            )
        ]
    findings = [passed(check, statement, f"it serves {CERT_MANAGER_API_VERSION}")]
    try:
        findings.append(_issuer(tls, namespace, cluster, trust, now))
    except NotAllowed as error:
        return [*findings, not_proven("certificate.issuer", "the issuer can be looked at", str(error))]
    if trust is None or not settings.access_graph.enabled:
        return findings
    try:
        issued = secret_data(cluster.get("Secret", ISSUED_SECRET_NAME, namespace)).get("tls.crt")
    except NotAllowed as error:
        return [*findings, not_proven("certificate.chain", f"Secret {ISSUED_SECRET_NAME} can be read", str(error))]
    if issued:
        where = f"Secret {ISSUED_SECRET_NAME}"
        findings.append(check_issued(issued, trust=trust, now=now, where=where, remedy=_BOTH.format(namespace)))
    return findings


_BOTH = (
    "cert-manager does not re-issue a certificate because its issuer has another authority: trust both authorities, "
    f"run `cmctl renew {ISSUED_CERTIFICATE_NAME} --namespace {{}}`, and drop the old one when TAG has restarted; "
    "if the Secret is left from an earlier time and nothing serves it, delete it"
)


def issuer_of(tls: CertManagerTlsSettings, namespace: str, cluster: Cluster) -> tuple[str, Document | None] | None:
    """Kind and name of the issuer, and its object or None when it does not exist. None for an issuer of another API
    group."""
    if not isinstance(tls.issuer, ExistingIssuerSettings):
        kind, name = "Issuer", STACKS_ISSUER_NAME
    else:
        kind, name = tls.issuer.kind, tls.issuer.name
        if tls.issuer.group != CERT_MANAGER_GROUP or kind not in _PLURALS:
            return None
    scope = None if kind == "ClusterIssuer" else namespace
    return f"{kind} {name}", cluster.get_custom(CERT_MANAGER_API_VERSION, _PLURALS[kind], name, scope)


def _issuer(tls: CertManagerTlsSettings, namespace: str, cluster: Cluster, trust: str | None, now: datetime) -> Finding:
    check = "certificate.issuer"
    if not isinstance(tls.issuer, ExistingIssuerSettings):
        name, statement = tls.issuer.secret_name, f"the issuer's Secret {tls.issuer.secret_name} is there"
        data = secret_data(cluster.get("Secret", name, namespace))
        if data.get("tls.crt") and data.get("tls.key"):
            problem = authority_problem(data["tls.crt"], data["tls.key"], trust=trust, now=now)
            return (
                passed(check, statement, "with tls.crt and tls.key")
                if problem is None
                else failed(check, statement, problem)
            )
        reason = (
            f"not in {namespace} yet, or without tls.crt and tls.key; the `up` makes the namespace, then waits for it"
        )
        return not_proven(check, statement, reason)
    statement = f"the {tls.issuer.kind} {tls.issuer.name} is ready"
    found = issuer_of(tls, namespace, cluster)
    if found is None:
        return not_proven(check, statement, f"issuers of {tls.issuer.group} are not known here")
    _, issuer = found
    if issuer is None:
        return failed(check, statement, "it does not exist; correct tls.issuer, or make it")
    ready = condition(issuer, "Ready")
    if ready.get("status") != "True":
        return failed(check, statement, f"it is not ready: {ready.get('message') or 'it says nothing'}")
    return passed(check, statement, str(ready.get("message") or "it is"))


def _secret(settings: Settings, name: str, cluster: Cluster, trust: str | None, now: datetime) -> list[Finding]:
    namespace = settings.access_graph.namespace
    found = cluster.get("Secret", name, namespace)
    if found is None:
        check, statement = "certificate.pair", f"Secret {name} has a certificate and its key"
        reason = f"there is no Secret {name} in {namespace}"
        if not settings.access_graph.enabled:
            # Legitimate when the stack makes the namespace: whoever fills the Secret needs the namespace first.
            reason = (
                f"{reason} yet, and nothing needs it while accessGraph.enabled is false; make it before you set that "
                "to true"
            )
            return [not_proven(check, statement, reason)]
        reason = (
            f"{reason}, and TAG's pods wait for it; if the stack has yet to make the namespace, first `up` "
            "with accessGraph.enabled false"
        )
        return [failed(check, statement, reason)]
    data = secret_data(found)
    bundle = trust if settings.tls.trust == "bundle" else None
    return check_pair(
        data.get("tls.crt"),
        data.get("tls.key"),
        names=dialled_names(settings),
        trust=bundle,
        now=now,
        where=f"Secret {name}",
    )
