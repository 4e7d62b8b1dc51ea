"""From settings to the components of an RDS database. Separate from `assembly`, so that the AWS SDK is loaded only
where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pulumi

from components.assembly import DatabaseConnection, pod_placement
from components.credentials import AccessGraphNamespace
from components.database import Database, DatabaseArgs
from components.database_access import DatabaseAccess, DatabaseAccessArgs
from components.database_logins import LoginRetirement, LoginRetirementArgs
from components.database_steps import is_resize, is_upgrade
from components.known_after import known_after
from components.ledger import Ledger
from components.providers import Providers
from components.settings import (
    AwsSettings,
    ExistingTopicSettings,
    IrsaSettings,
    OwnTopicSettings,
    PodIdentitySettings,
    PointInTimeRestoreSettings,
    RdsDatabaseSettings,
    Settings,
    SnapshotRestoreSettings,
)
from components.settings.database_network import FEWEST_SUBNETS
from components.settings.formats import EKS_CLUSTER_NAME, OIDC_PROVIDER_ARN, SECURITY_GROUP_ID, SUBNET_ID, VPC_ID
from components.settings.moments import in_utc
from components.settings.names import POSTGRES_SECRET_KEY, service_name
from components.settings.stack_outputs import PREFIX
from components.stack_references import StackReferences
from components.stack_tags import stack_tags

if TYPE_CHECKING:
    from components.access_graph import AccessGraph
    from components.credentials import Credentials
    from components.teleport import TeleportCluster


class RdsAccess(NamedTuple):
    """The login to the instance, and how pods connect."""

    access: DatabaseAccess
    connection: DatabaseConnection


def make_database(
    settings: Settings,
    providers: Providers,
    references: StackReferences,
    ledger: pulumi.Output[Ledger],
    ca_bundle: str | None,
) -> Database:
    """The instance. `ca_bundle` is the PEM of the authorities that may sign its certificate."""
    assert providers.aws is not None  # the rules of the rds mode require it
    return Database(
        "database",
        database_args(settings, references, ledger, ca_bundle),
        opts=pulumi.ResourceOptions(providers=[providers.aws]),
    )


def make_database_access(
    settings: Settings,
    providers: Providers,
    references: StackReferences,
    ledger: pulumi.Output[Ledger],
    database: Database,
    namespace: AccessGraphNamespace,
    digest_key: pulumi.Input[str],
) -> RdsAccess:
    """The owner role, the login and the Job that makes both, in the access graph's namespace."""
    entry = settings.database
    assert isinstance(entry, RdsDatabaseSettings)
    assert providers.aws is not None
    assert namespace.database_ca_config_map is not None
    access = DatabaseAccess(
        "database-access",
        database_access_args(
            settings,
            references,
            database,
            namespace=namespace.namespace,
            ca_config_map=namespace.database_ca_config_map,
            digest_key=digest_key,
            after=ledger.apply(lambda _: True),
        ),
        opts=pulumi.ResourceOptions(providers=[providers.aws, providers.kubernetes]),
    )
    connection = DatabaseConnection(
        uri=access.uri,
        replica_uri=None if entry.replica is None else required(access.replica_uri),
        secret_name=None,
        secret_key=POSTGRES_SECRET_KEY,
        login_run=access.run,
        iam_region=settings.aws.region if entry.authentication == "iam" and settings.aws is not None else None,
        service_account_annotations=access.client_annotations if entry.authentication == "iam" else None,
        identity=required(access.client_identity) if entry.authentication == "iam" else None,
    )
    return RdsAccess(access, connection)


def retire_logins(
    access: DatabaseAccess,
    providers: Providers,
    namespace: AccessGraphNamespace,
    digest_key: pulumi.Input[str],
    access_graph: AccessGraph | None,
    credentials: Credentials,
    teleport: Mapping[str, TeleportCluster],
) -> LoginRetirement:
    """The end of a rotation: once the access graph is rolled out, only the present login is needed."""
    # A graph that is being switched off runs until the end of the `up`, so its callers must leave first.
    rolled_out = [credentials, *teleport.values()] if access_graph is None else [access_graph.release]
    return LoginRetirement(
        "database-logins",
        LoginRetirementArgs(
            namespace=namespace.namespace,
            job=access.job,
            login=access.login,
            after_run=access.run,
            digest_key=digest_key,
        ),
        opts=pulumi.ResourceOptions(providers=[providers.kubernetes], depends_on=rolled_out),
    )


def database_args(
    settings: Settings, references: StackReferences, ledger: pulumi.Output[Ledger], ca_bundle: str | None
) -> DatabaseArgs:
    database, cloud = settings.database, settings.aws
    assert isinstance(database, RdsDatabaseSettings)
    assert cloud is not None
    network, topic, alarms, restore = database.network, database.notifications, database.alarms, database.restore
    key = "database.network"
    return DatabaseArgs(
        region=cloud.region,
        account_id=cloud.account_id,
        # Everything of the instance is made from this value, so nothing is made unless the ledger allows this run.
        identifier=known_after(database.identifier, ledger),
        adopt=database.identifier if database.adopt else None,
        vpc_id=references.text(network.vpc_id, key=f"{key}.vpcId", rule=VPC_ID),
        subnet_ids=None
        if network.subnet_ids is None
        else references.texts(network.subnet_ids, key=f"{key}.subnetIds", rule=SUBNET_ID, least=FEWEST_SUBNETS),
        subnet_group_name=network.subnet_group_name,
        client_security_group_ids=references.each(
            network.client_security_group_ids, key=f"{key}.clientSecurityGroupIds", rule=SECURITY_GROUP_ID
        ),
        client_security_group_names=[client.removeprefix(PREFIX) for client in network.client_security_group_ids],
        client_prefix_list_ids=list(network.client_prefix_list_ids),
        client_cidrs=list(network.client_cidrs),
        engine_version=database.engine_version,
        upgrade=ledger.apply(lambda recorded: is_upgrade(recorded, database)),
        database_name=database.database_name,
        instance_class=database.instance_class,
        port=database.port,
        allocated_storage_gib=database.allocated_storage_gib,
        resize=ledger.apply(lambda recorded: is_resize(recorded, database)),
        max_allocated_storage_gib=database.max_allocated_storage_gib,
        multi_az=database.multi_az,
        backup_retention_days=database.backup_retention_days,
        backup_window=database.backup_window,
        maintenance_window=database.maintenance_window,
        ca_cert_identifier=database.ca_cert_identifier,
        master_username=database.master_username,
        master_password=database.master_password,
        kms_key_arn=database.kms_key_arn,
        role_path=cloud.iam.path,
        permissions_boundary_arn=cloud.iam.permissions_boundary_arn,
        log_retention_days=database.log_retention_days,
        monitoring_interval_seconds=database.monitoring_interval_seconds,
        database_insights=database.database_insights,
        own_topic=isinstance(topic, OwnTopicSettings),
        topic_arn=topic.topic_arn if isinstance(topic, ExistingTopicSettings) else None,
        topic_emails=list(topic.emails) if isinstance(topic, OwnTopicSettings) else [],
        alarm_free_storage_gib=None if alarms is None else alarms.free_storage_gib,
        alarm_cpu_percent=None if alarms is None else alarms.cpu_percent,
        alarm_connections=None if alarms is None else alarms.connections,
        replica=database.replica is not None,
        replica_instance_class=None if database.replica is None else database.replica.instance_class,
        replica_multi_az=database.replica is not None and database.replica.multi_az,
        restore_snapshot=restore.snapshot_identifier if isinstance(restore, SnapshotRestoreSettings) else None,
        restore_source=restore.source_identifier if isinstance(restore, PointInTimeRestoreSettings) else None,
        # The AWS provider refuses a UTC offset.
        restore_time=in_utc(restore.time)
        if isinstance(restore, PointInTimeRestoreSettings) and restore.time is not None
        else None,
        apply_immediately=database.apply_immediately,
        on_destroy=database.on_destroy,
        protect=database.protect,
        ca_bundle=ca_bundle,
        tags=stack_tags(settings),
    )


def database_access_args(
    settings: Settings,
    references: StackReferences,
    database: Database,
    *,
    namespace: pulumi.Input[str],
    ca_config_map: pulumi.Input[str],
    digest_key: pulumi.Input[str],
    after: pulumi.Input[bool],
) -> DatabaseAccessArgs:
    entry, cloud = settings.database, settings.aws
    assert isinstance(entry, RdsDatabaseSettings)
    assert cloud is not None
    managed, by_iam = entry.master_password == "managed", entry.authentication == "iam"
    return DatabaseAccessArgs(
        namespace=namespace,
        ca_config_map=ca_config_map,
        identifier=database.identifier,
        region=cloud.region,
        host=database.address,
        port=database.port,
        database_name=database.database_name,
        master_username=database.master_username,
        digest_key=digest_key,
        rotation=entry.rotation,
        after=after,
        master_password=None if managed else required(database.master_password),
        master_secret_arn=required(database.master_secret_arn) if managed else None,
        kms_key_arn=required(database.master_secret_kms_key_arn) if managed else None,
        **(workload_identity_arguments(cloud, references) if managed or by_iam else {}),
        role_path=cloud.iam.path,
        permissions_boundary_arn=cloud.iam.permissions_boundary_arn,
        authentication=entry.authentication,
        account_id=cloud.account_id,
        resource_ids=[database.resource_id],
        replica_resource_id=None if entry.replica is None else required(database.replica_resource_id),
        client_service_account=service_name(settings.access_graph.release),
        replica_host=None if entry.replica is None else required(database.replica_address),
        image=entry.access_job.image,
        aws_cli_image=entry.access_job.aws_cli_image,
        timeout_seconds=entry.access_job.timeout_seconds,
        placement=pod_placement(settings),
        tags=stack_tags(settings),
    )


def workload_identity_arguments(cloud: AwsSettings, references: StackReferences) -> dict[str, Any]:
    """How the cluster's pods get IAM roles."""
    identity = cloud.workload_identity
    if isinstance(identity, IrsaSettings):
        key = "aws.workloadIdentity.oidcProviderArn"
        arn = references.text(identity.oidc_provider_arn, key=key, rule=OIDC_PROVIDER_ARN)
        return {"oidc_provider_arn": arn}
    assert isinstance(identity, PodIdentitySettings)  # a rule of the settings requires one of the two
    key = "aws.workloadIdentity.clusterName"
    return {"eks_cluster_name": references.text(identity.cluster_name, key=key, rule=EKS_CLUSTER_NAME)}


def required(output: pulumi.Output[str | None]) -> pulumi.Output[str]:
    """An output that its component always has in this mode."""

    def present(value: str | None) -> str:
        if value is None:
            raise ValueError("an output that this mode always has is missing")
        return value

    return output.apply(present)
