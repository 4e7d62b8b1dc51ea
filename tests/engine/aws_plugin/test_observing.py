"""Topics, event subscriptions and alarms on moto's API: made, read back, changed in place, deleted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.plugins.aws.observing_tables import (
    EVENT_SUBSCRIPTION,
    METRIC_ALARM,
    POD_IDENTITY,
    TOPIC,
    TOPIC_POLICY,
    TOPIC_SUBSCRIPTION,
)
from sandbox.plugins.aws.resources import violations
from sandbox.plugins.protocol import ResourceError
from tests.engine.aws_plugin.conftest import ACCOUNT, REGION, Engine

pytestmark = pytest.mark.engine

POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "events.rds.amazonaws.com"},
            "Action": "sns:Publish",
            "Resource": f"arn:aws:sns:{REGION}:{ACCOUNT}:graph",
        }
    ],
}


def test_topic_with_its_policy(engine: Engine, aws: Any) -> None:
    topic = engine.create(TOPIC, name="graph", displayName="Graph", kmsMasterKeyId="alias/graph", tags={"a": "1"})
    assert topic.id == topic.outputs["arn"] == f"arn:aws:sns:{REGION}:{ACCOUNT}:graph"
    policy = engine.create(TOPIC_POLICY, arn=topic.id, policy=json.dumps(POLICY))
    assert json.loads(aws("sns").get_topic_attributes(TopicArn=topic.id)["Attributes"]["Policy"]) == POLICY
    assert not engine.diff(policy, arn=topic.id, policy=json.dumps(POLICY, indent=1)).changes

    topic = engine.update(topic, name="graph", displayName="Other", kmsMasterKeyId="alias/other", tags={"b": "2"})
    attributes = aws("sns").get_topic_attributes(TopicArn=topic.id)["Attributes"]
    assert (attributes["DisplayName"], attributes["KmsMasterKeyId"]) == ("Other", "alias/other")
    assert topic.outputs["tagsAll"] == {"b": "2"}
    assert engine.diff(topic, name="another", displayName="Other", kmsMasterKeyId="alias/other").replaces == ["name"]
    engine.delete(topic)


def test_an_address_is_asked_to_subscribe(engine: Engine) -> None:
    topic = engine.create(TOPIC, name="asked")
    asked = engine.create(TOPIC_SUBSCRIPTION, topic=topic.id, protocol="email", endpoint="ops@example.com")
    assert asked.outputs["endpoint"] == "ops@example.com"
    assert engine.diff(asked, topic=topic.id, protocol="email", endpoint="other@example.com").replaces == ["endpoint"]
    engine.delete(asked)
    engine.delete(topic)


def test_event_subscription(engine: Engine, aws: Any) -> None:
    topic = engine.create(TOPIC, name="events")
    given: dict[str, Any] = {"name": "graph-instance", "snsTopic": topic.id, "sourceType": "db-parameter-group"}
    events = engine.create(EVENT_SUBSCRIPTION, **given, eventCategories=["configuration change"], tags={"stack": "dev"})
    (live,) = aws("rds").describe_event_subscriptions(SubscriptionName="graph-instance")["EventSubscriptionsList"]
    assert (live["SourceType"], live["EventCategoriesList"]) == ("db-parameter-group", ["configuration change"])
    assert events.outputs["tagsAll"] == {"stack": "dev"}
    events = engine.update(events, **given, eventCategories=["configuration change"], enabled=False, tags={"a": "1"})
    (live,) = aws("rds").describe_event_subscriptions(SubscriptionName="graph-instance")["EventSubscriptionsList"]
    assert (live["EventCategoriesList"], live["Enabled"]) == (["configuration change"], False)
    engine.delete(events)
    engine.delete(topic)


def test_a_replica_joins_and_leaves_those_whose_events_are_told(engine: Engine, aws: Any) -> None:
    for identifier in ("graph", "graph-replica"):
        aws("rds").create_db_instance(
            DBInstanceIdentifier=identifier, Engine="postgres", DBInstanceClass="db.t4g.micro", AllocatedStorage=20
        )
    topic = engine.create(TOPIC, name="events")
    given: dict[str, Any] = {"name": "graph-instance", "snsTopic": topic.id, "sourceType": "db-instance"}
    events = engine.create(EVENT_SUBSCRIPTION, **given, sourceIds=["graph"])
    for sources in (["graph", "graph-replica"], ["graph"]):
        events = engine.update(events, **given, sourceIds=sources)
        (live,) = aws("rds").describe_event_subscriptions(SubscriptionName="graph-instance")["EventSubscriptionsList"]
        assert sorted(live["SourceIdsList"]) == sources
    with pytest.raises(ResourceError, match="SourceNotFound"):
        engine.update(events, **given, sourceIds=["graph", "gone"])


ALARM: dict[str, Any] = {
    "name": "graph-storage",
    "comparisonOperator": "LessThanThreshold",
    "evaluationPeriods": 3,
    "metricName": "FreeStorageSpace",
    "namespace": "AWS/RDS",
    "period": 300,
    "statistic": "Average",
    "threshold": 5 * 1024**3,
    "dimensions": {"DBInstanceIdentifier": "graph"},
}


def test_alarm(engine: Engine, aws: Any) -> None:
    topic = engine.create(TOPIC, name="alarms")
    alarm = engine.create(METRIC_ALARM, **ALARM, alarmActions=[topic.id], okActions=[topic.id], tags={"a": "1"})
    (live,) = aws("cloudwatch").describe_alarms(AlarmNames=["graph-storage"])["MetricAlarms"]
    assert (live["Threshold"], live["AlarmActions"]) == (5 * 1024**3, [topic.id])
    assert live["Dimensions"] == [{"Name": "DBInstanceIdentifier", "Value": "graph"}]
    alarm = engine.update(alarm, **{**ALARM, "threshold": 1.5}, alarmActions=[topic.id], tags={"a": "1"})
    (live,) = aws("cloudwatch").describe_alarms(AlarmNames=["graph-storage"])["MetricAlarms"]
    assert (live["Threshold"], live["OKActions"]) == (1.5, [])
    engine.delete(alarm)
    engine.delete(topic)


@pytest.mark.parametrize(
    ("type_", "inputs", "text"),
    [
        (METRIC_ALARM, {**ALARM, "threshold": None}, "threshold: is needed for an alarm of a metric"),
        (METRIC_ALARM, {**ALARM, "statistic": "Mean"}, "expected statistic to be one of SampleCount"),
        (METRIC_ALARM, {**ALARM, "alarmActions": ["ops"]}, "does not match"),
        (EVENT_SUBSCRIPTION, {"snsTopic": "ops"}, "does not match"),
        (EVENT_SUBSCRIPTION, {"snsTopic": f"arn:aws:sns:{REGION}:{ACCOUNT}:a", "sourceIds": ["x"]}, "needs sourceType"),
        (
            EVENT_SUBSCRIPTION,
            {
                "snsTopic": f"arn:aws:sns:{REGION}:{ACCOUNT}:a",
                "sourceType": "db-security-group",
                "eventCategories": ["failover"],
            },
            "'failover' is no category of db-security-group",
        ),
        (TOPIC, {"name": "a b"}, "does not match"),
        (TOPIC_SUBSCRIPTION, {"topic": "ops", "protocol": "pager", "endpoint": "1"}, "expected protocol to be one of"),
        (POD_IDENTITY, {"clusterName": "prod"}, "Missing required argument: namespace"),
    ],
)
def test_what_aws_refuses_is_refused_at_check(type_: str, inputs: dict[str, Any], text: str) -> None:
    assert any(text in found for found in violations(type_, inputs)), violations(type_, inputs)
