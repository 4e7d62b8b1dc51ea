"""Tables of the types that tell operators about the database - topics, events, alarms - and of EKS's associations."""

from __future__ import annotations

from typing import Final

from sandbox.plugins.aws.inputs import ARN, TAGS, TERRAFORM, TOPIC_ARN, named
from sandbox.plugins.aws.tables import Autoname, Input, ResourceType
from sandbox.plugins.values import Properties

TOPIC: Final = "aws:sns/topic:Topic"
TOPIC_POLICY: Final = "aws:sns/topicPolicy:TopicPolicy"
TOPIC_SUBSCRIPTION: Final = "aws:sns/topicSubscription:TopicSubscription"
EVENT_SUBSCRIPTION: Final = "aws:rds/eventSubscription:EventSubscription"
METRIC_ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
POD_IDENTITY: Final = "aws:eks/podIdentityAssociation:PodIdentityAssociation"

# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateEventSubscription.html
SOURCE_TYPES: Final = (
    "db-instance", "db-security-group", "db-parameter-group", "db-snapshot", "db-cluster", "db-cluster-snapshot",
    "custom-engine-version", "db-proxy", "blue-green-deployment",
)  # fmt: skip
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html
CATEGORIES: Final = {
    "db-instance": (
        "availability", "backup", "configuration change", "creation", "deletion", "failover", "failure", "low storage",
        "maintenance", "notification", "read replica", "recovery", "restoration", "security", "security patching",
    ),
    "db-parameter-group": ("configuration change",),
    "db-security-group": ("configuration change", "failure"),
}  # fmt: skip


def event_rules(inputs: Properties) -> list[tuple[str, str]]:
    """What CreateEventSubscription refuses in combination."""
    if inputs.get("sourceIds") and not inputs.get("sourceType"):
        return [("sourceIds", "needs sourceType")]
    known = CATEGORIES.get(str(inputs.get("sourceType")))
    strangers = [name for name in inputs.get("eventCategories") or () if known and name not in known]
    return [("eventCategories", f"{name!r} is no category of {inputs['sourceType']}") for name in strangers]


def alarm_rules(inputs: Properties) -> list[tuple[str, str]]:
    """An alarm on a single metric, the only form supported here, needs all of these inputs."""
    needed = ("comparisonOperator", "evaluationPeriods", "metricName", "namespace", "period", "statistic", "threshold")
    return [(name, "is needed for an alarm of a metric") for name in needed if inputs.get(name) is None]


TABLES: Final = (
    ResourceType(
        TOPIC,
        f"{TERRAFORM}sns_topic",
        {
            **named(r"[\w-]{1,256}", longest=256, prefix_pattern=r"[\w-]+", longest_prefix=230),
            "displayName": Input(longest=100),
            "kmsMasterKeyId": Input(),
            "tags": TAGS,
        },
        ("arn", "owner", "policy", "signatureVersion", "tracingConfig", "tagsAll", "region"),
        autoname=Autoname(longest=256),
    ),
    ResourceType(
        TOPIC_POLICY,
        f"{TERRAFORM}sns_topic_policy",
        {
            "arn": Input(required=True, replaces=True, pattern=TOPIC_ARN),
            "policy": Input(required=True, document=True),
        },
        ("owner", "region"),
    ),
    ResourceType(
        TOPIC_SUBSCRIPTION,
        f"{TERRAFORM}sns_topic_subscription",
        {
            "topic": Input(required=True, replaces=True, pattern=TOPIC_ARN),
            "protocol": Input(
                required=True,
                replaces=True,
                choices=(
                    "application", "email", "email-json", "firehose", "http", "https", "lambda", "sms", "sqs",
                ),
            ),
            "endpoint": Input(required=True, replaces=True),
            "confirmationTimeoutInMinutes": Input("integer", default=1),
            "endpointAutoConfirms": Input("boolean", default=False),
            "rawMessageDelivery": Input("boolean", default=False),
        },
        ("arn", "confirmationWasAuthenticated", "ownerId", "pendingConfirmation", "filterPolicyScope", "region"),
    ),
    ResourceType(
        EVENT_SUBSCRIPTION,
        f"{TERRAFORM}db_event_subscription",
        {
            **named(r"[A-Za-z][0-9A-Za-z-]*", longest=255, prefix_pattern=r"[A-Za-z][0-9A-Za-z-]*", longest_prefix=229),
            "snsTopic": Input(required=True, pattern=ARN),
            "sourceType": Input(choices=SOURCE_TYPES),
            "sourceIds": Input("set"),
            "eventCategories": Input("set"),
            "enabled": Input("boolean", default=True),
            "tags": TAGS,
        },
        ("arn", "customerAwsId", "tagsAll", "region"),
        autoname=Autoname(),
        rules=event_rules,
    ),
    ResourceType(
        METRIC_ALARM,
        f"{TERRAFORM}cloudwatch_metric_alarm",
        {
            "name": Input(computed=True, replaces=True, longest=255),
            "alarmDescription": Input(longest=1024),
            "actionsEnabled": Input("boolean", default=True),
            "alarmActions": Input("set", pattern=ARN),
            "okActions": Input("set", pattern=ARN),
            "insufficientDataActions": Input("set", pattern=ARN),
            "comparisonOperator": Input(

                choices=(
                    "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold",
                    "LessThanOrEqualToThreshold",
                ),
            ),
            "dimensions": Input("map", longest=1024),
            "evaluationPeriods": Input("integer", between=(1, 86400)),
            "metricName": Input(longest=255),
            "namespace": Input(longest=255),
            "period": Input("integer", between=(1, 604800)),
            "statistic": Input(choices=("SampleCount", "Average", "Sum", "Minimum", "Maximum")),
            "threshold": Input("number"),
            "treatMissingData": Input(default="missing", choices=("breaching", "notBreaching", "ignore", "missing")),
            "tags": TAGS,
        },
        ("arn", "evaluateLowSampleCountPercentiles", "tagsAll", "region"),
        autoname=Autoname(),
        rules=alarm_rules,
    ),
    ResourceType(
        POD_IDENTITY,
        f"{TERRAFORM}eks_pod_identity_association",
        {
            "clusterName": Input(required=True, replaces=True, longest=100),
            "namespace": Input(required=True, replaces=True),
            "serviceAccount": Input(required=True, replaces=True),
            "roleArn": Input(required=True, pattern=ARN),
            "tags": TAGS,
        },
        ("associationArn", "associationId", "tagsAll", "region"),
    ),
)  # fmt: skip
