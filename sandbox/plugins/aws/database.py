"""RDS: instances, parameter groups and subnet groups."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sandbox.plugins.aws.handler import Gone, Handler, as_list, as_map, own_name, removed
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

# The provider's own default time-outs: an instance takes about ten minutes.
CREATE_SECONDS = 40 * 60
CHANGE_SECONDS = 80 * 60
DELETE_SECONDS = 60 * 60
POLL_SECONDS = 0.5

# Name in the table -> name in CreateDBInstance and ModifyDBInstance. Where they are alike but for the first letter's
# case.
INSTANCE_NAMES = {
    "allocatedStorage": "AllocatedStorage",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "backupWindow": "PreferredBackupWindow",
    "caCertIdentifier": "CACertificateIdentifier",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "databaseInsightsMode": "DatabaseInsightsMode",
    "deletionProtection": "DeletionProtection",
    "engineVersion": "EngineVersion",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "instanceClass": "DBInstanceClass",
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
    "publiclyAccessible": "PubliclyAccessible",
    "storageType": "StorageType",
    "vpcSecurityGroupIds": "VpcSecurityGroupIds",
}
CREATE_NAMES = {
    **INSTANCE_NAMES,
    "dbName": "DBName",
    "dbSubnetGroupName": "DBSubnetGroupName",
    "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    "engine": "Engine",
    "kmsKeyId": "KmsKeyId",
    "port": "Port",
    "storageEncrypted": "StorageEncrypted",
    "username": "MasterUsername",
}
# Where DescribeDBInstances calls it otherwise than the request does.
READ_NAMES = {
    "address": "Endpoint.Address",
    "arn": "DBInstanceArn",
    "availabilityZone": "AvailabilityZone",
    "dbName": "DBName",
    "dbSubnetGroupName": "DBSubnetGroup.DBSubnetGroupName",
    "enabledCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "engine": "Engine",
    "engineVersionActual": "EngineVersion",
    "hostedZoneId": "Endpoint.HostedZoneId",
    "iamDatabaseAuthenticationEnabled": "IAMDatabaseAuthenticationEnabled",
    "identifier": "DBInstanceIdentifier",
    "kmsKeyId": "KmsKeyId",
    "masterUserSecretKmsKeyId": "MasterUserSecret.KmsKeyId",
    "performanceInsightsEnabled": "PerformanceInsightsEnabled",
    "port": "Endpoint.Port",
    "resourceId": "DbiResourceId",
    "status": "DBInstanceStatus",
    "storageEncrypted": "StorageEncrypted",
    "username": "MasterUsername",
}


class Instance(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        self._check_credentials(inputs)
        identifier = own_name(inputs, "identifier")
        request = {there: inputs[here] for here, there in CREATE_NAMES.items() if here in inputs}
        self.session.client("rds").create_db_instance(
            DBInstanceIdentifier=identifier, Tags=as_list(self.tags(inputs)), **request
        )
        self._available(identifier, timeout or CREATE_SECONDS)
        return str(self._describe(identifier)["DbiResourceId"])

    def read(self, id_: str) -> Properties:
        live = self._find(id_)
        values = {
            here: _at(live, there) for here, there in {**INSTANCE_NAMES, **READ_NAMES}.items() if here != "password"
        }
        groups = live.get("DBParameterGroups") or [{}]
        secret = live.get("MasterUserSecret")
        values |= {
            "endpoint": f"{values['address']}:{values['port']}",
            "parameterGroupName": groups[0].get("DBParameterGroupName"),
            "vpcSecurityGroupIds": [group["VpcSecurityGroupId"] for group in live.get("VpcSecurityGroups", [])],
            "manageMasterUserPassword": True if secret else None,
            "masterUserSecrets": [
                {
                    "secretArn": secret["SecretArn"],
                    "secretStatus": secret.get("SecretStatus", "active"),
                    "kmsKeyId": secret.get("KmsKeyId", ""),
                }
            ]
            if secret
            else [],
            "tags": as_map(live.get("TagList", [])),
        }
        return values

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        client = self.session.client("rds")
        identifier = str(self._find(id_)["DBInstanceIdentifier"])
        request = {
            there: new[here] for here, there in INSTANCE_NAMES.items() if here in new and new[here] != old.get(here)
        }
        if "engineVersion" in new and str(old.get("engineVersion")) == str(new["engineVersion"]):
            request.pop("EngineVersion", None)
        if "port" in new and new["port"] != old.get("port"):
            request["DBPortNumber"] = new["port"]
        if new.get("identifier") and new["identifier"] != identifier:
            request["NewDBInstanceIdentifier"] = new["identifier"]
        if old.get("manageMasterUserPassword") and not new.get("manageMasterUserPassword"):
            self._check_credentials(new)
            request["ManageMasterUserPassword"] = False
        exports = _export_changes(old, new)
        if exports:
            request["CloudwatchLogsExportConfiguration"] = exports
        if "EngineVersion" in request and new.get("allowMajorVersionUpgrade"):
            request["AllowMajorVersionUpgrade"] = True
        if request:
            client.modify_db_instance(
                DBInstanceIdentifier=identifier, ApplyImmediately=bool(new.get("applyImmediately")), **request
            )
            self._available(new.get("identifier") or identifier, timeout or CHANGE_SECONDS)
        _retag(self, str(old["arn"]), old, new)

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        live = self._find(id_)
        identifier = str(live["DBInstanceIdentifier"])
        if not inputs.get("skipFinalSnapshot") and not inputs.get("finalSnapshotIdentifier"):
            raise ResourceError("RDS DB Instance FinalSnapshotIdentifier is required when a final snapshot is required")
        last = (
            {"SkipFinalSnapshot": True}
            if inputs.get("skipFinalSnapshot")
            else {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": inputs["finalSnapshotIdentifier"]}
        )
        self.session.client("rds").delete_db_instance(DBInstanceIdentifier=identifier, **last)
        deadline = time.monotonic() + (timeout or DELETE_SECONDS)
        while time.monotonic() < deadline:
            try:
                self._describe(identifier)
            except Gone:
                return
            time.sleep(POLL_SECONDS)
        raise ResourceError(f"instance {identifier} is still there after the time-out")

    def _check_credentials(self, inputs: Properties) -> None:
        if not inputs.get("password") and not inputs.get("manageMasterUserPassword"):
            raise ResourceError("one of 'password' and 'manageMasterUserPassword' is needed for a new instance")
        if not inputs.get("username"):
            raise ResourceError("'username' is needed for a new instance")

    def _describe(self, identifier: str) -> dict[str, Any]:
        client = self.session.client("rds")
        try:
            found = client.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
        except client.exceptions.DBInstanceNotFoundFault:
            raise Gone from None
        if not found:
            raise Gone
        return dict(found[0])

    def _find(self, id_: str) -> dict[str, Any]:
        """By resource id, as the state has it, or by name, as an import gives it."""
        for page in self.session.client("rds").get_paginator("describe_db_instances").paginate():
            for instance in page["DBInstances"]:
                if id_ in (instance.get("DbiResourceId"), instance["DBInstanceIdentifier"]):
                    return dict(instance)
        raise Gone

    def _available(self, identifier: str, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            status = self._describe(identifier)["DBInstanceStatus"]
            if status == "available":
                return
            if status in ("failed", "incompatible-parameters", "incompatible-network", "storage-full"):
                raise ResourceError(f"instance {identifier} became {status!r}; its events say why")
            if time.monotonic() > deadline:
                raise ResourceError(f"instance {identifier} is still {status!r} after {timeout:.0f} s")
            time.sleep(POLL_SECONDS)


class ParameterGroup(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        name = own_name(inputs)
        self.session.client("rds").create_db_parameter_group(
            DBParameterGroupName=name,
            DBParameterGroupFamily=inputs["family"],
            Description=inputs.get("description", "Managed by Pulumi"),
            Tags=as_list(self.tags(inputs)),
        )
        self._set(name, inputs.get("parameters") or [])
        return name

    def read(self, id_: str) -> Properties:
        client = self.session.client("rds")
        found = client.describe_db_parameter_groups(DBParameterGroupName=id_)["DBParameterGroups"]
        if not found:
            raise Gone
        (group,) = found
        pages = client.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=id_, Source="user")
        parameters = [
            {
                "name": parameter["ParameterName"],
                "value": parameter["ParameterValue"],
                "applyMethod": parameter.get("ApplyMethod", "immediate"),
            }
            for page in pages
            for parameter in page["Parameters"]
            if "ParameterValue" in parameter
        ]
        return {
            "name": group["DBParameterGroupName"],
            "arn": group["DBParameterGroupArn"],
            "family": group["DBParameterGroupFamily"],
            "description": group["Description"],
            "parameters": parameters,
            "tags": as_map(client.list_tags_for_resource(ResourceName=group["DBParameterGroupArn"])["TagList"]),
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        wanted = {parameter["name"] for parameter in new.get("parameters") or []}
        gone = [item for item in old.get("parameters") or [] if item["name"] not in wanted]
        if gone:
            self.session.client("rds").reset_db_parameter_group(
                DBParameterGroupName=id_,
                Parameters=[{"ParameterName": item["name"], "ApplyMethod": item["applyMethod"]} for item in gone],
            )
        self._set(id_, new.get("parameters") or [])
        _retag(self, str(old["arn"]), old, new)

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("rds").delete_db_parameter_group(DBParameterGroupName=id_)

    def _set(self, name: str, parameters: list[Mapping[str, str]]) -> None:
        if parameters:
            self.session.client("rds").modify_db_parameter_group(
                DBParameterGroupName=name,
                Parameters=[
                    {
                        "ParameterName": parameter["name"],
                        "ParameterValue": parameter["value"],
                        "ApplyMethod": parameter.get("applyMethod", "immediate"),
                    }
                    for parameter in parameters
                ],
            )


class SubnetGroup(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        name = own_name(inputs)
        self.session.client("rds").create_db_subnet_group(
            DBSubnetGroupName=name,
            DBSubnetGroupDescription=inputs.get("description", "Managed by Pulumi"),
            SubnetIds=inputs["subnetIds"],
            Tags=as_list(self.tags(inputs)),
        )
        return name

    def read(self, id_: str) -> Properties:
        client = self.session.client("rds")
        found = client.describe_db_subnet_groups(DBSubnetGroupName=id_)["DBSubnetGroups"]
        if not found:
            raise Gone
        (group,) = found
        return {
            "name": group["DBSubnetGroupName"],
            "arn": group["DBSubnetGroupArn"],
            "description": group["DBSubnetGroupDescription"],
            "vpcId": group.get("VpcId"),
            "subnetIds": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
            "supportedNetworkTypes": group.get("SupportedNetworkTypes", ["IPV4"]),
            "tags": as_map(client.list_tags_for_resource(ResourceName=group["DBSubnetGroupArn"])["TagList"]),
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        self.session.client("rds").modify_db_subnet_group(
            DBSubnetGroupName=id_,
            DBSubnetGroupDescription=new.get("description", "Managed by Pulumi"),
            SubnetIds=new["subnetIds"],
        )
        _retag(self, str(old["arn"]), old, new)

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("rds").delete_db_subnet_group(DBSubnetGroupName=id_)


def _retag(handler: Handler, arn: str, old: Properties, new: Properties) -> None:
    client = handler.session.client("rds")
    tags = handler.tags(new)
    gone = removed(old.get("tags") or {}, tags)
    if gone:
        client.remove_tags_from_resource(ResourceName=arn, TagKeys=gone)
    if tags != (old.get("tags") or {}):
        client.add_tags_to_resource(ResourceName=arn, Tags=as_list(tags))


def _export_changes(old: Properties, new: Properties) -> dict[str, list[str]]:
    before = set(old.get("enabledCloudwatchLogsExports") or [])
    after = set(new.get("enabledCloudwatchLogsExports") or [])
    changes = {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}
    return {key: value for key, value in changes.items() if value}


def _at(value: Mapping[str, Any], path: str) -> Any:
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value
