"""How an RDS instance is created: empty, as a replica, from a snapshot or from another instance at a point in time.

Owns which inputs each AWS call takes, and which are modified afterwards because the call does not take them. Follows
the official plugin (terraform-provider-aws, `internal/service/rds/instance.go`, resourceInstanceCreate): what that
leaves out stays as AWS made it and becomes a change of the next `up`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sandbox.plugins.values import Properties

# Inputs that CreateDBInstance takes.
CREATE_PARAMETERS: Final = {
    "allocatedStorage": "AllocatedStorage",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "backupWindow": "PreferredBackupWindow",
    "caCertIdentifier": "CACertificateIdentifier",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "databaseInsightsMode": "DatabaseInsightsMode",
    "dbName": "DBName",
    "dbSubnetGroupName": "DBSubnetGroupName",
    "deletionProtection": "DeletionProtection",
    "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    "engine": "Engine",
    "engineVersion": "EngineVersion",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "instanceClass": "DBInstanceClass",
    "kmsKeyId": "KmsKeyId",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "manageMasterUserPassword": "ManageMasterUserPassword",
    "masterUserSecretKmsKeyId": "MasterUserSecretKmsKeyId",
    "maxAllocatedStorage": "MaxAllocatedStorage",
    "monitoringInterval": "MonitoringInterval",
    "monitoringRoleArn": "MonitoringRoleArn",
    "multiAz": "MultiAZ",
    "parameterGroupName": "DBParameterGroupName",
    "password": "MasterUserPassword",
    "performanceInsightsEnabled": "EnablePerformanceInsights",
    "performanceInsightsKmsKeyId": "PerformanceInsightsKMSKeyId",
    "performanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
    "port": "Port",
    "publiclyAccessible": "PubliclyAccessible",
    "storageEncrypted": "StorageEncrypted",
    "storageType": "StorageType",
    "username": "MasterUsername",
    "vpcSecurityGroupIds": "VpcSecurityGroupIds",
}

_ALWAYS: Final = (
    "autoMinorVersionUpgrade", "copyTagsToSnapshot", "dbSubnetGroupName", "deletionProtection",
    "enabledCloudwatchLogsExports", "iamDatabaseAuthenticationEnabled", "instanceClass", "multiAz", "port",
    "publiclyAccessible", "vpcSecurityGroupIds",
)  # fmt: skip
REPLICA_INPUTS: Final = frozenset({
    *_ALWAYS, "databaseInsightsMode", "kmsKeyId", "monitoringInterval", "monitoringRoleArn",
    "performanceInsightsEnabled", "performanceInsightsKmsKeyId", "performanceInsightsRetentionPeriod", "storageType",
})  # fmt: skip
SNAPSHOT_INPUTS: Final = frozenset({*_ALWAYS, "engine", "parameterGroupName"})
MOMENT_INPUTS: Final = frozenset({*_ALWAYS, "engine", "maxAllocatedStorage", "parameterGroupName", "storageType"})

# Modified once a replica exists, where the value differs from what the replica inherited from its source.
REPLICA_LATER: Final = (
    "backupRetentionPeriod", "backupWindow", "caCertIdentifier", "maintenanceWindow", "maxAllocatedStorage",
    "parameterGroupName", "password",
)  # fmt: skip
# Modified after a restore whenever given. The insights mode is missing on purpose:
# https://github.com/hashicorp/terraform-provider-aws/issues/47689
SNAPSHOT_LATER: Final = (
    "allocatedStorage", "backupRetentionPeriod", "backupWindow", "caCertIdentifier", "engineVersion",
    "maintenanceWindow", "manageMasterUserPassword", "masterUserSecretKmsKeyId", "maxAllocatedStorage",
    "monitoringInterval", "monitoringRoleArn", "password", "performanceInsightsEnabled", "performanceInsightsKmsKeyId",
    "performanceInsightsRetentionPeriod", "storageType",
)  # fmt: skip
MOMENT_LATER: Final = (
    "manageMasterUserPassword", "masterUserSecretKmsKeyId", "monitoringInterval", "monitoringRoleArn", "password",
)  # fmt: skip

_MOMENT: Final = {
    "sourceDbInstanceIdentifier": "SourceDBInstanceIdentifier",
    "sourceDbiResourceId": "SourceDbiResourceId",
    "sourceDbInstanceAutomatedBackupsArn": "SourceDBInstanceAutomatedBackupsArn",
    "restoreTime": "RestoreTime",
    "useLatestRestorableTime": "UseLatestRestorableTime",
}


def create_instance(client: Any, inputs: Properties, identifier: str, tags: list[dict[str, Any]]) -> str:
    """Asks AWS for the instance; returns its resource id."""

    def call(name: str, taken: frozenset[str], **own: Any) -> dict[str, Any]:
        parameters = {CREATE_PARAMETERS[key]: value for key, value in inputs.items() if key in taken}
        answer: dict[str, Any] = getattr(client, name)(**parameters, Tags=tags, **own)
        return answer

    if inputs.get("replicateSourceDb"):
        own = {"DBInstanceIdentifier": identifier, "SourceDBInstanceIdentifier": inputs["replicateSourceDb"]}
        answer = call("create_db_instance_read_replica", REPLICA_INPUTS, **own)
    elif inputs.get("snapshotIdentifier"):
        own = {"DBInstanceIdentifier": identifier, "DBSnapshotIdentifier": inputs["snapshotIdentifier"]}
        answer = call("restore_db_instance_from_db_snapshot", SNAPSHOT_INPUTS, **own)
    elif inputs.get("restoreToPointInTime"):
        moment = {_MOMENT[key]: value for key, value in inputs["restoreToPointInTime"].items() if value}
        own = {"TargetDBInstanceIdentifier": identifier, **moment}
        answer = call("restore_db_instance_to_point_in_time", MOMENT_INPUTS, **own)
    else:
        answer = call("create_db_instance", frozenset(CREATE_PARAMETERS), DBInstanceIdentifier=identifier)
    return str(answer["DBInstance"]["DbiResourceId"])


def modified_after(inputs: Properties, live: Properties) -> list[str]:
    """The inputs to modify once the instance is available. `live`: the instance's values as read at that moment."""
    if inputs.get("replicateSourceDb"):
        return [name for name in REPLICA_LATER if inputs.get(name) and inputs[name] != live.get(name)]
    if inputs.get("snapshotIdentifier"):
        later: tuple[str, ...] = SNAPSHOT_LATER
    elif inputs.get("restoreToPointInTime"):
        later = MOMENT_LATER
    else:
        return []
    # A zero counts as not given, except for backups, where it means that there are none.
    return [name for name in later if inputs.get(name) or (name, inputs.get(name)) == ("backupRetentionPeriod", 0)]


def origin_rules(inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The plugin's and RDS's objections to an instance's origin."""
    found = []
    moment = inputs.get("restoreToPointInTime")
    if isinstance(moment, Mapping):
        for other in ("snapshotIdentifier", "replicateSourceDb"):
            if inputs.get(other):
                found.append(("restoreToPointInTime", f"Conflicting configuration arguments: conflicts with {other}"))
        sources = ("sourceDbInstanceIdentifier", "sourceDbiResourceId", "sourceDbInstanceAutomatedBackupsArn")
        if not any(moment.get(name) for name in sources):
            found.append(("restoreToPointInTime", f"one of {', '.join(sources)} is required"))
        if bool(moment.get("restoreTime")) == bool(moment.get("useLatestRestorableTime")):
            found.append(("restoreToPointInTime", "exactly one of restoreTime and useLatestRestorableTime is needed"))
    source = inputs.get("replicateSourceDb")
    if source:
        for other in ("manageMasterUserPassword", "masterUserSecretKmsKeyId"):
            if inputs.get(other):
                found.append((other, "InvalidParameterValue: isn't supported for a read replica"))
        is_arn = not isinstance(source, str) or re.match(r"arn:", source)
        if inputs.get("dbSubnetGroupName") and not is_arn:
            text = "a replica in the same region is in its source's subnet group; name the source by its ARN otherwise"
            found.append(("dbSubnetGroupName", f"InvalidParameterCombination: {text}"))
    return found
