"""Settings of an instance, flipped in the account through AWS's API and set back: what a control must notice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Client = Callable[[str], Any]
Flip = Callable[[Client, str], AbstractContextManager[None]]
SETTLED_SECONDS = 120


def flips() -> list[tuple[str, Flip]]:
    """Each control that an in-place change can violate, with such a change. Encryption and the master user cannot be
    changed, and another port restarts the server."""
    return [
        ("RDS.1", _shared_snapshot),
        ("RDS.2", _instance({"PubliclyAccessible": True}, {"PubliclyAccessible": False})),
        ("RDS.2", _open_to_everyone),
        ("RDS.5", _instance({"MultiAZ": False}, {"MultiAZ": True})),
        ("RDS.6", _unmonitored),
        ("RDS.8", _instance({"DeletionProtection": False}, {"DeletionProtection": True})),
        ("RDS.9", _export_of("upgrade")),
        ("RDS.36", _export_of("postgresql")),
        (
            "RDS.10",
            _instance({"EnableIAMDatabaseAuthentication": False}, {"EnableIAMDatabaseAuthentication": True}),
        ),
        ("RDS.11", _instance({"BackupRetentionPeriod": 6}, {"BackupRetentionPeriod": 35})),
        ("RDS.13", _instance({"AutoMinorVersionUpgrade": False}, {"AutoMinorVersionUpgrade": True})),
        ("RDS.17", _instance({"CopyTagsToSnapshot": False}, {"CopyTagsToSnapshot": True})),
        ("RDS.20", _unsubscribed("instance")),
        ("RDS.21", _unsubscribed("parameters")),
        ("RDS.22", _unsubscribed("security")),
        ("RDS.38", _plain_connections),
        ("KMS.4", _unrotated_key),
        ("CloudWatch.16", _short_memory),
    ]


def _describe(client: Client, identifier: str) -> dict[str, Any]:
    (instance,) = client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    found: dict[str, Any] = instance
    return found


def _modify(client: Client, identifier: str, changes: dict[str, Any]) -> None:
    client("rds").modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **changes)
    _settle(client, identifier)


def _settle(client: Client, identifier: str) -> None:
    end = time.monotonic() + SETTLED_SECONDS
    while _describe(client, identifier)["DBInstanceStatus"] != "available":
        assert time.monotonic() < end, f"{identifier} is not available again"
        time.sleep(0.2)


def _instance(change: dict[str, Any], back: dict[str, Any]) -> Flip:
    @contextmanager
    def flip(client: Client, identifier: str) -> Iterator[None]:
        _modify(client, identifier, change)
        try:
            yield
        finally:
            _modify(client, identifier, back)

    return flip


def _export_of(log: str) -> Flip:
    change, back = (
        {"CloudwatchLogsExportConfiguration": {verb: [log]}} for verb in ("DisableLogTypes", "EnableLogTypes")
    )
    return _instance(change, back)


@contextmanager
def _unmonitored(client: Client, identifier: str) -> Iterator[None]:
    role = _describe(client, identifier)["MonitoringRoleArn"]
    _modify(client, identifier, {"MonitoringInterval": 0})
    try:
        yield
    finally:
        _modify(client, identifier, {"MonitoringInterval": 60, "MonitoringRoleArn": role})


@contextmanager
def _shared_snapshot(client: Client, identifier: str) -> Iterator[None]:
    # A manual one: RDS shares none of its own.
    rds, name = client("rds"), f"{identifier}-shared"
    rds.create_db_snapshot(DBInstanceIdentifier=identifier, DBSnapshotIdentifier=name)
    try:
        _settle(client, identifier)
        rds.modify_db_snapshot_attribute(DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=["all"])
        yield
    finally:
        rds.delete_db_snapshot(DBSnapshotIdentifier=name)


@contextmanager
def _open_to_everyone(client: Client, identifier: str) -> Iterator[None]:
    ec2, (group,) = client("ec2"), _describe(client, identifier)["VpcSecurityGroups"]
    rule = {"IpProtocol": "tcp", "FromPort": 6432, "ToPort": 6432, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    everyone = {"GroupId": group["VpcSecurityGroupId"], "IpPermissions": [rule]}
    ec2.authorize_security_group_ingress(**everyone)
    try:
        yield
    finally:
        ec2.revoke_security_group_ingress(**everyone)


def _unsubscribed(label: str) -> Flip:
    @contextmanager
    def flip(client: Client, identifier: str) -> Iterator[None]:
        rds, name = client("rds"), f"{identifier}-{label}"

        def enable(enabled: bool) -> None:
            rds.modify_event_subscription(SubscriptionName=name, Enabled=enabled)

        enable(False)
        try:
            yield
        finally:
            enable(True)

    return flip


@contextmanager
def _plain_connections(client: Client, identifier: str) -> Iterator[None]:
    rds, (group,) = client("rds"), _describe(client, identifier)["DBParameterGroups"]

    def force(value: str) -> None:
        parameter = {"ParameterName": "rds.force_ssl", "ParameterValue": value, "ApplyMethod": "immediate"}
        rds.modify_db_parameter_group(DBParameterGroupName=group["DBParameterGroupName"], Parameters=[parameter])
        _settle(client, identifier)

    force("0")
    try:
        yield
    finally:
        force("1")


@contextmanager
def _unrotated_key(client: Client, identifier: str) -> Iterator[None]:
    kms, key = client("kms"), _describe(client, identifier)["KmsKeyId"]
    kms.disable_key_rotation(KeyId=key)
    try:
        yield
    finally:
        kms.enable_key_rotation(KeyId=key)


@contextmanager
def _short_memory(client: Client, identifier: str) -> Iterator[None]:
    logs, name = client("logs"), f"/aws/rds/instance/{identifier}/postgresql"
    logs.put_retention_policy(logGroupName=name, retentionInDays=180)
    try:
        yield
    finally:
        logs.put_retention_policy(logGroupName=name, retentionInDays=365)
