"""Preflight of a restored instance: it reports everything about the source that RDS would refuse in the middle of an
`up`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.settings import Settings, load_settings
from operations.checks import restoration
from operations.checks.other_stacks import check_instance
from operations.checks.restoration import check_restoration
from operations.findings import Finding, Outcome
from tests.samples import minimal_configuration
from tests.unit.operations.databases import put_instance

pytestmark = pytest.mark.unit

# In the form of DescribeDBSnapshots and DescribeDBInstances.
DATA = {"Engine": "postgres", "EngineVersion": "17.4", "AllocatedStorage": 90}
SNAPSHOT = {**DATA, "Status": "available", "Encrypted": True}
INSTANCE = {
    **DATA,
    "StorageEncrypted": True,
    "InstanceCreateTime": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "LatestRestorableTime": datetime(2026, 3, 1, 12, tzinfo=timezone.utc),
}
AUTOMATED = "rds:graph-2026-03-01-03-07"
FROM_SNAPSHOT = {"mode": "snapshot", "snapshotIdentifier": "graph-final"}
FROM_INSTANCE = {"mode": "pointInTime", "sourceIdentifier": "graph-of-before"}


def settings_with(restore: dict[str, Any], **changes: Any) -> Settings:
    config = minimal_configuration()
    config["aws"]["region"] = "us-east-1"
    config["database"] |= {"identifier": "graph", "restore": restore, **changes}
    return load_settings(config, (), root=Path.cwd(), stack="dev")


def found_of(
    monkeypatch: pytest.MonkeyPatch, restore: dict[str, Any], *data: dict[str, Any], **changes: Any
) -> Finding:
    """The finding when AWS has `data` as the source."""

    class Rds:
        def describe_db_snapshots(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:
            assert Filters[0]["Name"] == "db-snapshot-id"
            return {"DBSnapshots": list(data)}

        def describe_db_instances(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:
            assert Filters == [{"Name": "db-instance-id", "Values": [restore["sourceIdentifier"]]}]
            return {"DBInstances": list(data)}

    monkeypatch.setattr(restoration, "aws_client", lambda *_: Rds())
    settings = settings_with(restore, **changes)
    (finding,) = check_restoration(settings.aws, settings.database)  # type: ignore[arg-type]
    assert finding.check == "aws.restore"
    return finding


@pytest.mark.parametrize(
    ("restore", "data", "seen"),
    [
        (FROM_SNAPSHOT, SNAPSHOT, "graph-final, PostgreSQL 17.4"),
        (FROM_INSTANCE, INSTANCE, "graph-of-before until 2026-03-01T12:00:00Z"),
        ({**FROM_INSTANCE, "time": "2026-02-01T00:00:00+01:00"}, INSTANCE, "graph-of-before at 2026-02-01"),
    ],
    ids=["snapshot", "latest", "moment"],
)
def test_data_that_are_there_and_fit_are_taken(
    monkeypatch: pytest.MonkeyPatch, restore: dict[str, Any], data: dict[str, Any], seen: str
) -> None:
    finding = found_of(monkeypatch, restore, data)
    assert finding.outcome is Outcome.PASS
    assert finding.reason.startswith(seen)


@pytest.mark.parametrize("restore", [FROM_SNAPSHOT, FROM_INSTANCE], ids=["snapshot", "latest"])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"Engine": "mysql"}, "the data are of mysql"),
        ({"Encrypted": False, "StorageEncrypted": False}, "the data are not encrypted: copy"),
        ({"EngineVersion": "16.9"}, "the data are of PostgreSQL 16, and database.engineVersion is 17: set it to 16"),
        ({"AllocatedStorage": 2000}, "database.maxAllocatedStorageGib is 100, and for the 2000 GiB that they have RDS"),
    ],
    ids=["engine", "plain", "version", "storage"],
)
def test_data_that_rds_would_not_restore_so_are_told(
    monkeypatch: pytest.MonkeyPatch, restore: dict[str, Any], data: dict[str, Any], reason: str
) -> None:
    of = SNAPSHOT if restore is FROM_SNAPSHOT else INSTANCE
    finding = found_of(monkeypatch, restore, {**of, **data}, maxAllocatedStorageGib=100)
    assert finding.outcome is Outcome.FAIL
    assert reason in finding.reason


def test_a_snapshot_that_is_still_being_taken_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    finding = found_of(monkeypatch, FROM_SNAPSHOT, {**SNAPSHOT, "Status": "creating"})
    assert (finding.outcome, finding.reason) == (
        Outcome.FAIL,
        "the snapshot is creating, and RDS restores one that is available",
    )


@pytest.mark.parametrize(
    ("data", "time", "reason"),
    [
        ([], None, "there is no instance graph-of-before in us-east-1"),
        ([{**DATA, "BackupRetentionPeriod": 0}], None, "has no backups (BackupRetentionPeriod is 0)"),
        ([INSTANCE], "2026-03-01T13:00:00Z", "end at 2026-03-01T12:00:00Z, before database.restore.time"),
        ([INSTANCE], "2025-12-31T00:00:00Z", "was made at 2026-01-01T00:00:00Z, after database.restore.time"),
    ],
    ids=["gone", "without backups", "after", "before"],
)
def test_a_moment_without_backups_is_told(
    monkeypatch: pytest.MonkeyPatch, data: list[dict[str, Any]], time: str | None, reason: str
) -> None:
    restore = FROM_INSTANCE if time is None else {**FROM_INSTANCE, "time": time}
    finding = found_of(monkeypatch, restore, *data)
    assert finding.outcome is Outcome.FAIL
    assert reason in finding.reason


def test_which_version_it_had_at_a_moment_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = {**FROM_INSTANCE, "time": "2026-02-01T00:00:00Z"}
    assert found_of(monkeypatch, restore, {**INSTANCE, "EngineVersion": "18.1"}).outcome is Outcome.PASS


def test_what_these_credentials_may_not_ask_stands_against_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rds:
        def describe_db_snapshots(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeDBSnapshots")

    monkeypatch.setattr(restoration, "aws_client", lambda *_: Rds())
    settings = settings_with(FROM_SNAPSHOT)
    (finding,) = check_restoration(settings.aws, settings.database)  # type: ignore[arg-type]
    assert finding.outcome is Outcome.NOT_PROVEN


@pytest.mark.slow
def test_aws_is_asked_for_the_one_that_is_named_before_there_is_an_instance(aws_account: None) -> None:
    rds = boto3.client("rds", region_name="us-east-1")
    put_instance("source", "us-east-1", EngineVersion="17.4", StorageEncrypted=True)
    rds.create_db_snapshot(DBInstanceIdentifier="source", DBSnapshotIdentifier="graph-final")
    (finding,) = check_instance(settings_with(FROM_SNAPSHOT), None)
    assert (finding.outcome, finding.reason) == (Outcome.PASS, "graph-final, PostgreSQL 17.4")
    of_another_name = {**FROM_SNAPSHOT, "snapshotIdentifier": "graph-finale"}
    (finding,) = check_instance(settings_with(of_another_name), None)
    assert finding.outcome is Outcome.FAIL
    assert "there is no snapshot graph-finale in us-east-1" in finding.reason
    (finding,) = check_instance(settings_with({**FROM_INSTANCE, "sourceIdentifier": "source"}), None)
    assert finding.reason.startswith("source ")


def test_an_automated_snapshot_is_found_by_its_arn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Rds:
        def describe_db_snapshots(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:
            asked.extend(Filters)
            return {"DBSnapshots": [SNAPSHOT]}

    monkeypatch.setattr(restoration, "aws_client", lambda *_: Rds())
    arn = f"arn:aws:rds:us-east-1:123456789012:snapshot:{AUTOMATED}"
    settings = settings_with({**FROM_SNAPSHOT, "snapshotIdentifier": arn})
    check_restoration(settings.aws, settings.database)  # type: ignore[arg-type]
    assert asked == [{"Name": "db-snapshot-id", "Values": [AUTOMATED]}]
