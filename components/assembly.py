"""From settings to components: which argument of which component each setting becomes.

Owns this translation and nothing else, so that components know no settings and `__main__` reads as the flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from components.access_graph import AccessGraph, AccessGraphArgs
from components.credentials import AccessGraphNamespace, AccessGraphNamespaceArgs, Credentials, CredentialsArgs
from components.database_uri import check_database_uri
from components.host_authority_succession import pems
from components.ledger import ends_of_own
from components.server_certificate import ServerCertificate
from components.settings import RdsDatabaseSettings, Settings
from components.settings.names import POSTGRES_REPLICA_KEY, POSTGRES_SECRET_KEY
from components.teleport import TeleportCluster
from components.teleport_assembly import chart_arguments, teleport_cluster_args
from components.tls_assembly import make_server_certificate, warn_of_expiry

if TYPE_CHECKING:
    from components.host_authorities import HostAuthority
    from components.intake import Intake
    from components.ledger import Ledger
    from components.providers import Providers
    from components.surroundings import Surroundings


@dataclass(frozen=True, kw_only=True)
class DatabaseConnection:
    """How pods reach the database, whoever runs the database."""

    uri: pulumi.Output[str] | None
    """Secret; None where an existing Secret, which the stack does not make, holds it."""
    secret_name: str | None
    """Name of that existing Secret."""
    secret_key: str
    replica_uri: pulumi.Output[str] | None = None
    """Secret; None without a read replica."""
    iam_region: str | None = None
    """Region of the instance, where pods log in by IAM."""
    service_account_annotations: pulumi.Output[Mapping[str, str]] | None = None
    """The annotations that give pods the IAM role that they log in with."""
    identity: pulumi.Output[str] | None = None
    """The AWS identity that pods log in with, from admission on; None with a password."""
    login_run: pulumi.Output[str] | None = None
    """Identity of the run that made the login, where the stack makes one."""


def pod_placement(settings: Settings) -> dict[str, Any]:
    """Where the pods beside TAG's run, and how their images are pulled, in wire form: as for TAG's pods, without what
    is not set."""
    graph = settings.access_graph
    placement: dict[str, Any] = {
        "imagePullSecrets": [{"name": name} for name in graph.image_pull_secrets],
        "nodeSelector": dict(graph.node_selector),
        "tolerations": graph.pod_tolerations,
    }
    return {key: value for key, value in placement.items() if value}


def access_graph_namespace(
    settings: Settings, database_ca_bundle: str | None, opts: pulumi.ResourceOptions
) -> AccessGraphNamespace:
    graph = settings.access_graph
    return AccessGraphNamespace(
        "namespace",
        AccessGraphNamespaceArgs(
            namespace=graph.namespace,
            create=graph.create_namespace,
            keep=graph.keep_namespace,
            database_ca_bundle=database_ca_bundle,
        ),
        opts=opts,
    )


def existing_database_connection(settings: Settings) -> DatabaseConnection:
    """How pods reach an existing database: by its URI, checked here before a resource uses it, or by a Secret."""
    database = settings.database
    assert not isinstance(database, RdsDatabaseSettings)
    if database.secret is not None:
        return DatabaseConnection(uri=None, secret_name=database.secret.name, secret_key=database.secret.key)
    assert settings.secrets.database_uri is not None  # the rules of this mode require it
    checked = settings.secrets.database_uri.apply(
        lambda uri: check_database_uri(
            uri,
            allow_unverified=database.allow_unverified,
            ca_bundle_given=database.ca_bundle_file is not None,
        )
    )
    return DatabaseConnection(uri=checked, secret_name=None, secret_key=POSTGRES_SECRET_KEY)


def server_certificate(
    settings: Settings,
    intake: Intake,
    ledger: pulumi.Output[Ledger],
    namespace: AccessGraphNamespace,
    opts: pulumi.ResourceOptions,
) -> ServerCertificate:
    """TAG's certificate, from the source in `tls.mode`, and a warning of what ends soon."""
    certificate = make_server_certificate(
        settings,
        intake.trust_bundle,
        namespace.namespace,
        permitted=ledger.apply(lambda _: True),
        recorded=ledger.apply(lambda before: before.trust),
        ends_before=ledger.apply(lambda before: ends_of_own(before, settings, intake.trust_bundle)),
        verified=ledger.apply(lambda before: before.is_verified(intake.now)),
        opts=opts,
    )
    warn_of_expiry(certificate, intake.now)
    return certificate


def access_graph_credentials(
    namespace: AccessGraphNamespace,
    certificate: ServerCertificate,
    connection: DatabaseConnection,
    digest_key: pulumi.Input[str],
    database_ca_bundle: str | None,
    opts: pulumi.ResourceOptions,
) -> Credentials:
    """The Secrets that TAG's pods mount."""
    return Credentials(
        "credentials",
        CredentialsArgs(
            namespace=namespace.namespace,
            certificate_pem=certificate.certificate_pem,
            private_key_pem=certificate.private_key_pem,
            tls_secret_name=certificate.secret_name,
            digest_key=digest_key,
            database_uri=connection.uri,
            database_replica_uri=connection.replica_uri,
            database_by_iam=connection.iam_region is not None,
            database_identity=connection.identity,
            database_ca_bundle=database_ca_bundle or "",
            database_login_run=connection.login_run,
        ),
        opts=opts,
    )


def access_graph_release(
    settings: Settings,
    host_authorities: pulumi.Output[Mapping[str, tuple[HostAuthority, ...]]],
    namespace: AccessGraphNamespace,
    credentials: Credentials,
    connection: DatabaseConnection,
    opts: pulumi.ResourceOptions,
) -> AccessGraph | None:
    """TAG itself; None while the access graph is off."""
    if not settings.access_graph.enabled:
        return None
    args = access_graph_args(settings, host_authorities, namespace, credentials, connection)
    return AccessGraph("access-graph", args, opts=opts)


def access_graph_args(
    settings: Settings,
    host_authorities: pulumi.Output[Mapping[str, tuple[HostAuthority, ...]]],
    namespace: AccessGraphNamespace,
    credentials: Credentials,
    connection: DatabaseConnection,
) -> AccessGraphArgs:
    graph = settings.access_graph
    database_secret = connection.secret_name or credentials.database_secret_name
    assert database_secret is not None  # a connection has a URI or a Secret's name
    return AccessGraphArgs(
        namespace=namespace.namespace,
        release=graph.release,
        **chart_arguments(graph.chart),
        host_authorities=host_authorities.apply(
            lambda accepted: [pem for one in pems(accepted).values() for pem in one]
        ),
        database_secret_name=database_secret,
        database_secret_key=connection.secret_key,
        database_ca_config_map=namespace.database_ca_config_map,
        tls_secret_name=credentials.tls_secret_name,
        database_replica_key=None if connection.replica_uri is None else POSTGRES_REPLICA_KEY,
        database_replica_secret_name=credentials.database_replica_secret_name,
        database_iam_region=connection.iam_region,
        service_account_annotations=connection.service_account_annotations,
        credentials_checksum=credentials.checksum,
        cluster_domain=graph.cluster_domain,
        replicas=graph.replicas,
        timeout_seconds=graph.timeout_seconds,
        service_type=graph.service_type,
        log_level=graph.log_level,
        metrics=graph.metrics,
        image=graph.image,
        image_digest=graph.image_digest,
        image_pull_secrets=list(graph.image_pull_secrets),
        resources={
            "requests": {"cpu": graph.resources.cpu_request, "memory": graph.resources.memory_request},
            "limits": {"memory": graph.resources.memory_limit},
        },
        pod_disruption_budget={
            "enabled": graph.has_disruption_budget,
            "minAvailable": graph.pod_disruption_budget.min_available,
        },
        node_selector=dict(graph.node_selector),
        tolerations=graph.pod_tolerations,
        labels=dict(settings.labels),
        annotations=dict(settings.annotations),
    )


def teleport_clusters(
    settings: Settings,
    intake: Intake,
    providers: Providers,
    trust_bundle: pulumi.Output[str] | None,
    access_graph: AccessGraph | None,
    surroundings: Surroundings,
) -> dict[str, TeleportCluster]:
    """Each Teleport cluster by name, in its own Kubernetes cluster. It waits for the access graph and for what its
    calls pass on their way there."""
    return {
        cluster: TeleportCluster(
            f"teleport-{cluster}",
            teleport_cluster_args(settings, cluster, values, trust_bundle),
            opts=pulumi.ResourceOptions(
                providers=[providers.teleport[cluster]],
                depends_on=[access_graph.release, *surroundings.on_the_way(settings, cluster)]
                if access_graph is not None and settings.connects(cluster)
                else [],
            ),
        )
        for cluster, values in intake.values.items()
    }
