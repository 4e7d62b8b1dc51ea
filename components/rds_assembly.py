"""From settings to the two components of an RDS database. Apart from `assembly`, so that AWS's SDK is loaded only
where it is used."""

from __future__ import annotations

import pulumi

from components.assembly import DatabaseConnection, stack_tags
from components.credentials import POSTGRES_SECRET_KEY, AccessGraphNamespace
from components.database import Database, DatabaseArgs
from components.database_access import DatabaseAccess, DatabaseAccessArgs
from components.providers import Providers
from components.settings import RdsDatabaseSettings, Settings


def make_database(settings: Settings, providers: Providers, ca_bundle: str | None) -> Database:
    """The instance. `ca_bundle` is the content of `database.caBundleFile`, if there is one."""
    assert providers.aws is not None  # the mode's own rule
    return Database(
        "database", database_args(settings, ca_bundle), opts=pulumi.ResourceOptions(providers=[providers.aws])
    )


def make_database_access(
    settings: Settings,
    providers: Providers,
    database: Database,
    namespace: AccessGraphNamespace,
    digest_key: pulumi.Input[str],
) -> DatabaseConnection:
    """The owner role, the login and the Job that makes them, in the access graph's namespace."""
    assert providers.aws is not None
    assert namespace.database_ca_config_map is not None
    access = DatabaseAccess(
        "database-access",
        database_access_args(
            settings,
            database,
            namespace=namespace.namespace,
            ca_config_map=namespace.database_ca_config_map,
            digest_key=digest_key,
        ),
        opts=pulumi.ResourceOptions(providers=[providers.aws, providers.kubernetes]),
    )
    return DatabaseConnection(uri=access.uri, secret_name=None, secret_key=POSTGRES_SECRET_KEY)


def database_args(settings: Settings, ca_bundle: str | None) -> DatabaseArgs:
    database, cloud = settings.database, settings.aws
    assert isinstance(database, RdsDatabaseSettings)
    assert cloud is not None
    return DatabaseArgs(
        region=cloud.region,
        account_id=cloud.account_id,
        identifier=database.identifier,
        vpc_id=database.network.vpc_id,
        subnet_ids=list(database.network.subnet_ids),
        client_security_group_ids=list(database.network.client_security_group_ids),
        engine_version=database.engine_version,
        database_name=database.database_name,
        instance_class=database.instance_class,
        port=database.port,
        allocated_storage_gib=database.allocated_storage_gib,
        max_allocated_storage_gib=database.max_allocated_storage_gib,
        multi_az=database.multi_az,
        backup_retention_days=database.backup_retention_days,
        backup_window=database.backup_window,
        maintenance_window=database.maintenance_window,
        ca_cert_identifier=database.ca_cert_identifier,
        master_username=database.master_username,
        master_password=database.master_password,
        kms_key_arn=database.kms_key_arn,
        log_retention_days=database.log_retention_days,
        monitoring_interval_seconds=database.monitoring_interval_seconds,
        database_insights=database.database_insights,
        apply_immediately=database.apply_immediately,
        on_destroy=database.on_destroy,
        protect=database.protect,
        ca_bundle=ca_bundle,
        tags=stack_tags(settings),
    )


def database_access_args(
    settings: Settings,
    database: Database,
    *,
    namespace: pulumi.Input[str],
    ca_config_map: pulumi.Input[str],
    digest_key: pulumi.Input[str],
) -> DatabaseAccessArgs:
    entry, cloud = settings.database, settings.aws
    assert isinstance(entry, RdsDatabaseSettings)
    assert cloud is not None
    managed = entry.master_password == "managed"
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
        master_password=None if managed else required(database.master_password),
        master_secret_arn=required(database.master_secret_arn) if managed else None,
        kms_key_arn=database.kms_key_arn if managed else None,
        oidc_provider_arn=cloud.oidc_provider_arn if managed else None,
        image=entry.access_job.image,
        aws_cli_image=entry.access_job.aws_cli_image,
        timeout_seconds=entry.access_job.timeout_seconds,
        tags=stack_tags(settings),
    )


def required(output: pulumi.Output[str | None]) -> pulumi.Output[str]:
    """An output that this mode of its component always has."""

    def present(value: str | None) -> str:
        if value is None:
            raise ValueError("an output that this mode always has is missing")
        return value

    return output.apply(present)
