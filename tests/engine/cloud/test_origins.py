"""Instances that begin with another's data: read replicas, and restores to a point in time."""

from __future__ import annotations

import datetime
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from tests.engine.cloud.conftest import MASTER, SETTLE_SECONDS, Cloud, wait_until

pytestmark = pytest.mark.engine

PASSWORD = "only-in-this-test-1"
# AWS does not manage the password, because RDS replicates no instance with a managed one.
WITH_PASSWORD = {"ManageMasterUserPassword": None, "MasterUserPassword": PASSWORD}


def replicate(cloud: Cloud, source: str, **options: Any) -> dict[str, Any]:
    name = f"{source}-replica"
    cloud.client("rds").create_db_instance_read_replica(
        DBInstanceIdentifier=name, SourceDBInstanceIdentifier=source, **options
    )
    return cloud.settled(name)


def rows(cloud: Cloud, instance: dict[str, Any], statement: str) -> list[Any]:
    with cloud.connect(instance, password=PASSWORD) as connection:
        return connection.execute(statement).fetchall()


def shows(cloud: Cloud, instance: dict[str, Any], statement: str, expected: list[Any]) -> Callable[[], bool]:
    def condition() -> bool:
        try:
            return rows(cloud, instance, statement) == expected
        except psycopg.Error:
            return False

    return condition


def test_a_replica_follows_its_source_and_only_reads(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    source = cloud.create("led", **WITH_PASSWORD)
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE told AS SELECT 1 AS number")
    replica = replicate(cloud, "led", Port=6543, Tags=[{"Key": "stack", "Value": "test"}])
    told = {
        "ReadReplicaSourceDBInstanceIdentifier": "led",
        "BackupRetentionPeriod": 0,
        "EngineVersion": source["EngineVersion"],
        "MasterUsername": MASTER,
        "DBName": "access_graph",
        "DeletionProtection": False,
        "TagList": [{"Key": "stack", "Value": "test"}],
    }
    assert {name: replica[name] for name in told} == told
    assert replica["DbiResourceId"] != source["DbiResourceId"]
    assert replica["Endpoint"]["Port"] == 6543
    assert replica["Endpoint"]["Address"] != source["Endpoint"]["Address"]
    assert cloud.address_of(replica)[0] != cloud.address_of(source)[0]
    assert "LatestRestorableTime" not in replica
    assert cloud.instance("led")["ReadReplicaDBInstanceIdentifiers"] == ["led-replica"]
    # The replica has the source's logins, a certificate of its own (`connect` verifies the name), and the data from
    # before and after its creation.
    assert rows(cloud, replica, "SELECT number, pg_is_in_recovery() FROM told") == [(1, True)]
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("INSERT INTO told VALUES (2)")
    wait_until(shows(cloud, replica, "SELECT count(*) FROM told", [(2,)]), SETTLE_SECONDS)
    with cloud.connect(replica, password=PASSWORD) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO told VALUES (3)")

    # The replica goes on following its source when the source's server changes to another port.
    rds.modify_db_instance(DBInstanceIdentifier="led", DBPortNumber=6001)
    source = cloud.settled("led")
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("INSERT INTO told VALUES (3)")
    wait_until(shows(cloud, replica, "SELECT count(*) FROM told", [(3,)]), SETTLE_SECONDS)

    with pytest.raises(ClientError, match="Cannot change master user password on an RDS postgres Read Replica"):
        rds.modify_db_instance(DBInstanceIdentifier="led-replica", MasterUserPassword="another-password-1")
    with pytest.raises(ClientError, match="can't be stopped"):
        rds.stop_db_instance(DBInstanceIdentifier="led")
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier can not be specified when deleting a replica"):
        rds.delete_db_instance(DBInstanceIdentifier="led-replica", FinalDBSnapshotIdentifier="led-replica-final")
    rds.delete_db_instance(DBInstanceIdentifier="led-replica", SkipFinalSnapshot=True)
    cloud.deleted("led-replica")
    assert cloud.instance("led")["ReadReplicaDBInstanceIdentifiers"] == []


def test_what_rds_does_not_replicate_is_refused(cloud: Cloud) -> None:
    cloud.create("secretive")
    with pytest.raises(ClientError, match="where ManageMasterUserPassword is enabled is not supported"):
        replicate(cloud, "secretive")
    cloud.create("careless", **WITH_PASSWORD, BackupRetentionPeriod=0)
    with pytest.raises(ClientError, match="Automated backups are not enabled"):
        replicate(cloud, "careless")
    assert {"secretive-replica", "careless-replica"}.isdisjoint(cloud.identifiers())


@pytest.mark.parametrize("end", ["promoted", "source deleted"])
def test_a_replica_that_is_left_alone_writes(cloud: Cloud, end: str) -> None:
    rds, name = cloud.client("rds"), end.replace(" ", "-")
    source = cloud.create(name, **WITH_PASSWORD)
    replica = replicate(cloud, name)
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE inherited AS SELECT generate_series(1, 1000) AS number")
    if end == "promoted":
        rds.promote_read_replica(DBInstanceIdentifier=f"{name}-replica")
    else:
        rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
        cloud.deleted(name)
    replica = cloud.settled(f"{name}-replica")
    assert "ReadReplicaSourceDBInstanceIdentifier" not in replica
    assert replica["BackupRetentionPeriod"] == (1 if end == "promoted" else 0)
    # A promoted replica lacks changes that were still on their way; one whose source was deleted has all of them.
    known = "SELECT count(*) FROM inherited" if end != "promoted" else "SELECT 1000"
    assert rows(cloud, replica, known) == [(1000,)]
    with cloud.connect(replica, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE own AS SELECT 1")
    if end == "promoted":
        assert cloud.instance(name)["ReadReplicaDBInstanceIdentifiers"] == []
        with cloud.connect(source, password=PASSWORD) as connection:
            connection.execute("CREATE TABLE own AS SELECT 2")
        assert rows(cloud, replica, "TABLE own") == [(1,)]


def test_an_instance_is_had_again_as_it_was_at_a_moment(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    cloud.create("past", **WITH_PASSWORD, BackupRetentionPeriod=7, Port=6432)
    source = cloud.instance("past")
    earliest = source["LatestRestorableTime"]
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE events (number integer)")
        connection.execute("INSERT INTO events VALUES (1)")
        # The API takes times in whole seconds.
        time.sleep(1.1)
        row = connection.execute("SELECT date_trunc('second', now())").fetchone()
        assert row is not None
        moment: datetime.datetime = row[0]
        time.sleep(1.1)
        connection.execute("INSERT INTO events VALUES (2)")
        connection.execute("DROP TABLE IF EXISTS nothing")
        restored = {}
        for name, options in {"before": {"RestoreTime": moment}, "latest": {"UseLatestRestorableTime": True}}.items():
            rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier="past", TargetDBInstanceIdentifier=name, **options
            )
            restored[name] = cloud.settled(name)
        connection.execute("INSERT INTO events VALUES (3)")
    assert rows(cloud, restored["before"], "SELECT number FROM events ORDER BY 1") == [(1,)]
    assert rows(cloud, restored["latest"], "SELECT number FROM events ORDER BY 1") == [(1,), (2,)]
    assert rows(cloud, source, "SELECT number FROM events ORDER BY 1") == [(1,), (2,), (3,)]
    told = {"DBName": "access_graph", "MasterUsername": MASTER, "BackupRetentionPeriod": 7, "TagList": []}
    assert {name: restored["before"][name] for name in told} == told
    assert restored["before"]["Endpoint"]["Port"] == 6432
    assert "ReadReplicaSourceDBInstanceIdentifier" not in restored["before"]
    # The restored instance has backups of its own.
    with cloud.connect(restored["before"], password=PASSWORD) as connection:
        connection.execute("INSERT INTO events VALUES (10)")
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="before", TargetDBInstanceIdentifier="after", UseLatestRestorableTime=True
    )
    assert rows(cloud, cloud.settled("after"), "SELECT number FROM events ORDER BY 1") == [(1,), (10,)]

    for wrong, text in {
        earliest - datetime.timedelta(days=1): "earlier than .* because its backup retention period is set to 7 days",
        earliest + datetime.timedelta(days=1): "cannot be restored to a time later than",
    }.items():
        with pytest.raises(ClientError, match=text):
            rds.restore_db_instance_to_point_in_time(
                SourceDBInstanceIdentifier="past", TargetDBInstanceIdentifier="never", RestoreTime=wrong
            )
    cloud.create("forgetful", **WITH_PASSWORD, BackupRetentionPeriod=0)
    with pytest.raises(ClientError, match="Automated backups are not enabled"):
        rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier="forgetful", TargetDBInstanceIdentifier="never", UseLatestRestorableTime=True
        )
    assert "never" not in cloud.identifiers()


def test_backups_begin_with_the_retention_that_asks_for_them(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    cloud.create("late", **WITH_PASSWORD, BackupRetentionPeriod=0)
    assert "LatestRestorableTime" not in cloud.instance("late")
    assert rds.describe_db_snapshots(DBInstanceIdentifier="late")["DBSnapshots"] == []
    rds.modify_db_instance(DBInstanceIdentifier="late", BackupRetentionPeriod=3, ApplyImmediately=True)
    source = cloud.settled("late")
    assert "LatestRestorableTime" in source
    with cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 5 AS number")
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="late", TargetDBInstanceIdentifier="later", UseLatestRestorableTime=True
    )
    assert rows(cloud, cloud.settled("later"), "TABLE kept") == [(5,)]


def test_replicas_and_restores_that_a_kill_interrupts_are_finished(own_cloud: Cloud) -> None:
    own_cloud.start()
    rds = own_cloud.client("rds")
    source = own_cloud.create("origin", **WITH_PASSWORD)
    with own_cloud.connect(source, password=PASSWORD) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
    rds.create_db_snapshot(DBInstanceIdentifier="origin", DBSnapshotIdentifier="copy")
    wait_until(
        lambda: rds.describe_db_snapshots(DBSnapshotIdentifier="copy")["DBSnapshots"][0]["Status"] == "available",
        SETTLE_SECONDS,
    )
    rds.create_db_instance_read_replica(DBInstanceIdentifier="reader", SourceDBInstanceIdentifier="origin")
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="restored", DBSnapshotIdentifier="copy")
    rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="origin", TargetDBInstanceIdentifier="returned", UseLatestRestorableTime=True
    )
    own_cloud.stop(signal.SIGKILL)
    own_cloud.start()
    for name in ("reader", "restored", "returned"):
        wait_until(shows(own_cloud, own_cloud.settled(name), "TABLE kept", [(1,)]), SETTLE_SECONDS)
    with own_cloud.connect(own_cloud.settled("origin"), password=PASSWORD) as connection:
        connection.execute("INSERT INTO kept VALUES (2)")
    wait_until(shows(own_cloud, own_cloud.instance("reader"), "SELECT count(*) FROM kept", [(2,)]), SETTLE_SECONDS)
    assert rows(own_cloud, own_cloud.instance("reader"), "SELECT pg_is_in_recovery()") == [(True,)]
    assert re.search("Traceback", own_cloud.log_file.read_text()) is None
