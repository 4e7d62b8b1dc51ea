"""Whether TAG's certificate can come from where `tls.mode` says, asked of the cluster before an `up`."""

from __future__ import annotations

from datetime import datetime

from components.settings import CertManagerTlsSettings, ExistingIssuerSettings, ExistingSecretTlsSettings, Settings
from components.settings.names import CERT_MANAGER_API_VERSION, CERT_MANAGER_GROUP
from operations.checks.certificate import check_pair
from operations.cluster import Cluster, NotAllowed, condition, secret_data
from operations.findings import Finding, failed, not_proven, passed

# All of cert-manager's own group; the namespace for the Secrets of a ClusterIssuer is its controller's business.
_PLURALS = {"Issuer": "issuers", "ClusterIssuer": "clusterissuers"}


def dialled_names(settings: Settings) -> list[str]:
    """The hosts of the endpoints that Teleports dial, TAG's own name where there is no Teleport yet."""
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
        return _cert_manager(tls, settings.access_graph.namespace, cluster)
    if isinstance(tls, ExistingSecretTlsSettings):
        return _secret(settings, tls.secret_name, cluster, trust, now)
    return []


def _cert_manager(tls: CertManagerTlsSettings, namespace: str, cluster: Cluster) -> list[Finding]:
    check, statement = "certificate.definitions", "cert-manager is in the cluster"
    if not cluster.serves(CERT_MANAGER_API_VERSION, "Certificate"):
        return [
            failed(
                check, statement, f"there is no Certificate of {CERT_MANAGER_API_VERSION}; install cert-manager first"
            )
        ]
    findings = [passed(check, statement, f"it serves {CERT_MANAGER_API_VERSION}")]
    try:
        return [*findings, _issuer(tls, namespace, cluster)]
    except NotAllowed as error:
        return [*findings, not_proven("certificate.issuer", "the issuer can be looked at", str(error))]


def _issuer(tls: CertManagerTlsSettings, namespace: str, cluster: Cluster) -> Finding:
    check = "certificate.issuer"
    if not isinstance(tls.issuer, ExistingIssuerSettings):
        name, statement = tls.issuer.secret_name, f"the issuer's Secret {tls.issuer.secret_name} is there"
        if {"tls.crt", "tls.key"} <= secret_data(cluster.get("Secret", name, namespace)).keys():
            return passed(check, statement, "with tls.crt and tls.key")
        reason = f"not in {namespace} yet, or without tls.crt and tls.key; the `up` waits for it once it has made that"
        return not_proven(check, statement, reason)
    kind, name = tls.issuer.kind, tls.issuer.name
    statement = f"the {kind} {name} is ready"
    if tls.issuer.group != CERT_MANAGER_GROUP or kind not in _PLURALS:
        return not_proven(check, statement, f"issuers of {tls.issuer.group} are not known here")
    scope = None if kind == "ClusterIssuer" else namespace
    issuer = cluster.get_custom(CERT_MANAGER_API_VERSION, _PLURALS[kind], name, scope)
    if issuer is None:
        return failed(check, statement, "it does not exist; correct tls.issuer, or make it")
    ready = condition(issuer, "Ready")
    if ready.get("status") != "True":
        return failed(check, statement, f"it is not: {ready.get('message') or 'it says nothing'}")
    return passed(check, statement, str(ready.get("message") or "it is"))


def _secret(settings: Settings, name: str, cluster: Cluster, trust: str | None, now: datetime) -> list[Finding]:
    namespace = settings.access_graph.namespace
    found = cluster.get("Secret", name, namespace)
    if found is None:
        check, statement = "certificate.pair", f"Secret {name} has a certificate and its key"
        reason = f"there is no Secret {name} in {namespace}"
        if not settings.access_graph.enabled:
            # The way to a namespace that the stack makes: whoever fills the Secret needs it first.
            reason = f"{reason} yet, and nothing needs it while accessGraph.enabled is false; fill it before true"
            return [not_proven(check, statement, reason)]
        reason = (
            f"{reason}, and TAG's pods wait for it; where the stack has still to make the namespace, `up` with "
            "accessGraph.enabled false first"
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
