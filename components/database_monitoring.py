"""Monitoring of the database: log groups, the role for enhanced monitoring, the topic, RDS's events, alarms."""

from typing import NamedTuple

import pulumi
from pulumi_aws import cloudwatch, iam, rds, sns

from components.database_args import DatabaseArgs
from components.database_policies import monitoring_trust, role_name_prefix, topic_policy
from components.known_after import known_after
from components.settings.formats import partition_of
from components.settings.names import replica_identifier

LOG_EXPORTS = ("postgresql", "upgrade")

# Source type -> event categories. The first line of each are those that controls RDS.20, RDS.21 and RDS.22 ask for; the
# others should wake an operator. https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
EVENTS: dict[str, list[str]] = {
    "db-instance": [
        "maintenance", "configuration change", "failure",
        "availability", "deletion", "failover", "low storage", "recovery",
    ],
    "db-parameter-group": ["configuration change"],
    "db-security-group": ["configuration change", "failure"],
}  # fmt: skip
_EVENT_NAMES = {"db-instance": "instance", "db-parameter-group": "parameters", "db-security-group": "security"}

BYTES_A_GIB = 1024**3
# A quarter of an hour: a vacuum or a large import causes shorter peaks.
ALARM_PERIOD_SECONDS, ALARM_PERIODS = 300, 3


class MonitoringRole(NamedTuple):
    """What enhanced monitoring needs: the role, and the policy that must be attached before RDS first uses it."""

    role: iam.Role
    policy: iam.RolePolicyAttachment


def make_log_groups(
    name: str,
    args: DatabaseArgs,
    identifier: pulumi.Input[str],
    key_arn: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> list[cloudwatch.LogGroup]:
    """The log groups that RDS writes the instance's logs to."""
    return [
        cloudwatch.LogGroup(
            f"{name}-log-{log}",
            # Made before the instance, since RDS would otherwise make it unencrypted and without an end of retention.
            name=pulumi.Output.format("/aws/rds/instance/{0}/{1}", identifier, log),
            retention_in_days=args.log_retention_days,
            kms_key_id=key_arn,
            tags=args.tags,
            opts=opts,
        )
        for log in LOG_EXPORTS
    ]


def make_monitoring_role(name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions) -> MonitoringRole:
    identifier = pulumi.Output.from_input(args.identifier)
    role = iam.Role(
        f"{name}-monitoring-role",
        name_prefix=identifier.apply(role_name_prefix),
        path=args.role_path,
        permissions_boundary=args.permissions_boundary_arn,
        description="Lets RDS write the operating system metrics of the Teleport Access Graph database",
        assume_role_policy=pulumi.Output.all(args.region, args.account_id, args.identifier).apply(
            lambda resolved: monitoring_trust(
                region=resolved[0],
                account_id=resolved[1],
                identifiers=[resolved[2], replica_identifier(resolved[2])] if args.replica else [resolved[2]],
            )
        ),
        tags=args.tags,
        opts=opts,
    )
    policy = iam.RolePolicyAttachment(
        f"{name}-monitoring-policy",
        role=role.name,
        policy_arn=pulumi.Output.from_input(args.region).apply(
            lambda region: f"arn:{partition_of(region)}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
        ),
        opts=opts,
    )
    return MonitoringRole(role, policy)


def make_topic(
    name: str, args: DatabaseArgs, key_arn: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str] | None:
    """ARN of the topic for the operators; None without one. Known once RDS may publish to it."""
    if args.topic_arn is not None:
        return pulumi.Output.from_input(args.topic_arn)
    if not args.own_topic:
        return None
    topic = sns.Topic(
        f"{name}-topic",
        name=pulumi.Output.from_input(args.identifier).apply(lambda identifier: f"{identifier}-database"),
        display_name="Teleport Access Graph database",
        kms_master_key_id=key_arn,
        tags=args.tags,
        opts=opts,
    )
    policy = sns.TopicPolicy(
        f"{name}-topic-policy",
        arn=topic.arn,
        policy=pulumi.Output.all(topic.arn, args.account_id).apply(
            lambda resolved: topic_policy(topic_arn=resolved[0], account_id=resolved[1])
        ),
        opts=opts,
    )
    for address in args.topic_emails:
        sns.TopicSubscription(
            f"{name}-topic-email-{address}", topic=topic.arn, protocol="email", endpoint=address, opts=opts
        )
    return known_after(topic.arn, policy.id)


def make_event_subscriptions(
    name: str,
    args: DatabaseArgs,
    topic_arn: pulumi.Input[str],
    sources: dict[str, list[pulumi.Input[str]] | None],
    opts: pulumi.ResourceOptions,
) -> None:
    """Subscriptions to RDS's events. `sources` names what each source type watches; None is everything of that type."""
    identifier = pulumi.Output.from_input(args.identifier)
    for source_type, categories in EVENTS.items():
        label = _EVENT_NAMES[source_type]
        rds.EventSubscription(
            f"{name}-events-{label}",
            name=pulumi.Output.format("{0}-{1}", identifier, label),
            sns_topic=topic_arn,
            source_type=source_type,
            source_ids=sources[source_type],
            event_categories=categories,
            enabled=True,
            tags=args.tags,
            opts=opts,
        )


def make_alarms(
    name: str,
    args: DatabaseArgs,
    identifier: pulumi.Input[str],
    topic_arn: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> None:
    """The alarms that `args` asks for, on one instance."""
    alarms = {
        "storage": ("FreeStorageSpace", "LessThanThreshold", args.alarm_free_storage_gib, BYTES_A_GIB),
        "cpu": ("CPUUtilization", "GreaterThanThreshold", args.alarm_cpu_percent, 1),
        "connections": ("DatabaseConnections", "GreaterThanThreshold", args.alarm_connections, 1),
    }
    for label, (metric, comparison, threshold, unit) in alarms.items():
        if threshold is None:
            continue
        cloudwatch.MetricAlarm(
            f"{name}-alarm-{label}",
            name=pulumi.Output.format("{0}-{1}", identifier, label),
            alarm_description=pulumi.Output.format("Database {0} of Teleport Access Graph: {1}", identifier, metric),
            namespace="AWS/RDS",
            metric_name=metric,
            dimensions={"DBInstanceIdentifier": identifier},
            statistic="Average",
            comparison_operator=comparison,
            threshold=threshold * unit,
            period=ALARM_PERIOD_SECONDS,
            evaluation_periods=ALARM_PERIODS,
            # A new instance has no figures for a while; RDS's events report one that is gone.
            treat_missing_data="missing",
            alarm_actions=[topic_arn],
            ok_actions=[topic_arn],
            tags=args.tags,
            opts=opts,
        )
