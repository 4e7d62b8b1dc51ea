"""RDS: subnet groups, parameter groups and instances."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.database_origins import CREATE_PARAMETERS, create_instance, modified_after
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of, tag_list, tag_map
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

SUBNET_GROUP_GONE: Final = ("DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound")
PARAMETER_GROUP_GONE: Final = ("DBParameterGroupNotFound", "DBParameterGroupNotFoundFault")
INSTANCE_GONE: Final = ("DBInstanceNotFound", "DBInstanceNotFoundFault")
RESOURCE_ID: Final = re.compile(r"db-[0-9A-Z]{2,255}")

# States from which an instance does not recover by itself.
FAILED: Final = ("failed", "incompatible-parameters", "incompatible-network", "incompatible-restore", "storage-full")


def change_tags(connection: Connection, arn: str, change: Change) -> None:
    client = connection.client("rds")
    if change.removed_tags:
        client.remove_tags_from_resource(ResourceName=arn, TagKeys=change.removed_tags)
    if change.set_tags:
        client.add_tags_to_resource(ResourceName=arn, Tags=tag_list(change.set_tags))


def tags_of(connection: Connection, arn: str) -> dict[str, str]:
    return tag_map(connection.client("rds").list_tags_for_resource(ResourceName=arn)["TagList"])


class SubnetGroup(Kind):
    what = "RDS DB Subnet Group"
    kept = ("namePrefix",)

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        answer = connection.client("rds").create_db_subnet_group(
            DBSubnetGroupName=name_of(inputs),
            DBSubnetGroupDescription=inputs["description"],
            SubnetIds=inputs["subnetIds"],
            Tags=tag_list(tags),
        )
        return str(answer["DBSubnetGroup"]["DBSubnetGroupName"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("rds")
        answer = missing(lambda: client.describe_db_subnet_groups(DBSubnetGroupName=id_), *SUBNET_GROUP_GONE)
        if answer is None or not answer["DBSubnetGroups"]:
            return None
        group = answer["DBSubnetGroups"][0]
        return id_, {
            "name": group["DBSubnetGroupName"],
            "arn": group["DBSubnetGroupArn"],
            "description": group["DBSubnetGroupDescription"],
            "subnetIds": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
            "supportedNetworkTypes": group.get("SupportedNetworkTypes", ["IPV4"]),
            "vpcId": group["VpcId"],
            "tagsAll": tags_of(connection, group["DBSubnetGroupArn"]),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        if change.changed & {"description", "subnetIds"}:
            connection.client("rds").modify_db_subnet_group(
                DBSubnetGroupName=id_,
                DBSubnetGroupDescription=change.new["description"],
                SubnetIds=change.new["subnetIds"],
            )
        change_tags(connection, change.old["arn"], change)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("rds")
        missing(lambda: client.delete_db_subnet_group(DBSubnetGroupName=id_), *SUBNET_GROUP_GONE)


class ParameterGroup(Kind):
    what = "RDS DB Parameter Group"
    kept = ("namePrefix", "skipDestroy")

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        answer = connection.client("rds").create_db_parameter_group(
            DBParameterGroupName=name_of(inputs),
            DBParameterGroupFamily=inputs["family"],
            Description=inputs["description"],
            Tags=tag_list(tags),
        )
        return str(answer["DBParameterGroup"]["DBParameterGroupName"])

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        self._modify(connection, id_, inputs.get("parameters") or [])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("rds")
        answer = missing(lambda: client.describe_db_parameter_groups(DBParameterGroupName=id_), *PARAMETER_GROUP_GONE)
        if answer is None or not answer["DBParameterGroups"]:
            return None
        group = answer["DBParameterGroups"][0]
        pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=id_)
        # As in the official plugin: parameters that were changed, and those requested even where they equal AWS's
        # default.
        asked = {parameter["name"] for parameter in inputs.get("parameters") or []}
        return id_, {
            "name": group["DBParameterGroupName"],
            "arn": group["DBParameterGroupArn"],
            "family": group["DBParameterGroupFamily"],
            "description": group["Description"],
            "parameters": [
                {
                    "name": parameter["ParameterName"].lower(),
                    "value": parameter["ParameterValue"],
                    "applyMethod": parameter.get("ApplyMethod", "immediate"),
                }
                for page in pages
                for parameter in page["Parameters"]
                if parameter.get("ParameterValue") is not None
                and (parameter.get("Source", "user") == "user" or parameter["ParameterName"] in asked)
            ],
            "tagsAll": tags_of(connection, group["DBParameterGroupArn"]),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        if "parameters" in change.changed:
            new = change.new.get("parameters") or []
            kept = {parameter["name"] for parameter in new}
            gone = [parameter for parameter in change.old.get("parameters") or [] if parameter["name"] not in kept]
            if gone:
                connection.client("rds").reset_db_parameter_group(
                    DBParameterGroupName=id_,
                    Parameters=[
                        {"ParameterName": item["name"], "ApplyMethod": item.get("applyMethod") or "immediate"}
                        for item in gone
                    ],
                )
            self._modify(connection, id_, new)
        change_tags(connection, change.old["arn"], change)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        if not outputs.get("skipDestroy"):
            client = connection.client("rds")
            missing(lambda: client.delete_db_parameter_group(DBParameterGroupName=id_), *PARAMETER_GROUP_GONE)

    def _modify(self, connection: Connection, id_: str, parameters: list[Properties]) -> None:
        if parameters:
            connection.client("rds").modify_db_parameter_group(
                DBParameterGroupName=id_,
                Parameters=[
                    {
                        "ParameterName": parameter["name"],
                        "ParameterValue": parameter["value"],
                        "ApplyMethod": parameter.get("applyMethod") or "immediate",
                    }
                    for parameter in parameters
                ],
            )


# The inputs that ModifyDBInstance takes, and its name for each.
MODIFY_PARAMETERS: Final = {
    **{
        name: parameter
        for name, parameter in CREATE_PARAMETERS.items()
        if name not in ("dbName", "engine", "kmsKeyId", "storageEncrypted", "username", "enabledCloudwatchLogsExports")
    },
    "port": "DBPortNumber",
    "identifier": "NewDBInstanceIdentifier",
}
# These say how to change or delete; on their own they are not a change.
KEPT: Final = (
    "allowMajorVersionUpgrade",
    "applyImmediately",
    "deleteAutomatedBackups",
    "skipFinalSnapshot",
    "finalSnapshotIdentifier",
    "identifierPrefix",
    "password",
    "snapshotIdentifier",
    "restoreToPointInTime",
)


class Instance(Kind):
    what = "RDS DB Instance"
    kept = KEPT
    on_import = MappingProxyType({"skipFinalSnapshot": True, "deleteAutomatedBackups": True})

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        identifier = inputs.get("identifier") or name_of({"namePrefix": inputs.get("identifierPrefix", "tf-")})
        return create_instance(connection.client("rds"), inputs, identifier, tag_list(tags))

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        self._await_available(connection, id_, deadline)
        found = self.read(connection, id_, inputs)
        if found is None:
            raise ResourceError("waiting for RDS DB Instance: it is gone")
        live = found[1]
        later = modified_after(inputs, live)
        if later:
            client, identifier = connection.client("rds"), live["identifier"]
            parameters = {MODIFY_PARAMETERS[name]: inputs[name] for name in later}
            if inputs.get("allowMajorVersionUpgrade"):
                parameters["AllowMajorVersionUpgrade"] = True
            client.modify_db_instance(DBInstanceIdentifier=identifier, ApplyImmediately=True, **parameters)
            self._await_available(connection, id_, deadline)
            if inputs.get("replicateSourceDb") and "parameterGroupName" in later:
                client.reboot_db_instance(DBInstanceIdentifier=identifier)
                self._await_available(connection, id_, deadline)

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        instance = self._find(connection, id_)
        if instance is None or instance["DBInstanceStatus"] == "deleting":
            return None
        endpoint = instance.get("Endpoint") or {}
        version = instance["EngineVersion"]
        wanted = str(inputs.get("engineVersion") or "")
        secret = instance.get("MasterUserSecret")
        groups = instance.get("DBParameterGroups") or [{}]
        address, port = endpoint.get("Address"), endpoint.get("Port")
        # As in the official plugin: an instance imported by name keeps its name as its id.
        return id_, {
            "address": address,
            "allocatedStorage": instance["AllocatedStorage"],
            "arn": instance["DBInstanceArn"],
            "autoMinorVersionUpgrade": instance["AutoMinorVersionUpgrade"],
            "availabilityZone": instance.get("AvailabilityZone"),
            "backupRetentionPeriod": instance["BackupRetentionPeriod"],
            "backupWindow": instance.get("PreferredBackupWindow"),
            "caCertIdentifier": instance.get("CACertificateIdentifier"),
            "copyTagsToSnapshot": instance["CopyTagsToSnapshot"],
            "databaseInsightsMode": instance.get("DatabaseInsightsMode"),
            "dbName": instance.get("DBName"),
            "dbSubnetGroupName": (instance.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
            "deletionProtection": instance["DeletionProtection"],
            "enabledCloudwatchLogsExports": instance.get("EnabledCloudwatchLogsExports", []),
            "endpoint": f"{address}:{port}" if address else None,
            "engine": instance["Engine"],
            # As in the official plugin: the requested version stays if the running one falls under it (16 and 16.4).
            "engineVersion": wanted if wanted and f"{version}.".startswith(f"{wanted}.") else version,
            "engineVersionActual": version,
            "hostedZoneId": endpoint.get("HostedZoneId"),
            "iamDatabaseAuthenticationEnabled": instance["IAMDatabaseAuthenticationEnabled"],
            "identifier": instance["DBInstanceIdentifier"],
            "instanceClass": instance["DBInstanceClass"],
            "kmsKeyId": instance.get("KmsKeyId"),
            "licenseModel": instance.get("LicenseModel"),
            "maintenanceWindow": (instance.get("PreferredMaintenanceWindow") or "").lower() or None,
            "manageMasterUserPassword": True if secret else None,
            "masterUserSecretKmsKeyId": secret.get("KmsKeyId") if secret else None,
            "masterUserSecrets": [
                {
                    "kmsKeyId": secret.get("KmsKeyId"),
                    "secretArn": secret["SecretArn"],
                    "secretStatus": secret["SecretStatus"],
                }
            ]
            if secret
            else [],
            "maxAllocatedStorage": instance.get("MaxAllocatedStorage"),
            "monitoringInterval": instance.get("MonitoringInterval", 0),
            "monitoringRoleArn": instance.get("MonitoringRoleArn"),
            "multiAz": instance["MultiAZ"],
            "parameterGroupName": groups[0].get("DBParameterGroupName"),
            "performanceInsightsEnabled": instance.get("PerformanceInsightsEnabled", False),
            "performanceInsightsKmsKeyId": instance.get("PerformanceInsightsKMSKeyId"),
            "performanceInsightsRetentionPeriod": instance.get("PerformanceInsightsRetentionPeriod"),
            "port": port or instance.get("DbInstancePort"),
            "publiclyAccessible": instance["PubliclyAccessible"],
            "replicas": instance.get("ReadReplicaDBInstanceIdentifiers", []),
            "replicateSourceDb": instance.get("ReadReplicaSourceDBInstanceIdentifier"),
            "resourceId": instance["DbiResourceId"],
            "status": instance["DBInstanceStatus"],
            "storageEncrypted": instance["StorageEncrypted"],
            "storageType": instance["StorageType"],
            "tagsAll": tag_map(instance.get("TagList")),
            "username": instance.get("MasterUsername"),
            "vpcSecurityGroupIds": [group["VpcSecurityGroupId"] for group in instance.get("VpcSecurityGroups", [])],
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client, new, old = connection.client("rds"), change.new, change.old
        if "replicateSourceDb" in change.changed:
            self._promote(connection, id_, change, deadline)
        parameters = {
            MODIFY_PARAMETERS[name]: new[name]
            for name in change.changed
            if name in MODIFY_PARAMETERS and new.get(name) is not None
        }
        if "manageMasterUserPassword" in change.changed and not new.get("manageMasterUserPassword"):
            parameters["ManageMasterUserPassword"] = False
        for name in ("deletionProtection", "iamDatabaseAuthenticationEnabled", "maxAllocatedStorage"):
            if name in change.changed and new.get(name) is None:
                parameters[MODIFY_PARAMETERS[name]] = 0 if name == "maxAllocatedStorage" else False
        if "enabledCloudwatchLogsExports" in change.changed:
            before, after = (set(values.get("enabledCloudwatchLogsExports") or []) for values in (old, new))
            parameters["CloudwatchLogsExportConfiguration"] = {
                "EnableLogTypes": sorted(after - before),
                "DisableLogTypes": sorted(before - after),
            }
        if "engineVersion" in change.changed and new.get("allowMajorVersionUpgrade"):
            parameters["AllowMajorVersionUpgrade"] = True
        # AWS takes the role and the retention only together with the setting they belong to.
        if "MonitoringInterval" in parameters and new.get("monitoringRoleArn"):
            parameters["MonitoringRoleArn"] = new["monitoringRoleArn"]
        if "DatabaseInsightsMode" in parameters or "PerformanceInsightsRetentionPeriod" in parameters:
            parameters["EnablePerformanceInsights"] = new["performanceInsightsEnabled"]
            if new.get("performanceInsightsRetentionPeriod"):
                parameters["PerformanceInsightsRetentionPeriod"] = new["performanceInsightsRetentionPeriod"]
        if parameters:
            client.modify_db_instance(
                DBInstanceIdentifier=old["identifier"],
                ApplyImmediately=bool(new.get("applyImmediately")),
                **parameters,
            )
            self._await_available(connection, id_, deadline)
        change_tags(connection, old["arn"], change)

    def _promote(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        if change.new.get("replicateSourceDb"):
            raise ResourceError("cannot elect new source database for replication")
        window = change.new.get("backupWindow")
        connection.client("rds").promote_read_replica(
            DBInstanceIdentifier=change.old["identifier"],
            BackupRetentionPeriod=change.new.get("backupRetentionPeriod") or 0,
            **({"PreferredBackupWindow": window} if window else {}),
        )
        self._await_available(connection, id_, deadline)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        identifier = outputs["identifier"]
        parameters: dict[str, Any] = {
            "SkipFinalSnapshot": bool(outputs.get("skipFinalSnapshot")),
            "DeleteAutomatedBackups": outputs.get("deleteAutomatedBackups", True),
        }
        if not parameters["SkipFinalSnapshot"]:
            if not outputs.get("finalSnapshotIdentifier"):
                raise ResourceError(
                    f"deleting RDS DB Instance ({identifier}): final_snapshot_identifier is required when "
                    f"skip_final_snapshot is false"
                )
            parameters["FinalDBSnapshotIdentifier"] = outputs["finalSnapshotIdentifier"]
        client = connection.client("rds")
        if missing(lambda: client.delete_db_instance(DBInstanceIdentifier=identifier, **parameters), *INSTANCE_GONE):
            deadline.wait(f"RDS DB Instance ({identifier}) delete", lambda: self._find(connection, id_) is None)

    def _find(self, connection: Connection, id_: str) -> dict[str, Any] | None:
        """By resource id, which is in the state, or by identifier, which an import gives."""
        client = connection.client("rds")
        if RESOURCE_ID.fullmatch(id_):
            found = client.describe_db_instances(Filters=[{"Name": "dbi-resource-id", "Values": [id_]}])["DBInstances"]
            return found[0] if found else None
        answer = missing(lambda: client.describe_db_instances(DBInstanceIdentifier=id_), *INSTANCE_GONE)
        return answer["DBInstances"][0] if answer and answer["DBInstances"] else None

    def _await_available(self, connection: Connection, id_: str, deadline: Deadline) -> None:
        def is_available() -> bool:
            instance = self._find(connection, id_)
            if instance is None:
                raise ResourceError("waiting for RDS DB Instance: it is gone")
            status = instance["DBInstanceStatus"]
            if status in FAILED:
                raise ResourceError(
                    f"waiting for RDS DB Instance ({instance['DBInstanceIdentifier']}): unexpected state '{status}', "
                    f"wanted target 'available'"
                )
            return bool(status == "available")

        deadline.wait("RDS DB Instance", is_available)
