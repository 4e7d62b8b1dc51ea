"""The arguments of `Database`, and the checks that they fit together."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi

from components.arguments import ComponentArgs

# Free retention of Database Insights in standard mode. Advanced mode keeps 15 months and accepts no other value.
INSIGHTS_RETENTION_DAYS = {"standard": 7, "advanced": 465}


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs(ComponentArgs):
    region: pulumi.Input[str]
    """AWS region of everything here; decides the ARN partition and the shipped CA bundle."""

    account_id: pulumi.Input[str]
    """Twelve digits, used in the policy of the KMS key."""

    identifier: pulumi.Input[str]
    """The instance's name, unique in the account and region: lower-case letters, digits and single hyphens, at most 63.
    """

    vpc_id: pulumi.Input[str]
    """`vpc-...`, the VPC of the security group and the subnets."""

    subnet_ids: pulumi.Input[list[pulumi.Input[str]]] | None = None
    """Ids of private subnets in at least two availability zones. Exactly one of this and `subnet_group_name`."""

    subnet_group_name: pulumi.Input[str] | None = None
    """An existing DB subnet group, such as an adopted instance's own."""

    client_security_group_ids: Sequence[pulumi.Input[str]] = ()
    """Security groups that may connect: those of Access Graph's and the access Job's pods. Each gets an ingress rule,
    as do the prefix lists and blocks below; at least one of all these is needed."""

    client_security_group_names: Sequence[str] = ()
    """Names of the groups' rules in the state, in the same order. Without them a rule is named by the group's id if
    that is plain text, else by its position, which shifts when an earlier group is removed."""

    client_prefix_list_ids: Sequence[str] = ()
    """Managed prefix lists (`pl-...`) whose addresses may connect."""

    client_cidrs: Sequence[str] = ()
    """Private IPv4 blocks whose addresses may connect."""

    engine_version: pulumi.Input[str] = "17"
    """Major version only. RDS picks the minor, and installs newer ones in the maintenance window."""

    upgrade: pulumi.Input[bool] = False
    """Only for a restored or adopted instance, which has the version of its data: RDS is told `engine_version` only
    when this is true, to upgrade the instance."""

    database_name: pulumi.Input[str] = "access_graph"
    instance_class: pulumi.Input[str] = "db.t4g.medium"
    port: pulumi.Input[int] = 5432
    allocated_storage_gib: pulumi.Input[int] = 20
    resize: pulumi.Input[bool] = False
    """Only for a restored instance, which has the storage of its data: RDS is told `allocated_storage_gib` only when
    this is true, once the instance exists, to enlarge it."""

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
    """`managed` (by AWS in Secrets Manager, never in the state) or `generated` (kept as a secret in the state)."""

    kms_key_arn: pulumi.Input[str] | None = None
    """An existing key, in place of a new one. Its policy must let the region's CloudWatch Logs use it; with
    `own_topic` also events.rds.amazonaws.com, and cloudwatch.amazonaws.com if there are alarms:
    `database_policies.key_policy` has the statements. A key of another account must allow `account_id` too. AWS's own
    keys (`aws/rds`) allow none of them."""

    log_retention_days: pulumi.Input[int] = 30
    """How long CloudWatch keeps PostgreSQL's log, in one of the numbers of days that CloudWatch Logs accepts."""

    role_path: pulumi.Input[str] = "/"
    """IAM path of the monitoring role; begins and ends with a slash."""

    permissions_boundary_arn: pulumi.Input[str] | None = None
    """ARN of a policy that limits what that role can do; none without one."""

    monitoring_interval_seconds: int = 60
    """0 turns enhanced monitoring off; otherwise 1, 5, 10, 15, 30 or 60."""

    database_insights: str = "standard"
    """`standard` or `advanced`."""

    own_topic: bool = False
    """Whether to make an SNS topic for RDS's events and the alarms, encrypted with the database's key."""

    topic_arn: pulumi.Input[str] | None = None
    """An existing topic, in place of a new one. Its policy must let events.rds.amazonaws.com publish, and
    cloudwatch.amazonaws.com if there are alarms."""

    topic_emails: Sequence[str] = ()
    """Addresses that are asked to subscribe; only with `own_topic`."""

    alarm_free_storage_gib: int | None = None
    """Alarm when less storage, in GiB, is free; no such alarm when not given. Alarms need a topic."""

    alarm_cpu_percent: int | None = None
    """Alarm when the CPU, in percent, is above this; no such alarm when not given."""

    alarm_connections: int | None = None
    """Alarm when there are more connections; no such alarm when not given."""

    replica: bool = False
    """Whether there is a read replica. RDS makes none where `master_password` is `managed`."""

    replica_instance_class: pulumi.Input[str] | None = None
    """`instance_class` when not given."""

    replica_multi_az: pulumi.Input[bool] = False

    restore_snapshot: str | None = None
    """Name or ARN of a snapshot whose data the instance starts with. Used, like the two below, at creation only."""

    restore_source: str | None = None
    """Identifier of an instance whose data, as of `restore_time`, this one starts with."""

    restore_time: str | None = None
    """`2026-01-31T00:00:00Z`, in UTC; the latest restorable time when not given."""

    adopt: str | None = None
    """Identifier of an existing instance to take over. Needs its own `subnet_group_name` and `kms_key_arn`; everything
    around it gets another key. Its master user stays, and anybody may have made `database_name` in it."""

    apply_immediately: pulumi.Input[bool] = False
    """Whether changes that interrupt the service happen at once (true) or in the maintenance window (false)."""

    on_destroy: str = "keep"
    """What `pulumi destroy` leaves: `keep` the instance and all that it needs, `snapshot` a final snapshot and its key,
    `delete` nothing.
    """

    protect: bool = True
    """Whether the engine refuses to delete or replace the instance and the key."""

    ca_bundle: pulumi.Input[str] | None = None
    """PEM of the authorities that sign the server's certificate; the region's shipped ones when not given."""

    tags: pulumi.Input[dict[str, pulumi.Input[str]]] = field(default_factory=dict)
    """Tags of every AWS object that is made here."""


def check_database_args(args: DatabaseArgs) -> None:
    """Raise `ValueError` for an unknown choice, or for arguments that do not fit together. The settings have better
    messages; these are for programs that use the component without the settings."""
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
    if args.client_security_group_names and len(args.client_security_group_names) != len(
        args.client_security_group_ids
    ):
        raise ValueError("DatabaseArgs: client_security_group_names: give one for each of client_security_group_ids")
    if not (args.client_security_group_ids or args.client_prefix_list_ids or args.client_cidrs):
        raise ValueError(
            "DatabaseArgs: client_security_group_ids: is empty, and so are client_prefix_list_ids and client_cidrs, so "
            "that nothing could connect; give at least one"
        )
    if (args.subnet_ids is None) == (args.subnet_group_name is None):
        raise ValueError("DatabaseArgs: give exactly one of subnet_ids and subnet_group_name")
    if args.own_topic and args.topic_arn is not None:
        raise ValueError("DatabaseArgs: topic_arn: is given, and own_topic too; keep one")
    alarms = (args.alarm_free_storage_gib, args.alarm_cpu_percent, args.alarm_connections)
    if any(alarm is not None for alarm in alarms) and not args.own_topic and args.topic_arn is None:
        raise ValueError("DatabaseArgs: alarms need a topic to go to; give own_topic or topic_arn")
    if args.topic_emails and not args.own_topic:
        raise ValueError(
            "DatabaseArgs: topic_emails: are for a topic of this component's, and none is made; give own_topic"
        )
    origins = [args.restore_snapshot, args.restore_source, args.adopt]
    if sum(origin is not None for origin in origins) > 1:
        raise ValueError("DatabaseArgs: give one of restore_snapshot, restore_source and adopt at most")
    if args.restore_time is not None and args.restore_source is None:
        # If it were ignored, the instance would be empty, or as of another time.
        raise ValueError("DatabaseArgs: restore_time: is a moment of restore_source, which is not given; give it too")
    for_a_replica = (args.replica_instance_class is not None, args.replica_multi_az is True)
    if any(for_a_replica) and not args.replica:
        name = "replica_instance_class" if for_a_replica[0] else "replica_multi_az"
        raise ValueError(f"DatabaseArgs: {name}: is given, and there is no replica; give replica, or leave it out")
    if args.replica and args.master_password == "managed":
        raise ValueError("DatabaseArgs: replica: RDS makes none of an instance whose master password it manages")
    if args.adopt is not None and (args.subnet_group_name is None or args.kms_key_arn is None):
        raise ValueError("DatabaseArgs: adopt needs the instance's own subnet_group_name and kms_key_arn")
