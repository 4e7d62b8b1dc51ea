"""Whether the data to start a new RDS instance from exist and fit the settings: else RDS refuses, minutes into an `up`
that has made everything around the instance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from components.expiry import read_time
from components.settings import AwsSettings, RdsDatabaseSettings
from components.settings.database_operation import PointInTimeRestoreSettings, SnapshotRestoreSettings
from operations.aws_session import NoSession, asking_aws, aws_client, db_instances, not_told
from operations.checks.adoption import limit_too_low
from operations.findings import Finding, failed, passed

_SNAPSHOTS = ":snapshot:"


def check_restoration(aws: AwsSettings, database: RdsDatabaseSettings) -> list[Finding]:
    """For an instance still to be made. Empty when it starts without data."""
    restore = database.restore
    if restore is None:
        return []
    check, statement = "aws.restore", f"the database {database.identifier} can be made of its data"
    try:
        with asking_aws():
            if isinstance(restore, SnapshotRestoreSettings):
                reasons, seen = _snapshot(aws, database, restore)
            else:
                reasons, seen = _moment(aws, database, restore)
    except NoSession as error:
        return [not_told(check, statement, error)]
    return [failed(check, statement, "; ".join(reasons)) if reasons else passed(check, statement, seen)]


def _snapshot(
    aws: AwsSettings, database: RdsDatabaseSettings, restore: SnapshotRestoreSettings
) -> tuple[list[str], str]:
    # An automated snapshot's name has a colon too.
    name = restore.snapshot_identifier.rpartition(_SNAPSHOTS)[2]
    # By a filter: a missing snapshot is then no error.
    wanted = [{"Name": "db-snapshot-id", "Values": [name]}]
    found = aws_client(aws, "rds").describe_db_snapshots(Filters=wanted)["DBSnapshots"]
    if not found:
        return [f"there is no snapshot {name} in {aws.region}; `aws rds describe-db-snapshots` lists them"], ""
    (snapshot,) = found
    reasons = list(_unlike(database, snapshot, encrypted=snapshot.get("Encrypted")))
    if snapshot["Status"] != "available":
        reasons.append(f"the snapshot is {snapshot['Status']}, and RDS restores one that is available")
    return reasons, f"{name}, PostgreSQL {snapshot['EngineVersion']}"


def _moment(
    aws: AwsSettings, database: RdsDatabaseSettings, restore: PointInTimeRestoreSettings
) -> tuple[list[str], str]:
    name = restore.source_identifier
    found = db_instances(aws_client(aws, "rds"), name)
    if not found:
        reason = (
            f"there is no instance {name} in {aws.region}; if it was deleted, it may have left a snapshot: look with "
        )
        return [
            f"{reason}`aws rds describe-db-snapshots --db-instance-identifier {name}`, and set restore.mode to snapshot"
        ], ""
    (instance,) = found
    latest: datetime | None = instance.get("LatestRestorableTime")
    if latest is None:
        return [f"{name} has no backups (BackupRetentionPeriod is {instance.get('BackupRetentionPeriod', 0)})"], ""
    until = f"{latest:%Y-%m-%dT%H:%M:%SZ}"
    if restore.time is None:
        return list(_unlike(database, instance, encrypted=instance.get("StorageEncrypted"))), f"{name} until {until}"
    # RDS does not tell the source's version and storage at that moment.
    moment, reasons = read_time(restore.time), []
    if moment > latest:
        reasons.append(f"the backups of {name} end at {until}, before database.restore.time; set an earlier one")
    if moment < instance["InstanceCreateTime"]:
        made = f"{instance['InstanceCreateTime']:%Y-%m-%dT%H:%M:%SZ}"
        reasons.append(f"{name} was made at {made}, after database.restore.time; set a later one, or take a snapshot")
    return reasons, f"{name} at {restore.time}"


def _unlike(database: RdsDatabaseSettings, data: Mapping[str, Any], *, encrypted: bool | None) -> Iterator[str]:
    """`data` as RDS describes the snapshot or instance."""
    if data["Engine"] != "postgres":
        yield f"the data are of {data['Engine']}, and the access graph needs PostgreSQL"
        return
    if not encrypted:
        yield "the data are not encrypted: copy the snapshot, or one of the instance, with a key, and restore the copy"
    major = str(data["EngineVersion"]).partition(".")[0]
    if database.engine_version != major:
        yield (
            f"the data are of PostgreSQL {major}, and database.engineVersion is {database.engine_version}: set it to "
            f"{major}, and upgrade once the instance is there"
        )
    yield from limit_too_low(database, data, "they have")
