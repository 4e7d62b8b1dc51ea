"""RDS for PostgreSQL with all it needs of its own: key, network rules, parameters, log groups, monitoring role.

Owns the AWS objects and how they are protected. Leaves roles, grants and the connection URI to `database_access.py`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import pulumi
import pulumi_random as random
from pulumi_aws import cloudwatch, ec2, iam, kms, rds, vpc

from components.arguments import ComponentArgs
from components.database_authorities import ca_bundle
from components.database_policies import key_policy, monitoring_trust, partition_of, role_name_prefix

LOG_EXPORTS = ("postgresql", "upgrade")

# Free retention of Database Insights in its standard mode; the advanced mode keeps 15 months and takes no other value.
INSIGHTS_RETENTION_DAYS = {"standard": 7, "advanced": 465}


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs(ComponentArgs):
    region: pulumi.Input[str]
    """AWS region of everything here; decides the ARN partition and the shipped CA bundle."""

    account_id: pulumi.Input[str]
    """Twelve digits; the KMS key's policy is written for it."""

    identifier: pulumi.Input[str]
    """The instance's name, unique in the account and region: lower-case letters, digits and single hyphens, at most 63.
    """

    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Private subnets in at least two availability zones."""

    client_security_group_ids: list[pulumi.Input[str]]
    """Security groups of what may connect: Access Graph's and the access Job's pods. Each gets an ingress rule."""

    engine_version: pulumi.Input[str] = "17"
    """Major version only: RDS then picks the minor, and applies newer ones in the maintenance window."""

    database_name: pulumi.Input[str] = "access_graph"
    instance_class: pulumi.Input[str] = "db.t4g.medium"
    port: pulumi.Input[int] = 5432
    allocated_storage_gib: pulumi.Input[int] = 20
    max_allocated_storage_gib: pulumi.Input[int] = 100
    """Limit of storage autoscaling, GiB."""

    multi_az: pulumi.Input[bool] = False
    backup_retention_days: pulumi.Input[int] = 7
    backup_window: pulumi.Input[str] | None = None
    """`hh:mm-hh:mm` UTC; AWS picks one when not given."""

    maintenance_window: pulumi.Input[str] | None = None
    """`ddd:hh:mm-ddd:hh:mm` UTC; AWS picks one when not given."""

    ca_cert_identifier: pulumi.Input[str] = "rds-ca-rsa2048-g1"
    master_username: pulumi.Input[str] = "tag_admin"
    master_password: str = "managed"
    """`managed` (by AWS in Secrets Manager, never in the state) or `generated` (kept secret in the state)."""

    kms_key_arn: pulumi.Input[str] | None = None
    """A key that exists, instead of an own one. Its policy must let CloudWatch Logs use it."""

    log_retention_days: pulumi.Input[int] = 30
    monitoring_interval_seconds: int = 60
    """0 turns enhanced monitoring off; else 1, 5, 10, 15, 30 or 60."""

    database_insights: str = "standard"
    """`standard` or `advanced`."""

    apply_immediately: pulumi.Input[bool] = False
    """Whether changes that interrupt the service wait for the maintenance window (false) or not."""

    on_destroy: str = "keep"
    """What `pulumi destroy` leaves: `keep` the instance and all it needs, `snapshot` a final snapshot and its key,
    `delete` nothing.
    """

    protect: bool = True
    """Whether the engine refuses to delete or replace the instance and the key."""

    ca_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities that sign the server's certificate; the region's shipped ones when not given."""

    tags: pulumi.Input[dict[str, pulumi.Input[str]]] = field(default_factory=dict)


class Monitoring(NamedTuple):
    """What enhanced monitoring needs: the role, and the policy that must be attached before RDS first uses it."""

    role: iam.Role
    policy: iam.RolePolicyAttachment


class Database(pulumi.ComponentResource):
    """A private, encrypted PostgreSQL instance that only its clients' security groups reach."""

    address: pulumi.Output[str]
    port: pulumi.Output[int]
    endpoint: pulumi.Output[str]
    database_name: pulumi.Output[str]
    instance_arn: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    identifier: pulumi.Output[str]
    master_username: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str | None]
    master_password: pulumi.Output[str | None]
    kms_key_arn: pulumi.Output[str]
    ca_bundle: pulumi.Output[str]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = DatabaseArgs.from_input(args)
        _check_choices(args)
        super().__init__("teleport-access-graph:index:Database", name, {}, opts)
        kept = args.on_destroy == "keep"
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=kept)
        self.identifier = pulumi.Output.from_input(args.identifier)

        key_arn = self._key(name, args) if args.kms_key_arn is None else pulumi.Output.from_input(args.kms_key_arn)
        log_groups = [
            cloudwatch.LogGroup(
                f"{name}-log-{log}",
                # RDS would make the group itself, unencrypted and for ever, if it were not there before the instance.
                name=pulumi.Output.format("/aws/rds/instance/{0}/{1}", self.identifier, log),
                retention_in_days=args.log_retention_days,
                kms_key_id=key_arn,
                tags=args.tags,
                opts=child,
            )
            for log in LOG_EXPORTS
        ]
        subnet_group = rds.SubnetGroup(
            f"{name}-subnet-group",
            name_prefix=self.identifier.apply(lambda identifier: f"{identifier}-"),
            description="Private subnets of the Teleport Access Graph database",
            subnet_ids=args.subnet_ids,
            tags=args.tags,
            opts=child,
        )
        security_group = self._security_group(name, args, child)
        parameter_group = rds.ParameterGroup(
            f"{name}-parameter-group",
            # The name changes with the major version, so that the new group stands before the instance leaves the old
            # one.
            name_prefix=pulumi.Output.format("{0}-postgres{1}-", self.identifier, args.engine_version),
            family=pulumi.Output.format("postgres{0}", args.engine_version),
            description="Settings of the Teleport Access Graph database",
            parameters=[{"name": "rds.force_ssl", "value": "1", "apply_method": "immediate"}],
            tags=args.tags,
            opts=child,
        )
        monitoring = self._monitoring(name, args, child) if args.monitoring_interval_seconds else None
        password = None
        if args.master_password == "generated":
            # Letters and digits only: RDS refuses '/', '@', '"' and spaces. 40 of 62 characters are 238 bits.
            password = random.RandomPassword(
                f"{name}-master-password", length=40, special=False, opts=pulumi.ResourceOptions(parent=self)
            )

        instance = rds.Instance(
            f"{name}-instance",
            identifier=self.identifier,
            engine="postgres",
            engine_version=args.engine_version,
            # The version is changed by the major setting alone, and that is the decision to upgrade.
            allow_major_version_upgrade=True,
            auto_minor_version_upgrade=True,
            instance_class=args.instance_class,
            allocated_storage=args.allocated_storage_gib,
            max_allocated_storage=args.max_allocated_storage_gib,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=key_arn,
            db_name=args.database_name,
            port=args.port,
            username=args.master_username,
            password=password.result if password else None,
            manage_master_user_password=None if password else True,
            master_user_secret_kms_key_id=None if password else key_arn,
            iam_database_authentication_enabled=True,
            ca_cert_identifier=args.ca_cert_identifier,
            db_subnet_group_name=subnet_group.name,
            vpc_security_group_ids=[security_group.id],
            publicly_accessible=False,
            parameter_group_name=parameter_group.name,
            multi_az=args.multi_az,
            backup_retention_period=args.backup_retention_days,
            backup_window=args.backup_window,
            maintenance_window=args.maintenance_window,
            copy_tags_to_snapshot=True,
            enabled_cloudwatch_logs_exports=list(LOG_EXPORTS),
            monitoring_interval=args.monitoring_interval_seconds,
            monitoring_role_arn=monitoring.role.arn if monitoring else None,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=key_arn,
            performance_insights_retention_period=INSIGHTS_RETENTION_DAYS[args.database_insights],
            database_insights_mode=args.database_insights,
            # With `keep` the instance is never to be deleted by anyone; otherwise the `up` that lifts `protect` lifts
            # this too, and the destroy after it goes through.
            deletion_protection=kept or args.protect,
            skip_final_snapshot=args.on_destroy == "delete",
            final_snapshot_identifier=self._final_snapshot(name, args, key_arn),
            apply_immediately=args.apply_immediately,
            tags=args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                retain_on_delete=kept,
                protect=args.protect,
                depends_on=[*log_groups, *([monitoring.policy] if monitoring else [])],
            ),
        )

        self.address = instance.address
        self.port = pulumi.Output.from_input(args.port)
        self.endpoint = instance.endpoint
        self.database_name = pulumi.Output.from_input(args.database_name)
        self.instance_arn = instance.arn
        self.resource_id = instance.resource_id
        self.master_username = pulumi.Output.from_input(args.master_username)
        self.master_secret_arn = pulumi.Output.from_input(None)
        self.master_password = pulumi.Output.from_input(None)
        if password is None:
            self.master_secret_arn = instance.master_user_secrets.apply(lambda secrets: secrets[0].secret_arn)
        else:
            # From the instance, so that what uses it waits for the instance that has it.
            self.master_password = instance.password
        self.kms_key_arn = key_arn
        self.ca_bundle = (
            pulumi.Output.from_input(args.region).apply(ca_bundle)
            if args.ca_bundle is None
            else pulumi.Output.from_input(args.ca_bundle)
        )
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
                "master_password": self.master_password,
                "kms_key_arn": self.kms_key_arn,
                "ca_bundle": self.ca_bundle,
            }
        )

    def _key(self, name: str, args: DatabaseArgs) -> pulumi.Output[str]:
        # A final snapshot is unreadable without its key, so `snapshot` leaves the key too; the alias goes, and frees
        # its name.
        options = pulumi.ResourceOptions(
            parent=self, retain_on_delete=args.on_destroy != "delete", protect=args.protect
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
        kms.Alias(
            f"{name}-key-alias",
            name=self.identifier.apply(lambda identifier: f"alias/{identifier}"),
            target_key_id=key.key_id,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.on_destroy == "keep"),
        )
        return key.arn

    def _security_group(self, name: str, args: DatabaseArgs, child: pulumi.ResourceOptions) -> ec2.SecurityGroup:
        # No egress rule: PostgreSQL opens no connection, and without one the provider removes AWS's allow-all.
        group = ec2.SecurityGroup(
            f"{name}-security-group",
            name_prefix=self.identifier.apply(lambda identifier: f"{identifier}-"),
            description="Clients of the Teleport Access Graph database",
            vpc_id=args.vpc_id,
            tags=args.tags,
            opts=child,
        )
        for index, client in enumerate(args.client_security_group_ids):
            # Named by the id where that is known, so that the order of the list means nothing.
            label = client if isinstance(client, str) else str(index)
            vpc.SecurityGroupIngressRule(
                f"{name}-ingress-{label}",
                security_group_id=group.id,
                referenced_security_group_id=client,
                ip_protocol="tcp",
                from_port=args.port,
                to_port=args.port,
                description="PostgreSQL from Teleport Access Graph",
                tags=args.tags,
                opts=child,
            )
        return group

    def _monitoring(self, name: str, args: DatabaseArgs, child: pulumi.ResourceOptions) -> Monitoring:
        role = iam.Role(
            f"{name}-monitoring-role",
            name_prefix=self.identifier.apply(role_name_prefix),
            description="Lets RDS write the operating system metrics of the Teleport Access Graph database",
            assume_role_policy=pulumi.Output.all(args.region, args.account_id, args.identifier).apply(
                lambda resolved: monitoring_trust(region=resolved[0], account_id=resolved[1], identifier=resolved[2])
            ),
            tags=args.tags,
            opts=child,
        )
        policy = iam.RolePolicyAttachment(
            f"{name}-monitoring-policy",
            role=role.name,
            policy_arn=pulumi.Output.from_input(args.region).apply(
                lambda region: (
                    f"arn:{partition_of(region)}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
                )
            ),
            opts=child,
        )
        return Monitoring(role, policy)

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


def _check_choices(args: DatabaseArgs) -> None:
    """Refuse what would pick no branch below. Settings give better messages; this guards other callers."""
    choices = {
        "master_password": ("managed", "generated"),
        "on_destroy": ("keep", "snapshot", "delete"),
        "database_insights": tuple(INSIGHTS_RETENTION_DAYS),
        "monitoring_interval_seconds": (0, 1, 5, 10, 15, 30, 60),
    }
    for field_name, allowed in choices.items():
        value = getattr(args, field_name)
        if value not in allowed:
            raise ValueError(f"DatabaseArgs: {field_name}: {value!r} is none of {', '.join(map(str, allowed))}")
    if not args.client_security_group_ids:
        raise ValueError(
            "DatabaseArgs: client_security_group_ids: is empty, so that nothing could connect; give at least one"
        )
