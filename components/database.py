"""RDS for PostgreSQL with its own key and parameters, and with the parts that `database_network` and
`database_monitoring` make.

Owns the instance, its replica and their protection. Leaves roles, grants and the connection URI to
`database_access.py`.
"""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_random as random
from pulumi.output import UNKNOWN
from pulumi_aws import kms, rds

from components.applied import LeftOutError, made, unless_left_out
from components.database_args import INSIGHTS_RETENTION_DAYS, DatabaseArgs, check_database_args
from components.database_authorities import ca_bundle
from components.database_monitoring import (
    LOG_EXPORTS,
    MonitoringRole,
    make_alarms,
    make_event_subscriptions,
    make_log_groups,
    make_monitoring_role,
    make_topic,
)
from components.database_network import Network, make_network
from components.database_policies import key_policy
from components.handed_on import asked, waiting
from components.known_after import known_after
from components.settings.names import replica_identifier

__all__ = ["Database", "DatabaseArgs"]

# The source of the data matters only when the instance is made. A later change of it must not touch the instance.
ORIGIN_INPUTS = ["snapshotIdentifier", "restoreToPointInTime"]
# An instance keeps one Performance Insights key for good, even while Insights are off. AWS refuses another, and does
# not tell the key of an adopted instance. https://github.com/hashicorp/terraform-provider-aws/pull/9746
INSIGHTS_KEY_INPUT = "performanceInsightsKmsKeyId"
# Nor does AWS accept another key for the secret of a master password that it already manages:
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
# AWS reports only the name of a database that it made at the instance's start, if any: the access graph's may have been
# made by hand. The master user keeps its first name.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstance.html (DBName, MasterUsername)
ADOPTED_INPUTS = [INSIGHTS_KEY_INPUT, "masterUserSecretKmsKeyId", "dbName", "username"]

# The name by which a run that leaves the instance out mentions it.
INSTANCE = "the database's instance"


class Database(pulumi.ComponentResource):
    """A private, encrypted PostgreSQL instance that only its clients can reach."""

    address: pulumi.Output[str]
    """DNS name of the instance; known once its clients can reach it."""
    port: pulumi.Output[int]
    """Port of PostgreSQL."""
    endpoint: pulumi.Output[str]
    """`host:port`."""
    database_name: pulumi.Output[str]
    """Name of the database for TAG."""
    instance_arn: pulumi.Output[str]
    """ARN of the instance."""
    resource_id: pulumi.Output[str]
    """`db-...`, the instance's name in IAM policies."""
    identifier: pulumi.Output[str]
    """The instance's name in the account and region."""
    master_username: pulumi.Output[str]
    """The role that makes logins; TAG uses another."""
    master_secret_arn: pulumi.Output[str | None]
    """The secret in which AWS keeps a managed master password; None with a generated one."""
    master_password: pulumi.Output[str | None]
    """The generated master password, secret; None with a managed one."""
    master_secret_kms_key_arn: pulumi.Output[str | None]
    """The key that encrypts that secret."""
    kms_key_arn: pulumi.Output[str]
    """The key of everything around the instance, and of the instance too unless its data came with another key."""
    ca_bundle: pulumi.Output[str]
    """PEM of the authorities that sign the server's certificate."""
    topic_arn: pulumi.Output[str | None]
    """SNS topic for RDS's events and the alarms; None without one."""
    replica_address: pulumi.Output[str | None]
    """DNS name of the read replica, as `address`; None without one."""
    replica_resource_id: pulumi.Output[str | None]
    """`db-...`, the read replica's name in IAM policies; None without one."""

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = DatabaseArgs.from_input(args)
        check_database_args(args)
        super().__init__("teleport-access-graph:index:Database", name, {}, waiting(opts))
        kept = asked(args.on_destroy == "keep")
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=kept)
        # For events and alarms. They are never kept: an instance that is kept then belongs to somebody else.
        watcher = pulumi.ResourceOptions(parent=self)
        self.identifier = pulumi.Output.from_input(args.identifier)

        # An adopted instance often has AWS's own key `aws/rds`, whose policy allows neither logs nor a topic.
        given = None if args.adopt else args.kms_key_arn
        key_arn = self._key(name, args) if given is None else pulumi.Output.from_input(given)
        instance_key_arn = key_arn if args.kms_key_arn is None else pulumi.Output.from_input(args.kms_key_arn)
        log_groups = make_log_groups(name, args, self.identifier, key_arn, child)
        network = make_network(name, args, child)
        parameter_group = self._parameter_group(name, args, child)
        monitoring = make_monitoring_role(name, args, child) if args.monitoring_interval_seconds else None
        password = None
        if args.master_password == "generated":
            # Letters and digits only, since RDS refuses '/', '@', '"' and spaces. 40 of 62 characters are 238 bits.
            password = random.RandomPassword(
                f"{name}-master-password", length=40, special=False, opts=pulumi.ResourceOptions(parent=self)
            )

        common = self._common(args, instance_key_arn, network, parameter_group, monitoring)
        instance = rds.Instance(
            f"{name}-instance",
            identifier=self.identifier,
            engine="postgres",
            engine_version=_version_to_ask_for(args),
            instance_class=args.instance_class,
            allocated_storage=_storage_to_ask_for(args),
            **self._origin(args, instance_key_arn),
            password=made(password, password.result) if password else None,
            manage_master_user_password=None if password else True,
            master_user_secret_kms_key_id=None if password else key_arn,
            db_subnet_group_name=network.subnet_group_name,
            multi_az=args.multi_az,
            backup_retention_period=args.backup_retention_days,
            backup_window=args.backup_window,
            skip_final_snapshot=args.on_destroy == "delete",
            final_snapshot_identifier=self._final_snapshot(name, args, instance_key_arn),
            **common,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=kept,
                protect=asked(args.protect),
                import_=args.adopt,
                ignore_changes=[*ORIGIN_INPUTS, *([] if args.adopt is None else ADOPTED_INPUTS)],
                depends_on=[
                    *log_groups,
                    *([monitoring.policy] if monitoring else []),
                    *([] if args.adopt is None else [unless_left_out(parameter_group, INSTANCE)]),
                ],
            ),
        )
        replica = self._replica(name, args, instance, key_arn, common, child) if args.replica else None

        topic_arn = make_topic(name, args, key_arn, watcher)
        if topic_arn is not None:
            self._watch(name, args, topic_arn, instance, replica, parameter_group, watcher)

        ingress = [rule.security_group_rule_id for rule in network.ingress]
        self.address = known_after(made(instance, instance.address), *ingress)
        self.port = pulumi.Output.from_input(args.port)
        self.endpoint = made(instance, instance.endpoint)
        self.database_name = pulumi.Output.from_input(args.database_name)
        self.instance_arn = made(instance, instance.arn)
        self.resource_id = made(instance, instance.resource_id)
        # A restored or adopted instance has the master user of its data.
        self.master_username = (
            made(instance, instance.username)
            if _is_restored(args) or args.adopt is not None
            else pulumi.Output.from_input(args.master_username)
        )
        self.master_secret_arn = pulumi.Output.from_input(None)
        self.master_secret_kms_key_arn = pulumi.Output.from_input(None)
        self.master_password = pulumi.Output.from_input(None)
        if password is None:
            secret = instance.master_user_secrets.apply(_managed_secret)
            self.master_secret_arn = secret["arn"]
            self.master_secret_kms_key_arn = key_arn if args.adopt is None else secret["key"]
        else:
            # Taken from the instance, so that users of the password wait for the instance that has it. An instance that
            # was skipped because its password failed reports none.
            self.master_password = made(instance, known_after(instance.password, made(password, password.result)))
            if not pulumi.runtime.is_dry_run():
                # A preview would not know what the plugin does not report, nor then anything that has the password.
                self.master_password = pulumi.Output.all(
                    self.master_password, instance.manage_master_user_password
                ).apply(lambda found: _generated_password(*found))
        self.kms_key_arn = key_arn
        self.ca_bundle = (
            pulumi.Output.from_input(args.region).apply(ca_bundle)
            if args.ca_bundle is None
            else pulumi.Output.from_input(args.ca_bundle)
        )
        self.topic_arn = pulumi.Output.from_input(topic_arn)
        self.replica_address = pulumi.Output.from_input(None)
        self.replica_resource_id = pulumi.Output.from_input(None)
        if replica is not None:
            self.replica_address = known_after(made(replica, replica.address), *ingress)
            self.replica_resource_id = made(replica, replica.resource_id)
        self.register_outputs(
            {
                "address": self.address,
                "port": self.port,
                "endpoint": self.endpoint,
                "database_name": self.database_name,
                "instance_arn": self.instance_arn,
                "resource_id": self.resource_id,
                "identifier": self.identifier,
                "master_username": self.master_username,
                "master_secret_arn": self.master_secret_arn,
                "master_secret_kms_key_arn": self.master_secret_kms_key_arn,
                "master_password": self.master_password,
                "kms_key_arn": self.kms_key_arn,
                "ca_bundle": self.ca_bundle,
                "topic_arn": self.topic_arn,
                "replica_address": self.replica_address,
                "replica_resource_id": self.replica_resource_id,
            }
        )

    def _key(self, name: str, args: DatabaseArgs) -> pulumi.Output[str]:
        # A final snapshot is unreadable without its key, so `snapshot` keeps the key too. The alias is deleted, which
        # frees its name.
        options = pulumi.ResourceOptions(
            parent=self, retain_on_delete=asked(args.on_destroy != "delete"), protect=asked(args.protect)
        )
        key = kms.Key(
            f"{name}-key",
            description=self.identifier.apply(lambda identifier: f"Database {identifier} of Teleport Access Graph"),
            enable_key_rotation=True,
            # The longest that AWS offers: time to notice that a restored backup still needs the key.
            deletion_window_in_days=30,
            policy=pulumi.Output.all(args.region, args.account_id, args.identifier).apply(
                lambda resolved: key_policy(region=resolved[0], account_id=resolved[1], identifier=resolved[2])
            ),
            tags=args.tags,
            opts=options,
        )
        if args.adopt is None:
            # For an adopted instance the alias may be taken, by an earlier stack that left the instance and the rest.
            kms.Alias(
                f"{name}-key-alias",
                name=self.identifier.apply(lambda identifier: f"alias/{identifier}"),
                target_key_id=key.key_id,
                opts=pulumi.ResourceOptions(parent=self, retain_on_delete=asked(args.on_destroy == "keep")),
            )
        arn: pulumi.Output[str] = key.arn
        return made(key, arn)

    def _parameter_group(self, name: str, args: DatabaseArgs, child: pulumi.ResourceOptions) -> rds.ParameterGroup:
        return rds.ParameterGroup(
            f"{name}-parameter-group",
            # The name changes with the major version, so that the new group exists before the instance leaves the old
            # one.
            name_prefix=pulumi.Output.format("{0}-postgres{1}-", self.identifier, args.engine_version),
            family=pulumi.Output.format("postgres{0}", args.engine_version),
            description="Settings of the Teleport Access Graph database",
            # AWS stores no method for a value that equals its default, as this one does from PostgreSQL 15 on, and
            # answers "pending-reboot". Any other method would show as a change in every `up` (terraform-provider-aws
            # #39252). An instance starts with its group, and adopts a new one at a reboot in any case.
            parameters=[{"name": "rds.force_ssl", "value": "1", "apply_method": "pending-reboot"}],
            tags=args.tags,
            opts=child,
        )

    def _origin(self, args: DatabaseArgs, key_arn: pulumi.Output[str]) -> dict[str, Any]:
        """The properties that an instance is made with, for good. A restored one has the name, the master user and the
        key of its data, and asking for others would replace it."""
        if args.restore_snapshot is not None:
            return {"snapshot_identifier": args.restore_snapshot}
        if args.restore_source is not None:
            moment: dict[str, Any] = {"source_db_instance_identifier": args.restore_source}
            if args.restore_time is None:
                moment["use_latest_restorable_time"] = True
            else:
                moment["restore_time"] = args.restore_time
            return {"restore_to_point_in_time": moment}
        return {"db_name": args.database_name, "username": args.master_username, "kms_key_id": key_arn}

    def _common(
        self,
        args: DatabaseArgs,
        key_arn: pulumi.Output[str],
        network: Network,
        parameter_group: rds.ParameterGroup,
        monitoring: MonitoringRole | None,
    ) -> dict[str, Any]:
        """The properties that the instance and its replica share."""
        return {
            # Only the setting of the major version changes the version, and that is the decision to upgrade.
            "allow_major_version_upgrade": True,
            "auto_minor_version_upgrade": True,
            "max_allocated_storage": args.max_allocated_storage_gib,
            "storage_type": "gp3",
            "storage_encrypted": True,
            "port": args.port,
            "iam_database_authentication_enabled": True,
            "ca_cert_identifier": args.ca_cert_identifier,
            "vpc_security_group_ids": [network.security_group_id],
            "publicly_accessible": False,
            "parameter_group_name": parameter_group.name,
            "maintenance_window": args.maintenance_window,
            "copy_tags_to_snapshot": True,
            "enabled_cloudwatch_logs_exports": list(LOG_EXPORTS),
            "monitoring_interval": args.monitoring_interval_seconds,
            "monitoring_role_arn": monitoring.role.arn if monitoring else None,
            "performance_insights_enabled": True,
            "performance_insights_kms_key_id": key_arn,
            "performance_insights_retention_period": INSIGHTS_RETENTION_DAYS[args.database_insights],
            "database_insights_mode": args.database_insights,
            # With `keep` nobody may ever delete the instance. Otherwise the `up` that lifts `protect` lifts this too,
            # so that the destroy after it succeeds.
            "deletion_protection": args.on_destroy == "keep" or args.protect,
            "apply_immediately": args.apply_immediately,
            "tags": args.tags,
        }

    def _replica(
        self,
        name: str,
        args: DatabaseArgs,
        instance: rds.Instance,
        key_arn: pulumi.Output[str],
        common: dict[str, Any],
        child: pulumi.ResourceOptions,
    ) -> rds.Instance:
        """A read replica. It is not protected: it holds only the instance's data, and can be made again."""
        identifier = self.identifier.apply(replica_identifier)
        groups = make_log_groups(f"{name}-replica", args, identifier, key_arn, child)
        return rds.Instance(
            f"{name}-replica",
            identifier=identifier,
            replicate_source_db=instance.identifier,
            instance_class=args.instance_class if args.replica_instance_class is None else args.replica_instance_class,
            multi_az=args.replica_multi_az,
            # RDS takes no final snapshot of a replica.
            skip_final_snapshot=True,
            **{**common, "deletion_protection": args.on_destroy == "keep"},
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[*groups])),
        )

    def _watch(
        self,
        name: str,
        args: DatabaseArgs,
        topic_arn: pulumi.Output[str],
        instance: rds.Instance,
        replica: rds.Instance | None,
        parameter_group: rds.ParameterGroup,
        watcher: pulumi.ResourceOptions,
    ) -> None:
        """Sends RDS's events and the alarms to the topic."""
        identifiers: list[pulumi.Input[str]] = [instance.identifier]
        if replica is not None:
            identifiers.append(replica.identifier)
        sources: dict[str, list[pulumi.Input[str]] | None] = {
            "db-instance": identifiers,
            "db-parameter-group": [parameter_group.name],
            "db-security-group": None,
        }
        make_event_subscriptions(name, args, topic_arn, sources, watcher)
        make_alarms(name, args, instance.identifier, topic_arn, watcher)
        if replica is not None:
            make_alarms(f"{name}-replica", args, replica.identifier, topic_arn, watcher)

    def _final_snapshot(self, name: str, args: DatabaseArgs, key_arn: pulumi.Output[str]) -> pulumi.Output[str] | None:
        if args.on_destroy == "delete":
            return None
        suffix = random.RandomId(
            f"{name}-final-snapshot",
            byte_length=4,
            # Properties that replace the instance when they change, so that each instance has its own snapshot name.
            keepers={
                "identifier": self.identifier,
                "kms_key": key_arn,
                "database_name": args.database_name,
                "master_username": args.master_username,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.format("{0}-final-{1}", self.identifier, suffix.hex)


def _managed_secret(secrets: Sequence[Any] | None) -> dict[str, Any]:
    """An instance that had another password before, such as an adopted one, gets its secret during the `up`. A preview
    shows the instance without it, and so does a run that leaves the instance out. If it is left out before it was ever
    made, `secrets` is None."""
    if secrets is None or (not secrets and pulumi.runtime.is_dry_run()):
        return {"arn": UNKNOWN, "key": UNKNOWN}
    if not secrets:
        raise LeftOutError(INSTANCE)
    return {"arn": secrets[0].secret_arn, "key": secrets[0].kms_key_id}


def _generated_password(password: str, managed: bool | None) -> str:
    """If a run leaves the instance out while AWS manages its password, the SDK returns the one that was asked for."""
    if managed:
        raise LeftOutError(INSTANCE)
    return password


def _version_to_ask_for(args: DatabaseArgs) -> pulumi.Input[str | None]:
    """RDS turns a major version into its own default minor, at a modification too: a newer minor is an upgrade at once,
    an older one is refused. The provider asks for the major wherever it has read a minor (terraform-provider-aws
    #49496), as for an imported instance, and after a restore from a snapshot."""
    if args.adopt is None and not _is_restored(args):
        return args.engine_version
    return pulumi.Output.all(args.engine_version, args.upgrade).apply(
        lambda resolved: resolved[0] if resolved[1] else None
    )


def _storage_to_ask_for(args: DatabaseArgs) -> pulumi.Input[int | None]:
    """After a restore the provider asks for the configured storage, and RDS refuses less than the data have, which may
    have grown by itself: `Invalid storage size for engine name postgres`. For an existing instance the provider asks
    only for more."""
    if not _is_restored(args):
        return args.allocated_storage_gib
    return pulumi.Output.all(args.allocated_storage_gib, args.resize).apply(
        lambda resolved: resolved[0] if resolved[1] else None
    )


def _is_restored(args: DatabaseArgs) -> bool:
    return args.restore_snapshot is not None or args.restore_source is not None
