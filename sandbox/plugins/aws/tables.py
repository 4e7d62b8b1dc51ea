"""The resource types of AWS that the program uses, property by property: what may be given and what a change does.

Source of every row: the argument references of pulumi-aws 7.51.1, the schema of the Terraform provider that it wraps
("Forces new resource", "Optional, computed", conflicts), and AWS's API references for values. What is not here is an
error, in the stand-in and in the unit tests of the components alike (`violations`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandbox.plugins.protocol import CheckFailure, CheckResult
from sandbox.plugins.values import Properties, contains_unknown, unwrap
from sandbox.plugins.values_schema import Property, ResourceSchema

TAGS = Property("string map", replaces=False)

# CloudWatch Logs' PutRetentionPolicy.
RETENTION_DAYS = frozenset(
    {0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)
MONITORING_INTERVALS = frozenset({0, 1, 5, 10, 15, 30, 60})
INSIGHTS_RETENTION = frozenset({7, 731, *(31 * months for months in range(1, 24))})


def text(**options: Any) -> Property:
    return Property("string", **options)


def flag(**options: Any) -> Property:
    return Property("boolean", **options)


def number(**options: Any) -> Property:
    return Property("integer", **options)


@dataclass(frozen=True)
class CloudSchema(ResourceSchema):
    """A table with what AWS adds: sets, JSON documents, pairs that exclude each other, values that AWS picks itself."""

    sets: frozenset[str] = frozenset()
    documents: frozenset[str] = frozenset()
    conflicts: tuple[tuple[str, str], ...] = ()
    together: tuple[tuple[str, str], ...] = ()
    """The first needs the second."""
    numbers: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Allowed values of integers."""
    own_names: str | None = None
    """The property that the provider fills with a name of its own when neither it nor its prefix is given."""
    longest_prefix: int = 255 - 26
    not_stored: frozenset[str] = frozenset()
    """Inputs that steer the provider alone, so that the API never tells them."""

    def check(self, news: Properties) -> CheckResult:
        result = super().check(news)
        given = unwrap(result.inputs)
        failures = result.failures
        for one, other in self.conflicts:
            if given.get(one) and given.get(other):
                failures.append(CheckFailure(one, f"'{one}' conflicts with '{other}'"))
        for one, other in self.together:
            if given.get(one) and other not in given:
                failures.append(CheckFailure(one, f"'{one}' needs '{other}'"))
        for name, allowed in self.numbers.items():
            value = given.get(name)
            if isinstance(value, int) and value not in allowed:
                failures.append(CheckFailure(name, f"'{name}': {value} is none of {sorted(allowed)}"))
        for name in self.documents:
            value = given.get(name)
            if isinstance(value, str) and not _is_document(value):
                failures.append(CheckFailure(name, f"'{name}' is not a JSON document"))
        prefix = given.get("namePrefix")
        if isinstance(prefix, str) and len(prefix) > self.longest_prefix:
            failures.append(
                CheckFailure("namePrefix", f"'namePrefix' has {len(prefix)} characters, at most {self.longest_prefix}")
            )
        return result

    def _changed(self, name: str, outputs: Properties, news: Properties, ignored: list[str]) -> bool:
        if name not in news and self.inputs[name].computed:
            return False
        old, new = unwrap(outputs.get(name)), unwrap(news.get(name))
        if old is None or new is None or contains_unknown(new):
            return super()._changed(name, outputs, news, ignored)
        same = old == new
        if name in self.sets:
            same = _as_set(old) == _as_set(new)
        elif name in self.documents:
            same = json.loads(old) == json.loads(new)
        elif name == "engineVersion":
            # The provider compares by prefix, so that minor upgrades by AWS are no change.
            same = str(old).startswith(f"{new}.") or old == new
        return False if same else super()._changed(name, outputs, news, ignored)


def violations(type_token: str, inputs: Mapping[str, Any]) -> list[str]:
    """What the provider would refuse of a registration's plain inputs: one line each, none when all is well."""
    schema = SCHEMAS.get(type_token)
    if schema is None:
        return [f"{type_token} is no resource type that the stand-in has"]
    return [failure.reason for failure in schema.check(dict(inputs)).failures]


def _is_document(value: str) -> bool:
    try:
        return isinstance(json.loads(value), dict)
    except ValueError:
        return False


def _as_set(items: list[Any]) -> set[str]:
    return {json.dumps(item, sort_keys=True) for item in items}


KEY = CloudSchema(
    "aws:kms/key:Key",
    {
        "description": text(replaces=False, computed=True),
        "enableKeyRotation": flag(replaces=False, default=False),
        "rotationPeriodInDays": number(replaces=False, computed=True),
        "deletionWindowInDays": number(replaces=False, at_least=7),
        "policy": text(replaces=False, computed=True),
        "isEnabled": flag(replaces=False, default=True),
        "multiRegion": flag(computed=True),
        "keyUsage": text(default="ENCRYPT_DECRYPT", choices=frozenset({"ENCRYPT_DECRYPT", "SIGN_VERIFY"})),
        "customerMasterKeySpec": text(default="SYMMETRIC_DEFAULT"),
        "tags": TAGS,
    },
    {"arn": False, "keyId": False, "tagsAll": False},
    documents=frozenset({"policy"}),
    not_stored=frozenset({"deletionWindowInDays"}),
)
ALIAS = CloudSchema(
    "aws:kms/alias:Alias",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "targetKeyId": text(required=True, replaces=False),
    },
    {"arn": False, "targetKeyArn": False},
    conflicts=(("name", "namePrefix"),),
    own_names="name",
)
LOG_GROUP = CloudSchema(
    "aws:cloudwatch/logGroup:LogGroup",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "retentionInDays": number(replaces=False, default=0),
        "kmsKeyId": text(replaces=False),
        "skipDestroy": flag(replaces=False, default=False),
        "logGroupClass": text(computed=True, choices=frozenset({"STANDARD", "INFREQUENT_ACCESS", "DELIVERY"})),
        "tags": TAGS,
    },
    {"arn": False, "tagsAll": False},
    conflicts=(("name", "namePrefix"),),
    numbers={"retentionInDays": RETENTION_DAYS},
    own_names="name",
    not_stored=frozenset({"skipDestroy"}),
)
SUBNET_GROUP = CloudSchema(
    "aws:rds/subnetGroup:SubnetGroup",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "description": text(replaces=False, default="Managed by Pulumi"),
        "subnetIds": Property("strings", required=True, replaces=False),
        "tags": TAGS,
    },
    {"arn": False, "tagsAll": False, "vpcId": False, "supportedNetworkTypes": False},
    sets=frozenset({"subnetIds"}),
    conflicts=(("name", "namePrefix"),),
    own_names="name",
)
PARAMETER_GROUP = CloudSchema(
    "aws:rds/parameterGroup:ParameterGroup",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "family": text(required=True),
        "description": text(default="Managed by Pulumi"),
        "parameters": Property(
            "objects", replaces=False, fields={"name": "string", "value": "string", "applyMethod": "string"}
        ),
        "skipDestroy": flag(replaces=False, default=False),
        "tags": TAGS,
    },
    {"arn": False, "tagsAll": False},
    sets=frozenset({"parameters"}),
    conflicts=(("name", "namePrefix"),),
    own_names="name",
    not_stored=frozenset({"skipDestroy"}),
)
SECURITY_GROUP = CloudSchema(
    "aws:ec2/securityGroup:SecurityGroup",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "description": text(default="Managed by Pulumi"),
        "vpcId": text(computed=True),
        "revokeRulesOnDelete": flag(replaces=False, default=False),
        "tags": TAGS,
    },
    {"arn": False, "ownerId": False, "tagsAll": False, "ingress": False, "egress": False},
    conflicts=(("name", "namePrefix"),),
    own_names="name",
    not_stored=frozenset({"revokeRulesOnDelete"}),
)
INGRESS_RULE = CloudSchema(
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    {
        "securityGroupId": text(required=True),
        "referencedSecurityGroupId": text(replaces=False),
        "cidrIpv4": text(replaces=False),
        "cidrIpv6": text(replaces=False),
        "prefixListId": text(replaces=False),
        "ipProtocol": text(required=True, replaces=False),
        "fromPort": number(replaces=False),
        "toPort": number(replaces=False),
        "description": text(replaces=False),
        "tags": TAGS,
    },
    {"arn": False, "securityGroupRuleId": False, "tagsAll": False},
    conflicts=(
        ("referencedSecurityGroupId", "cidrIpv4"),
        ("referencedSecurityGroupId", "prefixListId"),
        ("cidrIpv4", "prefixListId"),
    ),
    together=(("fromPort", "toPort"), ("toPort", "fromPort")),
)
ROLE = CloudSchema(
    "aws:iam/role:Role",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "assumeRolePolicy": text(required=True, replaces=False),
        "description": text(replaces=False),
        "path": text(default="/"),
        "permissionsBoundary": text(replaces=False),
        "maxSessionDuration": number(replaces=False, default=3600, at_least=3600),
        "forceDetachPolicies": flag(replaces=False, default=False),
        "tags": TAGS,
    },
    {"arn": False, "createDate": False, "uniqueId": False, "tagsAll": False},
    documents=frozenset({"assumeRolePolicy"}),
    conflicts=(("name", "namePrefix"),),
    own_names="name",
    longest_prefix=38,
    not_stored=frozenset({"forceDetachPolicies"}),
)
ROLE_POLICY = CloudSchema(
    "aws:iam/rolePolicy:RolePolicy",
    {
        "name": text(computed=True),
        "namePrefix": text(computed=True),
        "role": text(required=True),
        "policy": text(required=True, replaces=False),
    },
    {},
    documents=frozenset({"policy"}),
    conflicts=(("name", "namePrefix"),),
    own_names="name",
    longest_prefix=102,
)
ROLE_POLICY_ATTACHMENT = CloudSchema(
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    {"role": text(required=True), "policyArn": text(required=True)},
    {},
)
INSTANCE = CloudSchema(
    "aws:rds/instance:Instance",
    {
        "identifier": text(computed=True, replaces=False),
        "engine": text(required=True, choices=frozenset({"postgres"})),
        "engineVersion": text(computed=True, replaces=False),
        "allowMajorVersionUpgrade": flag(replaces=False),
        "autoMinorVersionUpgrade": flag(replaces=False, default=True),
        "instanceClass": text(required=True, replaces=False),
        "allocatedStorage": number(required=True, replaces=False, at_least=20),
        "maxAllocatedStorage": number(replaces=False),
        "storageType": text(replaces=False, computed=True, choices=frozenset({"standard", "gp2", "gp3", "io1", "io2"})),
        "storageEncrypted": flag(),
        "kmsKeyId": text(computed=True),
        "dbName": text(computed=True),
        "port": number(computed=True, replaces=False, at_least=1150),
        "username": text(computed=True),
        "password": text(replaces=False, secret=True),
        "manageMasterUserPassword": flag(replaces=False),
        "masterUserSecretKmsKeyId": text(replaces=False, computed=True),
        "iamDatabaseAuthenticationEnabled": flag(replaces=False),
        "caCertIdentifier": text(replaces=False, computed=True),
        "dbSubnetGroupName": text(replaces=False, computed=True),
        "vpcSecurityGroupIds": Property("strings", replaces=False, computed=True),
        "publiclyAccessible": flag(replaces=False, default=False),
        "parameterGroupName": text(replaces=False, computed=True),
        "multiAz": flag(replaces=False, computed=True),
        "backupRetentionPeriod": number(replaces=False, computed=True),
        "backupWindow": text(replaces=False, computed=True),
        "maintenanceWindow": text(replaces=False, computed=True),
        "copyTagsToSnapshot": flag(replaces=False, default=False),
        "enabledCloudwatchLogsExports": Property(
            "strings", replaces=False, choices=frozenset({"postgresql", "upgrade", "iam-db-auth-error"})
        ),
        "monitoringInterval": number(replaces=False, default=0),
        "monitoringRoleArn": text(replaces=False, computed=True),
        "performanceInsightsEnabled": flag(replaces=False, default=False),
        "performanceInsightsKmsKeyId": text(computed=True),
        "performanceInsightsRetentionPeriod": number(replaces=False, computed=True),
        "databaseInsightsMode": text(replaces=False, computed=True, choices=frozenset({"standard", "advanced"})),
        "deletionProtection": flag(replaces=False, default=False),
        "skipFinalSnapshot": flag(replaces=False, default=False),
        "finalSnapshotIdentifier": text(replaces=False),
        "applyImmediately": flag(replaces=False),
        "tags": TAGS,
    },
    {
        "address": False,
        "arn": False,
        "endpoint": False,
        "engineVersionActual": False,
        "hostedZoneId": False,
        "masterUserSecrets": False,
        "resourceId": False,
        "status": False,
        "tagsAll": False,
        "availabilityZone": False,
    },
    sets=frozenset({"vpcSecurityGroupIds", "enabledCloudwatchLogsExports"}),
    conflicts=(("password", "manageMasterUserPassword"), ("password", "masterUserSecretKmsKeyId")),
    together=(("performanceInsightsKmsKeyId", "performanceInsightsEnabled"),),
    numbers={
        "monitoringInterval": MONITORING_INTERVALS,
        "backupRetentionPeriod": frozenset(range(36)),
        "performanceInsightsRetentionPeriod": INSIGHTS_RETENTION,
    },
    own_names="identifier",
    not_stored=frozenset(
        {"allowMajorVersionUpgrade", "applyImmediately", "skipFinalSnapshot", "finalSnapshotIdentifier", "password"}
    ),
)

SCHEMAS: dict[str, CloudSchema] = {
    schema.type: schema
    for schema in (
        ALIAS,
        INGRESS_RULE,
        INSTANCE,
        KEY,
        LOG_GROUP,
        PARAMETER_GROUP,
        ROLE,
        ROLE_POLICY,
        ROLE_POLICY_ATTACHMENT,
        SECURITY_GROUP,
        SUBNET_GROUP,
    )
}
