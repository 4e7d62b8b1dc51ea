"""The read replica and the alarms that watch it: who can reach it and when, and what outlives the stack."""

from __future__ import annotations

import json
from typing import Any

import pulumi_random as random
import pytest

from components.database import Database, DatabaseArgs
from tests.unit.database.graph import DATABASE, record_database
from tests.unit.monitor import record

pytestmark = pytest.mark.unit

REPLICA: dict[str, Any] = {"replica": True, "master_password": "generated"}
WATCHED: dict[str, Any] = {
    "own_topic": True,
    "topic_emails": ["operators@example.com"],
    "alarm_free_storage_gib": 10,
    "alarm_cpu_percent": 80,
}


def test_its_address_is_known_once_every_client_reaches_it() -> None:
    def program() -> None:
        arguments: dict[str, Any] = {**DATABASE, **REPLICA}
        database = Database("database", DatabaseArgs(**arguments))
        random.RandomId("client", byte_length=4, keepers={"host": database.replica_address})

    assert record(program).edges()["client"] == {
        "database-replica",
        "database-ingress-sg-0a1b2c3d",
        "database-ingress-sg-1a1b2c3d",
    }


def test_its_log_groups_stand_before_it() -> None:
    """RDS would otherwise create the log groups itself: unencrypted, and kept forever."""
    recording = record_database(**REPLICA)
    assert {"database-replica-log-postgresql", "database-replica-log-upgrade"} <= recording.edges()["database-replica"]


def test_its_enhanced_monitoring_may_take_the_role_of_the_instances() -> None:
    """RDS refuses an instance whose monitoring role it may not take."""
    trust = json.loads(record_database(**REPLICA)["database-monitoring-role"].inputs["assumeRolePolicy"])
    arn = "arn:aws:rds:us-east-1:123456789012:db:teleport-access-graph-dev"
    assert trust["Statement"][0]["Condition"]["StringEquals"]["aws:SourceArn"] == [arn, f"{arn}-replica"]


@pytest.mark.slow
@pytest.mark.parametrize(("on_destroy", "kept"), [("keep", True), ("snapshot", False), ("delete", False)])
def test_the_protection_of_the_instance_is_not_the_replicas(on_destroy: str, kept: bool) -> None:
    recording = record_database(**REPLICA, on_destroy=on_destroy, protect=True)
    assert recording["database-instance"].protect
    assert recording["database-instance"].inputs["deletionProtection"] is True
    assert not recording["database-replica"].protect
    assert recording["database-replica"].inputs["deletionProtection"] is kept


@pytest.mark.slow
def test_who_watches_goes_with_the_stack_and_what_is_watched_may_stay() -> None:
    recording = record_database(**REPLICA, **WATCHED, on_destroy="keep")
    gone = {item.name for item in recording.custom() if not (item.retain_on_delete or item.deleted_with)}
    assert gone == {
        "database-master-password",
        "database-final-snapshot",
        "database-topic",
        "database-topic-policy",
        "database-topic-email-operators@example.com",
        "database-events-instance",
        "database-events-parameters",
        "database-events-security",
        "database-alarm-storage",
        "database-alarm-cpu",
        "database-replica-alarm-storage",
        "database-replica-alarm-cpu",
    }
