"""What stands around the access graph in its namespace, from settings: network policies, the way in from outside, the
certificate's restarter.

Owns the translation. Modules of what an environment does without are not loaded, for their SDKs take their time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from components.settings import (
    ExistingDatabaseSettings,
    GeneratedTlsSettings,
    ManualTeleportSettings,
    PodIdentitySettings,
    RdsDatabaseSettings,
    RestarterSettings,
    Settings,
)
from components.tls_assembly import make_restarter

if TYPE_CHECKING:
    from components.access_graph import AccessGraph
    from components.external_service import ExternalService
    from components.network_policies import NetworkPoliciesArgs
    from components.server_certificate import ServerCertificate

DEFAULT_DATABASE_PORT = 5432


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    external: ExternalService | None
    """None without a way in of its own."""


def make_surroundings(
    settings: Settings,
    namespace: pulumi.Input[str],
    certificate: ServerCertificate,
    access_graph: AccessGraph | None,
    opts: pulumi.ResourceOptions,
) -> Surroundings:
    """`namespace` is TAG's, taken from its resource; `opts` have the Kubernetes provider."""
    if settings.access_graph.network_policy.enabled:
        from components.network_policies import NetworkPolicies

        NetworkPolicies("network-policies", network_policies_args(settings, namespace), opts=opts)
    make_restarter(settings, namespace, certificate, access_graph, opts)
    return Surroundings(external=_external_service(settings, namespace, access_graph, opts))


def network_policies_args(settings: Settings, namespace: pulumi.Input[str]) -> NetworkPoliciesArgs:
    """What is known of callers and called, and what is said of the rest."""
    from components.certificate_restarter import OBJECT_NAME
    from components.database_job import POD_NAME
    from components.network_policies import NetworkPoliciesArgs

    graph, database, tls = settings.access_graph, settings.database, settings.tls
    policy = graph.network_policy
    teleports = known_callers(settings)
    by_rds = isinstance(database, RdsDatabaseSettings)
    identity = None if settings.aws is None else settings.aws.workload_identity
    return NetworkPoliciesArgs(
        namespace=namespace,
        release=graph.release,
        teleports=list(teleports.values()),
        # A load balancer may hide the callers' addresses, so that only who runs it knows from where calls seem to come.
        further_callers=len(teleports) < len(settings.teleport)
        or graph.external is not None
        or graph.service_type == "LoadBalancer",
        client_namespaces=list(policy.client_namespaces),
        client_cidrs=list(policy.client_cidrs),
        metrics=graph.metrics,
        metrics_namespaces=list(policy.metrics_namespaces),
        database_port=_database_port(settings),
        database_cidrs=list(policy.database_cidrs),
        access_graph_calls_aws=database.authentication == "iam"
        if isinstance(database, RdsDatabaseSettings)
        else bool(policy.aws_cidrs),
        jobs_call_aws=isinstance(database, RdsDatabaseSettings) and database.master_password == "managed",
        pod_identity=isinstance(identity, PodIdentitySettings),
        aws_cidrs=list(policy.aws_cidrs),
        job_name=POD_NAME if by_rds else None,
        restarter_name=OBJECT_NAME
        if not isinstance(tls, GeneratedTlsSettings) and isinstance(tls.reloader, RestarterSettings)
        else None,
        api_server_cidrs=list(policy.api_server_cidrs),
    )


def known_callers(settings: Settings) -> dict[str, dict[str, str]]:
    """Namespace and release of each Teleport whose pods call TAG's Service directly, by cluster name: those of the
    chart, in the same Kubernetes cluster, that dial no other name."""
    return {
        cluster: {"namespace": entry.namespace, "release": entry.release}
        for cluster, entry in settings.teleport.items()
        if not isinstance(entry, ManualTeleportSettings)
        and entry.endpoint is None
        and settings.kubernetes_of(cluster).cluster_identifier == settings.kubernetes.cluster_identifier
    }


def _database_port(settings: Settings) -> int | None:
    """None where it is not known: a URI is secret, and nobody looks into it for this."""
    database, policy = settings.database, settings.access_graph.network_policy
    if isinstance(database, ExistingDatabaseSettings):
        return (policy.database_port or DEFAULT_DATABASE_PORT) if policy.database_cidrs else None
    return database.port


def _external_service(
    settings: Settings, namespace: pulumi.Input[str], access_graph: AccessGraph | None, opts: pulumi.ResourceOptions
) -> ExternalService | None:
    external = settings.access_graph.external
    if external is None or access_graph is None:
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
        # It waits for pods behind it.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[access_graph.release])),
    )
