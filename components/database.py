"""RDS for PostgreSQL with all it needs of its own: key, parameters, and what `database_network` and
`database_monitoring` make.

Owns the instance, its replica and how they are protected. Leaves roles, grants and the connection URI to
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

# Where the data come from matters when the instance is made. A change of it later is none of the instance's.
ORIGIN_INPUTS = ["snapshotIdentifier", "restoreToPointInTime"]
# An instance has one key for its Performance Insights for good, also while they are off: AWS refuses another, and whose
# an adopted instance has is not said. https://github.com/hashicorp/terraform-provider-aws/pull/9746
INSIGHTS_KEY_INPUT = "performanceInsightsKmsKeyId"
# Nor another of the secret of a master password that it manages already:
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
# Nor has it any name of a database but of the one that AWS made at its start, and of none where none was asked for: the
# access graph's may have been made in it by hand. Its master user has the name that it was made with.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DBInstance.html (DBName, MasterUsername)
ADOPTED_INPUTS = [INSIGHTS_KEY_INPUT, "masterUserSecretKmsKeyId", "dbName", "username"]

# What a run that leaves it out says.
INSTANCE = "the database's instance"


class Database(pulumi.ComponentResource):
    """A private, encrypted PostgreSQL instance that only its clients reach."""

    address: pulumi.Output[str]
    """DNS name of the instance; known once the clients may reach it."""
    port: pulumi.Output[int]
    """At which PostgreSQL listens."""
    endpoint: pulumi.Output[str]
    """`host:port`."""
    database_name: pulumi.Output[str]
    """The database that TAG is to have."""
    instance_arn: pulumi.Output[str]
    """ARN of the instance."""
    resource_id: pulumi.Output[str]
    """`db-...`, by which IAM policies name the instance."""
    identifier: pulumi.Output[str]
    """Its name in the account and region."""
    master_username: pulumi.Output[str]
    """The role with which logins are made; TAG has another."""
    master_secret_arn: pulumi.Output[str | None]
    """The secret in which AWS keeps a managed master password; None with a generated one."""
    master_password: pulumi.Output[str | None]
    """The generated master password, secret; None with a managed one."""
    master_secret_kms_key_arn: pulumi.Output[str | None]
    """The key that encrypts that secret."""
    kms_key_arn: pulumi.Output[str]
    """Of what stands around the instance, and its own unless that is the key of data from before."""
    ca_bundle: pulumi.Output[str]
    """PEM of the authorities that sign the server's certificate."""
    topic_arn: pulumi.Output[str | None]
    """SNS topic of RDS's events and the alarms; None without one."""
    replica_address: pulumi.Output[str | None]
    """DNS name of the read replica, as `address`; None without one."""
    replica_resource_id: pulumi.Output[str | None]
    """`db-...`, by which IAM policies name the read replica; None without one."""

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = DatabaseArgs.from_input(args)
        check_database_args(args)
        super().__init__("teleport-access-graph:index:Database", name, {}, waiting(opts))
        kept = asked(args.on_destroy == "keep")
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=kept)
        # What nobody needs without the stack: it tells of an instance that is then somebody else's.
        watcher = pulumi.ResourceOptions(parent=self)
        self.identifier = pulumi.Output.from_input(args.identifier)

        # What an adopted instance has is often AWS's own `aws/rds`, whose policy lets in neither logs nor a topic.
        given = None if args.adopt else args.kms_key_arn
        key_arn = self._key(name, args) if given is None else pulumi.Output.from_input(given)
        instance_key_arn = key_arn if args.kms_key_arn is None else pulumi.Output.from_input(args.kms_key_arn)
        log_groups = make_log_groups(name, args, self.identifier, key_arn, child)
        network = make_network(name, args, child)
        parameter_group = self._parameter_group(name, args, child)
        monitoring = make_monitoring_role(name, args, child) if args.monitoring_interval_seconds else None
        password = None
        if args.master_password == "generated":
            # Letters and digits only: RDS refuses '/', '@', '"' and spaces. 40 of 62 characters are 238 bits.
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
        # An instance that was not made empty has the master user of its data.
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
            # From the instance, so that what uses it waits for the instance that has it. An instance that was passed
            # over because its password failed says that it has none.
            self.master_password = made(instance, known_after(instance.password, made(password, password.result)))
            if not pulumi.runtime.is_dry_run():
                # What a plugin does not tell is not known in a preview, and would make all that has the password so.
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
        # A final snapshot is unreadable without its key, so `snapshot` leaves the key too; the alias goes, and frees
        # its name.
        options = pulumi.ResourceOptions(
            parent=self, retain_on_delete=asked(args.on_destroy != "delete"), protect=asked(args.protect)
        )
        key = kms.Key(
            f"{name}-key",
            description=self.identifier.apply(lambda identifier: f"Database {identifier} of Teleport Access Graph"),
            enable_key_rotation=True,
            # The longest that AWS offers: time to notice that a restored backup still needs it.
            deletion_window_in_days=30,
            policy=pulumi.Output.all(args.region, args.account_id, args.identifier).apply(
                lambda resolved: key_policy(region=resolved[0], account_id=resolved[1], identifier=resolved[2])
            ),
            tags=args.tags,
            opts=options,
        )
        if args.adopt is None:
            # Whoever adopts has the name already, where a stack before this one left its instance and what is around.
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
            # The name changes with the major version, so that the new group stands before the instance leaves the old
            # one.
            name_prefix=pulumi.Output.format("{0}-postgres{1}-", self.identifier, args.engine_version),
            family=pulumi.Output.format("postgres{0}", args.engine_version),
            description="Settings of the Teleport Access Graph database",
            # AWS keeps no method for a value that is its own default, as this one is from PostgreSQL 15 on, and answers
            # "pending-reboot": another one would be a change in every `up` (terraform-provider-aws #39252). An instance
            # begins with the group, or takes a new one at a reboot in any case.
            parameters=[{"name": "rds.force_ssl", "value": "1", "apply_method": "pending-reboot"}],
            tags=args.tags,
            opts=child,
        )

    def _origin(self, args: DatabaseArgs, key_arn: pulumi.Output[str]) -> dict[str, Any]:
        """What an instance is made with, for good. Restored, it has the name, the master user and the key of its data,
        and AWS replaces one that asks for others."""
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
        """What the instance and its replica have alike."""
        return {
            # The version is changed by the major setting alone, and that is the decision to upgrade.
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
            # With `keep` the instance is never to be deleted by anyone; otherwise the `up` that lifts `protect` lifts
            # this too, and the destroy after it goes through.
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
        """A copy that follows. It is not protected: what it holds is the instance's, and it can be made again."""
        identifier = self.identifier.apply(replica_identifier)
        groups = make_log_groups(f"{name}-replica", args, identifier, key_arn, child)
        return rds.Instance(
            f"{name}-replica",
            identifier=identifier,
            replicate_source_db=instance.identifier,
            instance_class=args.instance_class if args.replica_instance_class is None else args.replica_instance_class,
            multi_az=args.replica_multi_az,
            # RDS takes none of a replica.
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
        """RDS's events and the alarms, to the topic."""
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
            # What replaces the instance: each instance then has a snapshot name of its own.
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
    """An instance that had another password before, an adopted one say, gets its secret in the `up`: a preview of that
    has the instance as it is, and so has a run that leaves it out. One that is left out before it ever was made has
    None."""
    if secrets is None or (not secrets and pulumi.runtime.is_dry_run()):
        return {"arn": UNKNOWN, "key": UNKNOWN}
    if not secrets:
        raise LeftOutError(INSTANCE)
    return {"arn": secrets[0].secret_arn, "key": secrets[0].kms_key_id}


def _generated_password(password: str, managed: bool | None) -> str:
    """Of an instance that a run leaves out while AWS manages its password the SDK says the one that was asked for."""
    if managed:
        raise LeftOutError(INSTANCE)
    return password


def _version_to_ask_for(args: DatabaseArgs) -> pulumi.Input[str | None]:
    """Of a major RDS makes its own default of it, at a modification too: a newer minor is an upgrade at once, an older
    one is refused. The provider asks for that wherever it read a minor (terraform-provider-aws #49496), as of an
    instance that is imported, and after a restore from a snapshot."""
    if args.adopt is None and not _is_restored(args):
        return args.engine_version
    return pulumi.Output.all(args.engine_version, args.upgrade).apply(
        lambda resolved: resolved[0] if resolved[1] else None
    )


def _storage_to_ask_for(args: DatabaseArgs) -> pulumi.Input[int | None]:
    """After a restore the provider asks for what it was told, and RDS refuses less than the data have, whose storage
    has perhaps grown by itself: `Invalid storage size for engine name postgres`. Of an instance that is there the
    provider asks for more alone."""
    if not _is_restored(args):
        return args.allocated_storage_gib
    return pulumi.Output.all(args.allocated_storage_gib, args.resize).apply(
        lambda resolved: resolved[0] if resolved[1] else None
    )


def _is_restored(args: DatabaseArgs) -> bool:
    return args.restore_snapshot is not None or args.restore_source is not None
