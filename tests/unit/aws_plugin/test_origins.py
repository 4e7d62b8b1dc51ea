"""An instance that begins with data: which call creates it, with which parameters, and what is modified afterwards."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from sandbox.plugins.aws.database_origins import create_instance, modified_after
from sandbox.plugins.aws.databases import Instance
from sandbox.plugins.aws.objects import Change, Deadline
from sandbox.plugins.aws.resources import INSTANCE, TYPES
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

pytestmark = pytest.mark.unit

# The inputs of an instance as the program registers it, without the origin of its data.
COMMON: Properties = {
    "allowMajorVersionUpgrade": True,
    "applyImmediately": False,
    "autoMinorVersionUpgrade": True,
    "backupRetentionPeriod": 7,
    "caCertIdentifier": "rds-ca-rsa2048-g1",
    "copyTagsToSnapshot": True,
    "databaseInsightsMode": "standard",
    "deletionProtection": True,
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
    "iamDatabaseAuthenticationEnabled": True,
    "identifier": "graph",
    "instanceClass": "db.t4g.medium",
    "maxAllocatedStorage": 100,
    "monitoringInterval": 60,
    "monitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
    "parameterGroupName": "graph-17",
    "performanceInsightsEnabled": True,
    "performanceInsightsKmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
    "performanceInsightsRetentionPeriod": 7,
    "port": 6432,
    "publiclyAccessible": False,
    "storageEncrypted": True,
    "storageType": "gp3",
    "vpcSecurityGroupIds": ["sg-1"],
}
PRIMARY: Properties = {
    **COMMON,
    "allocatedStorage": 20,
    "dbSubnetGroupName": "graph-subnets",
    "engine": "postgres",
    "engineVersion": "17",
    "manageMasterUserPassword": True,
    "masterUserSecretKmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
}
TAGS = [{"Key": "Stack", "Value": "dev"}]
IN_EVERY_CALL = {
    "AutoMinorVersionUpgrade": True,
    "CopyTagsToSnapshot": True,
    "DBInstanceClass": "db.t4g.medium",
    "DeletionProtection": True,
    "EnableCloudwatchLogsExports": ["postgresql", "upgrade"],
    "EnableIAMDatabaseAuthentication": True,
    "Port": 6432,
    "PubliclyAccessible": False,
    "Tags": TAGS,
    "VpcSecurityGroupIds": ["sg-1"],
}


class Client:
    """RDS's client; it records the one call and its parameters."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(**parameters: Any) -> dict[str, Any]:
            self.calls.append((name, parameters))
            return {"DBInstance": {"DbiResourceId": "db-MADE"}}

        return call


class Connected:
    def __init__(self) -> None:
        self.rds = Client()

    def client(self, service: str) -> Client:
        assert service == "rds"
        return self.rds


def made(inputs: Properties) -> tuple[str, dict[str, Any]]:
    client = Client()
    assert create_instance(client, inputs, "graph", TAGS) == "db-MADE"
    (call,) = client.calls
    return call


def test_a_replica_is_asked_of_its_source() -> None:
    assert made({**COMMON, "replicateSourceDb": "primary"}) == (
        "create_db_instance_read_replica",
        {
            **IN_EVERY_CALL,
            "DBInstanceIdentifier": "graph",
            "SourceDBInstanceIdentifier": "primary",
            "DatabaseInsightsMode": "standard",
            "EnablePerformanceInsights": True,
            "PerformanceInsightsKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
            "PerformanceInsightsRetentionPeriod": 7,
            "MonitoringInterval": 60,
            "MonitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring",
            "StorageType": "gp3",
        },
    )


def test_a_snapshot_gives_data_and_the_rest_is_modified() -> None:
    inputs = {**PRIMARY, "snapshotIdentifier": "primary-final"}
    assert made(inputs) == (
        "restore_db_instance_from_db_snapshot",
        {
            **IN_EVERY_CALL,
            "DBInstanceIdentifier": "graph",
            "DBSnapshotIdentifier": "primary-final",
            "DBParameterGroupName": "graph-17",
            "DBSubnetGroupName": "graph-subnets",
            "Engine": "postgres",
        },
    )
    assert modified_after(inputs, {}) == [
        "allocatedStorage",
        "backupRetentionPeriod",
        "caCertIdentifier",
        "engineVersion",
        "manageMasterUserPassword",
        "masterUserSecretKmsKeyId",
        "maxAllocatedStorage",
        "monitoringInterval",
        "monitoringRoleArn",
        "performanceInsightsEnabled",
        "performanceInsightsKmsKeyId",
        "performanceInsightsRetentionPeriod",
        "storageType",
    ]


@pytest.mark.parametrize(
    ("moment", "asked"),
    [
        ({"useLatestRestorableTime": True}, {"UseLatestRestorableTime": True}),
        ({"restoreTime": "2026-01-31T00:00:00Z"}, {"RestoreTime": "2026-01-31T00:00:00Z"}),
    ],
)
def test_a_moment_gives_data_and_the_official_plugin_modifies_little(moment: Properties, asked: Properties) -> None:
    inputs = {**PRIMARY, "restoreToPointInTime": {"sourceDbInstanceIdentifier": "primary", **moment}}
    assert made(inputs) == (
        "restore_db_instance_to_point_in_time",
        {
            **IN_EVERY_CALL,
            "TargetDBInstanceIdentifier": "graph",
            "SourceDBInstanceIdentifier": "primary",
            **asked,
            "DBParameterGroupName": "graph-17",
            "DBSubnetGroupName": "graph-subnets",
            "Engine": "postgres",
            "MaxAllocatedStorage": 100,
            "StorageType": "gp3",
        },
    )
    assert modified_after(inputs, {}) == [
        "manageMasterUserPassword",
        "masterUserSecretKmsKeyId",
        "monitoringInterval",
        "monitoringRoleArn",
    ]


def test_of_a_replica_what_it_already_has_is_not_modified() -> None:
    inputs = {**COMMON, "replicateSourceDb": "primary", "backupRetentionPeriod": None}
    live = {**COMMON, "caCertIdentifier": "rds-ca-ecc384-g1", "maxAllocatedStorage": None}
    assert modified_after(inputs, live) == ["caCertIdentifier", "maxAllocatedStorage"]
    assert modified_after(inputs, COMMON) == []


def test_what_begins_empty_is_modified_by_nothing() -> None:
    inputs = {**PRIMARY, "dbName": "graph", "username": "tag_admin"}
    assert made(inputs)[0] == "create_db_instance"
    assert modified_after(inputs, {}) == []


def test_another_origin_replaces_and_an_ignored_one_does_not() -> None:
    table = TYPES[INSTANCE]
    old = {**PRIMARY, "snapshotIdentifier": "first"}
    for new in (
        {**PRIMARY, "snapshotIdentifier": "second"},
        {**PRIMARY, "restoreToPointInTime": {"sourceDbInstanceIdentifier": "a", "useLatestRestorableTime": True}},
    ):
        assert len(table.difference(old, new, []).replaces) == 1
        assert not table.difference(old, new, ["snapshotIdentifier", "restoreToPointInTime"]).changes
    assert not table.difference(old, PRIMARY, []).changes, "the plugin keeps a snapshot that is no longer given"


def change(old: Properties, new: Properties) -> Change:
    return Change(old=old, new=new, changed=frozenset({"replicateSourceDb"}), old_tags={}, tags={})


def test_a_replica_without_its_source_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    table, connection = TYPES[INSTANCE], Connected()
    old = {**COMMON, "replicateSourceDb": "primary", "arn": "arn:aws:rds:us-east-1:123456789012:db:graph"}
    difference = table.difference(old, COMMON, [])
    assert (difference.diffs, difference.replaces) == (["replicateSourceDb"], [])
    monkeypatch.setattr(Instance, "_await_available", lambda *_: None)
    deadline = Deadline(60, threading.Event())
    Instance().update(connection, "db-1", change(old, {**COMMON, "backupWindow": "03:00-03:30"}), deadline)  # type: ignore[arg-type]
    assert connection.rds.calls == [
        (
            "promote_read_replica",
            {"DBInstanceIdentifier": "graph", "BackupRetentionPeriod": 7, "PreferredBackupWindow": "03:00-03:30"},
        )
    ]
    with pytest.raises(ResourceError, match="cannot elect new source database for replication"):
        Instance().update(connection, "db-1", change(old, {**COMMON, "replicateSourceDb": "other"}), deadline)  # type: ignore[arg-type]
