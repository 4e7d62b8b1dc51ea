"""Who hears about the database: the alarms as CloudWatch gets them, and the topic once it accepts messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.database.graph import TAGS, record_database

pytestmark = pytest.mark.unit

TOPIC = "arn:aws:sns:us-east-1:123456789012:operations"
IDENTIFIER = "teleport-access-graph-dev"


@pytest.mark.parametrize(
    ("argument", "label", "metric", "comparison", "threshold"),
    [
        ("alarm_free_storage_gib", "storage", "FreeStorageSpace", "LessThanThreshold", 5 * 1024**3),
        ("alarm_cpu_percent", "cpu", "CPUUtilization", "GreaterThanThreshold", 5),
        ("alarm_connections", "connections", "DatabaseConnections", "GreaterThanThreshold", 5),
    ],
)
def test_an_alarm_is_exactly_this(argument: str, label: str, metric: str, comparison: str, threshold: int) -> None:
    """The alarm fires after a quarter of an hour and reports its end; missing data is no alarm."""
    changes: dict[str, Any] = {"topic_arn": TOPIC, argument: 5}
    (alarm,) = record_database(**changes).of_type("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert alarm.name == f"database-alarm-{label}"
    assert alarm.inputs == {
        "name": f"{IDENTIFIER}-{label}",
        "alarmDescription": f"Database {IDENTIFIER} of Teleport Access Graph: {metric}",
        "namespace": "AWS/RDS",
        "metricName": metric,
        "dimensions": {"DBInstanceIdentifier": IDENTIFIER},
        "statistic": "Average",
        "comparisonOperator": comparison,
        "threshold": threshold,
        "period": 300,
        "evaluationPeriods": 3,
        "treatMissingData": "missing",
        "alarmActions": [TOPIC],
        "okActions": [TOPIC],
        "tags": TAGS,
    }


def test_who_publishes_waits_until_the_topic_lets_it() -> None:
    """RDS tests a subscription when it is created, and refuses one whose topic does not let RDS publish."""
    edges = record_database(own_topic=True, alarm_cpu_percent=80).edges()
    publishers = {name for name in edges if name.startswith(("database-events-", "database-alarm-"))}
    assert publishers == {
        "database-events-instance",
        "database-events-parameters",
        "database-events-security",
        "database-alarm-cpu",
    }
    assert {name for name in publishers if {"database-topic", "database-topic-policy"} <= edges[name]} == publishers


def test_nobody_but_this_accounts_events_and_alarms_may_publish_to_the_topic() -> None:
    policy = record_database(own_topic=True)["database-topic-policy"].inputs["policy"]
    assert json.loads(policy)["Statement"] == [
        {
            "Sid": "Publish",
            "Effect": "Allow",
            "Principal": {"Service": ["events.rds.amazonaws.com", "cloudwatch.amazonaws.com"]},
            "Action": "sns:Publish",
            "Resource": "arn:aws:sns:us-east-1:123456789012:database-topic",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        }
    ]


def test_rds_tells_of_this_stacks_own_instances_and_of_what_wakes_an_operator() -> None:
    """Without ids, a subscription hears every database of the account. For DB security groups (from before VPCs) the
    stack has no ids to give."""
    recording = record_database(topic_arn=TOPIC, replica=True, master_password="generated")
    subscriptions = {
        one.inputs["sourceType"]: one.inputs for one in recording.of_type("aws:rds/eventSubscription:EventSubscription")
    }
    assert {kind: one.get("sourceIds") for kind, one in subscriptions.items()} == {
        "db-instance": [IDENTIFIER, f"{IDENTIFIER}-replica"],
        "db-parameter-group": [recording["database-instance"].inputs["parameterGroupName"]],
        "db-security-group": None,
    }
    assert {one["snsTopic"] for one in subscriptions.values()} == {TOPIC}
    wakes = {"availability", "deletion", "failover", "low storage", "recovery"}
    assert wakes <= set(subscriptions["db-instance"]["eventCategories"])


@pytest.mark.parametrize("given", [None, "arn:aws:kms:us-east-1:123456789012:key/given"], ids=["its own key", "given"])
def test_what_the_topic_holds_is_encrypted_with_the_databases_key(given: str | None) -> None:
    recording = record_database(own_topic=True, kms_key_arn=given)
    key = recording["database-topic"].inputs["kmsMasterKeyId"]
    assert key == recording["database-instance"].inputs["kmsKeyId"] == (given or key)
