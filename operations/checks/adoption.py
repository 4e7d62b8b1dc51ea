"""Whether an RDS instance to adopt matches the settings. Else AWS replaces it, or refuses minutes into an `up`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.settings import RdsDatabaseSettings
from components.settings.relations.database import least_limit
from operations.findings import Finding, failed, passed


def check_adoption(database: RdsDatabaseSettings, instance: Mapping[str, Any]) -> list[Finding]:
    """`instance` as DescribeDBInstances returns it. Empty when nothing is adopted."""
    if not database.adopt:
        return []
    check, statement = "aws.adoption", f"the database {database.identifier} is as the settings say"
    if reasons := list(_others(database, instance)):
        findings = [failed(check, statement, "; ".join(reasons))]
    else:
        findings = [passed(check, statement, f"PostgreSQL {instance['EngineVersion']}")]
    return [*findings, *_by_iam(database, instance)]


def _others(database: RdsDatabaseSettings, instance: Mapping[str, Any]) -> Iterator[str]:
    if instance["Engine"] != "postgres":
        yield f"it is of {instance['Engine']}, and the access graph needs PostgreSQL"
        return
    if not instance.get("StorageEncrypted"):
        yield "it is not encrypted: copy a snapshot of it with a key, and set database.restore instead of adopt"
    said = {
        "engineVersion": (database.engine_version, str(instance["EngineVersion"]).partition(".")[0]),
        "network.subnetGroupName": (
            database.network.subnet_group_name,
            (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
        ),
    }
    if instance.get("StorageEncrypted"):
        said["kmsKeyArn"] = (database.kms_key_arn, instance.get("KmsKeyId"))
    for key, (set_to, has) in said.items():
        if set_to != has:
            yield f"database.{key} is {set_to}, and it has {has}"
    yield from limit_too_low(database, instance, "it has")


def limit_too_low(database: RdsDatabaseSettings, data: Mapping[str, Any], held: str) -> Iterator[str]:
    """Whether RDS will refuse the storage limit as too low for an existing instance or snapshot. `data`: RDS's
    description; `held` ends "the GiB that ...": `it has`."""
    least = least_limit(int(data["AllocatedStorage"]))
    if database.max_allocated_storage_gib < least:
        yield (
            f"database.maxAllocatedStorageGib is {database.max_allocated_storage_gib}, and for the "
            f"{data['AllocatedStorage']} GiB that {held} RDS wants {least} or more"
        )


def _by_iam(database: RdsDatabaseSettings, instance: Mapping[str, Any]) -> list[Finding]:
    """Whether IAM authentication is on, or this `up` turns it on; by default RDS waits for a maintenance window
    (https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_PendingModifiedValues.html)."""
    if database.authentication != "iam":
        return []
    check, statement = "aws.adoption-iam", f"the database {database.identifier} lets TAG in by IAM"
    if instance.get("IAMDatabaseAuthenticationEnabled"):
        return [passed(check, statement, "IAM authentication is on")]
    if database.apply_immediately:
        return [passed(check, statement, "the `up` turns IAM authentication on")]
    reason = (
        "IAM authentication is off, and RDS would turn it on only in the next maintenance window, so the `up` would "
        "fail at TAG's rollout; set database.applyImmediately to true for this `up`"
    )
    return [failed(check, statement, reason)]
