"""The objects around the access graph, from settings: network policies, the Service for callers from outside, the
certificate restarter, the Prometheus objects, the readers' role.

Owns the translation. Modules that an environment does not need are not loaded, for their SDKs take time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from components.known_after import unless_refused
from components.settings import (
    CertManagerTlsSettings,
    ExistingDatabaseSettings,
    GeneratedTlsSettings,
    ManualTeleportSettings,
    PodIdentitySettings,
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    RestarterSettings,
    Settings,
    ValuesTeleportSettings,
)
from components.settings.names import (
    CERTIFICATE_RESTARTER_NAME,
    DEFAULT_POSTGRES_PORT,
    ISSUED_CERTIFICATE_NAME,
    SERVICE_PORT,
    service_name,
)

if TYPE_CHECKING:
    from components.access_graph import AccessGraph
    from components.external_service import ExternalService
    from components.monitoring import MonitoringArgs
    from components.network_policies import NetworkPolicies, NetworkPoliciesArgs
    from components.providers import Providers
    from components.server_certificate import ServerCertificate


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    external: ExternalService | None
    """None where TAG has no Service for callers from outside."""
    policies: NetworkPolicies | None
    """None where everybody may call TAG."""

    def on_the_way(self, settings: Settings, cluster: str) -> list[pulumi.Resource]:
        """What a Teleport's calls pass on their way to TAG. It must exist before the proxies start, because they ask
        for the access graph only once, at their start."""
        passed: list[pulumi.Resource] = []
        if self.policies is not None:
            passed.append(self.policies.access_graph)
        outside = settings.access_graph.external
        address = None if outside is None else f"{outside.hostname}:{outside.port}"
        if self.external is not None and settings.endpoint_of(cluster) == address:
            passed.append(self.external.service)
        return passed


def make_surroundings(
    settings: Settings,
    providers: Providers,
    namespace: pulumi.Input[str],
    certificate: ServerCertificate,
    access_graph: AccessGraph | None,
) -> Surroundings:
    """`namespace` is TAG's, taken from its resource."""
    opts = pulumi.ResourceOptions(providers=[providers.kubernetes])
    policies = None
    if settings.access_graph.network_policy.enabled:
        from components.network_policies import NetworkPolicies

        policies = NetworkPolicies("network-policies", network_policies_args(settings, namespace), opts=opts)
    if access_graph is None:
        return Surroundings(external=None, policies=policies)
    restarter = _restarter_settings(settings)
    if restarter is not None:
        _make_restarter(settings, restarter, namespace, certificate, access_graph, opts)
    monitoring = settings.monitoring
    if monitoring.service_monitor or monitoring.rules:
        from components.monitoring import Monitoring

        Monitoring("monitoring", monitoring_args(settings, namespace, certificate), opts=opts)
    for cluster, entry in settings.teleport.items():
        if settings.connects(cluster) and not isinstance(entry, ManualTeleportSettings):
            _beside_teleport(settings, cluster, entry, pulumi.ResourceOptions(providers=[providers.teleport[cluster]]))
    external = _external_service(settings, namespace, access_graph, opts)
    return Surroundings(external=external, policies=policies)


def network_policies_args(settings: Settings, namespace: pulumi.Input[str]) -> NetworkPoliciesArgs:
    """The callers and the called that the stack knows, and those that the settings name."""
    from components.database_job import POD_NAME
    from components.network_policies import NetworkPoliciesArgs

    graph, database = settings.access_graph, settings.database
    policy = graph.network_policy
    teleports = known_callers(settings)
    instance = database if isinstance(database, RdsDatabaseSettings) else None
    identity = None if settings.aws is None else settings.aws.workload_identity
    return NetworkPoliciesArgs(
        namespace=namespace,
        release=graph.release,
        teleports=list(teleports.values()),
        # A load balancer may hide the callers' addresses: only its operator knows from where calls seem to come.
        further_callers=any(
            entry.connected and not (cluster in teleports and calls_directly(settings, cluster))
            for cluster, entry in settings.teleport.items()
        )
        or graph.external is not None
        or graph.service_type == "LoadBalancer",
        client_namespaces=list(policy.client_namespaces),
        client_cidrs=list(policy.client_cidrs),
        metrics=graph.metrics,
        metrics_namespaces=list(policy.metrics_namespaces),
        database_port=_database_port(settings),
        database_cidrs=list(policy.database_cidrs),
        access_graph_calls_aws=bool(policy.aws_cidrs) if instance is None else instance.authentication == "iam",
        jobs_call_aws=instance is not None and instance.master_password == "managed",
        pod_identity=isinstance(identity, PodIdentitySettings),
        aws_cidrs=list(policy.aws_cidrs),
        job_name=None if instance is None else POD_NAME,
        restarter_name=None if _restarter_settings(settings) is None else CERTIFICATE_RESTARTER_NAME,
        api_server_cidrs=list(policy.api_server_cidrs),
    )


def known_callers(settings: Settings) -> dict[str, dict[str, str]]:
    """Namespace and release, by cluster name, of each Teleport that the chart runs, that uses TAG and that is in TAG's
    Kubernetes cluster. Its endpoint does not matter: until it is told another, its pods call TAG's Service."""
    return {
        cluster: {"namespace": entry.namespace, "release": entry.release}
        for cluster, entry in settings.teleport.items()
        if entry.connected
        and not isinstance(entry, ManualTeleportSettings)
        and settings.kubernetes_of(cluster).cluster_identifier == settings.kubernetes.cluster_identifier
    }


def calls_directly(settings: Settings, cluster: str) -> bool:
    """Whether that known caller dials TAG's Service itself, with nothing between its pods and TAG's."""
    return settings.endpoint_of(cluster) == f"{settings.service_host}:{SERVICE_PORT}"


def _database_port(settings: Settings) -> int | None:
    """None where it is not known: a URI is secret, and is not read for this."""
    database, policy = settings.database, settings.access_graph.network_policy
    if isinstance(database, ExistingDatabaseSettings):
        return (policy.database_port or DEFAULT_POSTGRES_PORT) if policy.database_cidrs else None
    return database.port


def monitoring_args(settings: Settings, namespace: pulumi.Input[str], certificate: ServerCertificate) -> MonitoringArgs:
    """Arguments of the Prometheus objects. The end of a certificate is a constant if an `up` renews it;
    otherwise it is read from an exporter's metric."""
    from components.monitoring import MonitoringArgs

    monitoring, tls = settings.monitoring, settings.tls
    generated = isinstance(tls, GeneratedTlsSettings)
    return MonitoringArgs(
        namespace=namespace,
        release=settings.access_graph.release,
        service_monitor=monitoring.service_monitor,
        rules=monitoring.rules,
        labels=dict(monitoring.labels),
        scrape_interval_seconds=monitoring.scrape_interval_seconds,
        expiry_days=monitoring.expiry_days,
        certificate_not_after=certificate.certificate_not_after if generated else None,  # type: ignore[arg-type]
        authority_not_after=certificate.ca_not_after,
        issued_certificate=ISSUED_CERTIFICATE_NAME if isinstance(tls, CertManagerTlsSettings) else None,
        certificate_end=monitoring.certificate_end,
    )


def _restarter_settings(settings: Settings) -> RestarterSettings | None:
    """None where only an `up` changes the Secret, or where somebody else restarts TAG after a change."""
    tls = settings.tls
    if isinstance(tls, GeneratedTlsSettings) or not isinstance(tls.reloader, RestarterSettings):
        return None
    return tls.reloader


def _make_restarter(
    settings: Settings,
    restarter: RestarterSettings,
    namespace: pulumi.Input[str],
    certificate: ServerCertificate,
    access_graph: AccessGraph,
    opts: pulumi.ResourceOptions,
) -> None:
    from components.certificate_restarter import CertificateRestarter, CertificateRestarterArgs

    assert certificate.secret_name is not None  # only a generated certificate has none
    graph = settings.access_graph
    CertificateRestarter(
        "certificate-restarter",
        CertificateRestarterArgs(
            # So that a refused step leaves no ServiceAccount of a restarter behind.
            namespace=unless_refused(namespace, certificate.secret_name),
            secret_name=certificate.secret_name,
            # The chart gives its Deployment the name of its Service.
            deployment_name=access_graph.release_name.apply(service_name),
            image=restarter.image,
            every_minutes=restarter.every_minutes,
            image_pull_secrets=list(graph.image_pull_secrets),
            node_selector=dict(graph.node_selector),
            tolerations=graph.pod_tolerations,
        ),
        opts=opts,
    )


def _beside_teleport(
    settings: Settings,
    cluster: str,
    entry: ReleaseTeleportSettings | ValuesTeleportSettings,
    opts: pulumi.ResourceOptions,
) -> None:
    """Objects in a Teleport's own namespace; `opts` has the provider of its Kubernetes cluster."""
    monitoring = settings.monitoring
    watch = monitoring.lockout_watch
    if watch is not None:
        from components.lockout_watch import LockoutWatch, LockoutWatchArgs

        LockoutWatch(
            f"lockout-watch-{cluster}",
            LockoutWatchArgs(
                namespace=entry.namespace,
                release=entry.release,
                pattern=watch.pattern,
                image=watch.image,
                every_minutes=watch.every_minutes,
                rule=monitoring.rules,
                rule_labels=dict(monitoring.labels),
                image_pull_secrets=list(watch.image_pull_secrets),
            ),
            opts=opts,
        )
    if entry.apply_reader_role:
        from components.reader_role import ReaderRole, ReaderRoleArgs

        ReaderRole(f"reader-role-{cluster}", ReaderRoleArgs(namespace=entry.namespace), opts=opts)


def _external_service(
    settings: Settings, namespace: pulumi.Input[str], access_graph: AccessGraph, opts: pulumi.ResourceOptions
) -> ExternalService | None:
    external = settings.access_graph.external
    if external is None:
        return None
    from components.external_service import ExternalService, ExternalServiceArgs

    return ExternalService(
        "external-service",
        ExternalServiceArgs(
            namespace=namespace,
            release=settings.access_graph.release,
            hostname=external.hostname,
            port=external.port,
            annotations=dict(external.annotations),
            source_ranges=list(external.source_ranges),
            load_balancer_class=external.load_balancer_class,
            external_traffic_policy=external.external_traffic_policy,
        ),
        # The plugin waits for ready pods behind the Service.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[access_graph.release])),
    )
