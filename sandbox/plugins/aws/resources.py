"""The tables of the resource types that the program uses, and `violations`, which checks inputs against them.

Each table names its source. Inputs that the official plugin has but the program does not use are left out, so they are
refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from sandbox.plugins.aws.database_origins import origin_rules
from sandbox.plugins.aws.inputs import ARN, KMS_ARN, TAGS, TERRAFORM, named
from sandbox.plugins.aws.observing_tables import TABLES as OBSERVING
from sandbox.plugins.aws.tables import Autoname, Input, ResourceType
from sandbox.plugins.values import UNKNOWN, Properties

KEY: Final = "aws:kms/key:Key"
ALIAS: Final = "aws:kms/alias:Alias"
LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
SUBNET_GROUP: Final = "aws:rds/subnetGroup:SubnetGroup"
PARAMETER_GROUP: Final = "aws:rds/parameterGroup:ParameterGroup"
INSTANCE: Final = "aws:rds/instance:Instance"
SECURITY_GROUP: Final = "aws:ec2/securityGroup:SecurityGroup"
INGRESS_RULE: Final = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
ROLE: Final = "aws:iam/role:Role"
ROLE_POLICY: Final = "aws:iam/rolePolicy:RolePolicy"
ROLE_POLICY_ATTACHMENT: Final = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"

RDS_NAME: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
RDS_PREFIX: Final = r"[a-z][a-z0-9]*(-[a-z0-9]+)*-?"
UTC_MOMENT: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
MANAGED_BY: Final = "Managed by Pulumi"

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
LOG_RETENTION: Final = (
    0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
)  # fmt: skip
LOG_TYPES: Final = (
    "agent", "alert", "audit", "diag.log", "error", "general", "iam-db-auth-error", "listener", "notify.log",
    "oemagent", "postgresql", "slowquery", "trace", "upgrade",
)  # fmt: skip


def _same_key(old: Any, new: Any, news: Properties) -> bool:
    """A key's id and its ARN mean the same key."""
    return str(old).rpartition("/")[2] == str(new).rpartition("/")[2]


def _autoscaled(old: Any, new: Any, news: Properties) -> bool:
    """Storage that RDS has grown by itself is not shrunk back."""
    limit = news.get("maxAllocatedStorage") or 0
    return bool(limit is not UNKNOWN and old > new and limit > new)


def _lower(old: Any, new: Any, news: Properties) -> bool:
    return str(old).lower() == str(new).lower()


def instance_rules(inputs: Properties) -> list[tuple[str, str]]:
    """Combinations that the provider and CreateDBInstance refuse; unknown values are assumed to be right."""
    found = []

    def known(name: str) -> Any:
        value = inputs.get(name)
        return None if value is UNKNOWN else value

    def is_set(name: str) -> bool:
        return inputs.get(name) not in (None, False, 0, "")

    found += origin_rules(inputs)
    # An instance that begins with data takes these from its origin.
    begins_empty = not any(map(is_set, ("replicateSourceDb", "snapshotIdentifier", "restoreToPointInTime")))
    for name in ("allocatedStorage", "engine", "username"):
        if begins_empty and not is_set(name):
            found.append((name, f'"{name}": required field is not set'))
    if begins_empty and not is_set("password") and not is_set("manageMasterUserPassword"):
        found.append(("password", "InvalidParameterValue: the parameter MasterUserPassword must be provided"))
    if is_set("masterUserSecretKmsKeyId") and not is_set("manageMasterUserPassword"):
        found.append(("masterUserSecretKmsKeyId", "needs manageMasterUserPassword"))
    if is_set("kmsKeyId") and not is_set("storageEncrypted"):
        found.append(("kmsKeyId", "needs storageEncrypted"))
    if is_set("monitoringInterval") != is_set("monitoringRoleArn"):
        found.append(("monitoringRoleArn", "goes together with a monitoringInterval other than 0"))
    for name in ("performanceInsightsKmsKeyId", "performanceInsightsRetentionPeriod"):
        if is_set(name) and not is_set("performanceInsightsEnabled"):
            found.append((name, "needs performanceInsightsEnabled"))
    retention = known("performanceInsightsRetentionPeriod")
    if retention and retention not in (7, 731) and retention % 31:
        found.append(("performanceInsightsRetentionPeriod", f"must be 7, 731 or a multiple of 31, and is {retention}"))
    if known("databaseInsightsMode") == "advanced" and (retention or 7) < 465:
        found.append(("databaseInsightsMode", "advanced needs performanceInsightsRetentionPeriod of at least 465"))
    least, most = known("allocatedStorage"), known("maxAllocatedStorage")
    if least and most and most < least:
        found.append(("maxAllocatedStorage", f"is {most}, less than allocatedStorage: {least}"))
    if known("engine") == "postgres" and known("storageType") == "gp3" and least and least < 20:
        found.append(("allocatedStorage", "gp3 storage of PostgreSQL is at least 20 GiB"))
    if known("engine") == "postgres" and not set(known("enabledCloudwatchLogsExports") or ()) <= {
        "postgresql",
        "upgrade",
        "iam-db-auth-error",
        UNKNOWN,
    }:
        found.append(("enabledCloudwatchLogsExports", "PostgreSQL exports postgresql, upgrade and iam-db-auth-error"))
    return found


def rule_ports(inputs: Properties) -> list[tuple[str, str]]:
    if inputs.get("ipProtocol") in ("tcp", "udp") and not {"fromPort", "toPort"} <= inputs.keys():
        return [("fromPort", "tcp and udp need fromPort and toPort")]
    low, high = inputs.get("fromPort"), inputs.get("toPort")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        return [("fromPort", f"is {low}, more than toPort: {high}")]
    return []


def alias_rules(inputs: Properties) -> list[tuple[str, str]]:
    reserved = str(inputs.get("name", "")).startswith("alias/aws/")
    return [("name", "alias/aws/ is reserved for AWS")] if reserved else []


TYPES: Final = {
    table.token: table
    for table in (
        ResourceType(
            KEY,
            f"{TERRAFORM}kms_key",
            {
                "description": Input(computed=True, longest=8192),
                "keyUsage": Input(
                    default="ENCRYPT_DECRYPT",
                    replaces=True,
                    choices=("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"),
                ),
                "customerMasterKeySpec": Input(
                    default="SYMMETRIC_DEFAULT", replaces=True, choices=("SYMMETRIC_DEFAULT",)
                ),
                "policy": Input(document=True, computed=True, longest=32768),
                "bypassPolicyLockoutSafetyCheck": Input("boolean", default=False),
                "isEnabled": Input("boolean", default=True),
                "enableKeyRotation": Input("boolean", default=False),
                "deletionWindowInDays": Input("integer", between=(7, 30)),
                "tags": TAGS,
            },
            ("arn", "keyId", "multiRegion", "rotationPeriodInDays", "tagsAll", "region"),
        ),
        ResourceType(
            ALIAS,
            f"{TERRAFORM}kms_alias",
            {
                **named(
                    r"alias/[a-zA-Z0-9/_-]+", longest=256, prefix_pattern=r"alias/[a-zA-Z0-9/_-]*", longest_prefix=230
                ),
                "targetKeyId": Input(required=True, same=_same_key),
            },
            ("arn", "targetKeyArn", "region"),
            autoname=Autoname(prefix="alias/", longest=256),
            rules=alias_rules,
        ),
        ResourceType(
            LOG_GROUP,
            f"{TERRAFORM}cloudwatch_log_group",
            {
                **named(r"[\w./#-]+", longest=512, prefix_pattern=r"[\w./#-]+", longest_prefix=486),
                "kmsKeyId": Input(pattern=KMS_ARN),
                "retentionInDays": Input("integer", default=0, choices=LOG_RETENTION),
                "skipDestroy": Input("boolean", default=False),
                "tags": TAGS,
            },
            ("arn", "logGroupClass", "deletionProtectionEnabled", "tagsAll", "region"),
            autoname=Autoname(longest=512),
        ),
        ResourceType(
            SUBNET_GROUP,
            f"{TERRAFORM}db_subnet_group",
            {
                **named(r"[a-z0-9 ._-]+", prefix_pattern=r"[a-z0-9 ._-]+", longest_prefix=229),
                "description": Input(default=MANAGED_BY),
                "subnetIds": Input("set", required=True, pattern=r"subnet-[0-9a-f]+"),
                "tags": TAGS,
            },
            ("arn", "supportedNetworkTypes", "vpcId", "tagsAll", "region"),
            autoname=Autoname(lower=True),
        ),
        ResourceType(
            PARAMETER_GROUP,
            f"{TERRAFORM}db_parameter_group",
            {
                **named(r"[a-z][a-z0-9.]*(-[a-z0-9.]+)*", prefix_pattern=r"[a-z][a-z0-9.-]*", longest_prefix=229),
                "family": Input(required=True, replaces=True, pattern=r"postgres(9\.\d|\d\d)"),
                "description": Input(default=MANAGED_BY, replaces=True),
                "parameters": Input(
                    "objects",
                    fields={
                        "name": Input(required=True),
                        "value": Input(required=True),
                        "applyMethod": Input(choices=("immediate", "pending-reboot")),
                    },
                ),
                "skipDestroy": Input("boolean", default=False),
                "tags": TAGS,
            },
            ("arn", "tagsAll", "region"),
            autoname=Autoname(lower=True),
        ),
        ResourceType(
            SECURITY_GROUP,
            f"{TERRAFORM}security_group",
            {
                **named(r"(?!sg-)[^\x00]+", prefix_pattern=r"(?!sg-)[^\x00]+", longest_prefix=100),
                "description": Input(
                    default=MANAGED_BY, replaces=True, pattern=r"[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*", longest=255
                ),
                "revokeRulesOnDelete": Input("boolean", default=False),
                "vpcId": Input(computed=True, replaces=True, pattern=r"vpc-[0-9a-f]+"),
                "tags": TAGS,
            },
            ("arn", "ownerId", "ingress", "egress", "tagsAll", "region"),
            autoname=Autoname(),
        ),
        ResourceType(
            INGRESS_RULE,
            f"{TERRAFORM}vpc_security_group_ingress_rule",
            {
                "securityGroupId": Input(required=True, replaces=True),
                "cidrIpv4": Input(pattern=r"[0-9.]+/\d+"),
                "cidrIpv6": Input(pattern=r"[0-9a-f:]+/\d+"),
                "prefixListId": Input(pattern=r"pl-[0-9a-f]+"),
                "referencedSecurityGroupId": Input(),
                "ipProtocol": Input(required=True, choices=("tcp", "udp", "icmp", "icmpv6", "-1")),
                "fromPort": Input("integer", between=(-1, 65535)),
                "toPort": Input("integer", between=(-1, 65535)),
                "description": Input(longest=255),
                "tags": TAGS,
            },
            ("arn", "securityGroupRuleId", "tagsAll", "region"),
            exactly_one=(("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"),),
            rules=rule_ports,
        ),
        ResourceType(
            ROLE,
            f"{TERRAFORM}iam_role",
            {
                **named(r"[\w+=,.@-]+", longest=64, prefix_pattern=r"[\w+=,.@-]+", longest_prefix=38),
                "assumeRolePolicy": Input(required=True, document=True),
                "description": Input(longest=1000),
                "forceDetachPolicies": Input("boolean", default=False),
                "maxSessionDuration": Input("integer", default=3600, between=(3600, 43200)),
                "path": Input(default="/", replaces=True, pattern=r"/([!-~]+/)?", longest=512),
                "permissionsBoundary": Input(pattern=ARN),
                "tags": TAGS,
            },
            ("arn", "createDate", "uniqueId", "inlinePolicies", "managedPolicyArns", "tagsAll"),
            autoname=Autoname(longest=64),
        ),
        ResourceType(
            ROLE_POLICY,
            f"{TERRAFORM}iam_role_policy",
            {
                **named(r"[\w+=,.@-]+", longest=128, prefix_pattern=r"[\w+=,.@-]+", longest_prefix=102),
                "policy": Input(required=True, document=True, longest=10240),
                "role": Input(required=True, replaces=True, pattern=r"[\w+=,.@-]+", longest=64),
            },
            (),
            autoname=Autoname(longest=128),
        ),
        ResourceType(
            ROLE_POLICY_ATTACHMENT,
            f"{TERRAFORM}iam_role_policy_attachment",
            {
                "policyArn": Input(required=True, replaces=True, pattern=ARN),
                "role": Input(required=True, replaces=True, pattern=r"[\w+=,.@-]+", longest=64),
            },
            (),
        ),
        ResourceType(
            INSTANCE,
            f"{TERRAFORM}db_instance",
            {
                "allocatedStorage": Input("integer", computed=True, between=(5, 65536), same=_autoscaled, live=True),
                "allowMajorVersionUpgrade": Input("boolean"),
                "applyImmediately": Input("boolean", computed=True),
                "autoMinorVersionUpgrade": Input("boolean", default=True),
                "backupRetentionPeriod": Input("integer", computed=True, between=(0, 35)),
                "backupWindow": Input(computed=True, pattern=r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d"),
                "caCertIdentifier": Input(
                    computed=True,
                    choices=("rds-ca-2019", "rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1"),
                ),
                "copyTagsToSnapshot": Input("boolean", default=False),
                "databaseInsightsMode": Input(computed=True, choices=("standard", "advanced")),
                "dbName": Input(
                    computed=True, replaces=True, pattern=r"[A-Za-z]\w{0,62}", conflicts=("replicateSourceDb",)
                ),
                "dbSubnetGroupName": Input(computed=True),
                "deleteAutomatedBackups": Input("boolean", default=True),
                "deletionProtection": Input("boolean"),
                "enabledCloudwatchLogsExports": Input("set", choices=LOG_TYPES),
                "engine": Input(computed=True, replaces=True, same=_lower, choices=("postgres",)),
                # A major version differs from the minor version read from an imported instance:
                # https://github.com/hashicorp/terraform-provider-aws/pull/49496
                "engineVersion": Input(computed=True, pattern=r"\d+(\.\d+)*"),
                "finalSnapshotIdentifier": Input(pattern=r"[A-Za-z][0-9A-Za-z]*(-[0-9A-Za-z]+)*", longest=255),
                "iamDatabaseAuthenticationEnabled": Input("boolean"),
                "identifier": Input(computed=True, pattern=RDS_NAME, longest=63, conflicts=("identifierPrefix",)),
                "identifierPrefix": Input(computed=True, replaces=True, pattern=RDS_PREFIX, longest=37),
                "instanceClass": Input(required=True, pattern=r"db\.[a-z0-9-]+\.[a-z0-9-]+"),
                "kmsKeyId": Input(computed=True, replaces=True, pattern=KMS_ARN),
                "maintenanceWindow": Input(
                    computed=True,
                    pattern=r"(?i)(mon|tue|wed|thu|fri|sat|sun):\d\d:\d\d-(mon|tue|wed|thu|fri|sat|sun):\d\d:\d\d",
                    same=_lower,
                ),
                "manageMasterUserPassword": Input("boolean", conflicts=("password",)),
                "masterUserSecretKmsKeyId": Input(computed=True, same=_same_key),
                "maxAllocatedStorage": Input("integer", between=(0, 65536)),
                "monitoringInterval": Input("integer", default=0, choices=(0, 1, 5, 10, 15, 30, 60)),
                "monitoringRoleArn": Input(computed=True, pattern=ARN),
                "multiAz": Input("boolean", computed=True),
                "parameterGroupName": Input(computed=True),
                "password": Input(secret=True, pattern=r"[!#-.0-?A-~]{8,128}"),
                "performanceInsightsEnabled": Input("boolean", default=False),
                "performanceInsightsKmsKeyId": Input(computed=True, pattern=KMS_ARN),
                "performanceInsightsRetentionPeriod": Input("integer", computed=True, between=(7, 731)),
                "port": Input("integer", computed=True, between=(1150, 65535)),
                "publiclyAccessible": Input("boolean", default=False),
                "replicateSourceDb": Input(),
                "restoreToPointInTime": Input(
                    "object",
                    replaces=True,
                    fields={
                        "restoreTime": Input(pattern=UTC_MOMENT),
                        "sourceDbInstanceAutomatedBackupsArn": Input(pattern=ARN),
                        "sourceDbInstanceIdentifier": Input(),
                        "sourceDbiResourceId": Input(),
                        "useLatestRestorableTime": Input("boolean"),
                    },
                ),
                "skipFinalSnapshot": Input("boolean", default=False),
                "snapshotIdentifier": Input(computed=True, replaces=True),
                "storageEncrypted": Input("boolean", replaces=True),
                "storageType": Input(computed=True, choices=("standard", "gp2", "gp3", "io1", "io2")),
                "tags": TAGS,
                "username": Input(
                    computed=True,
                    replaces=True,
                    pattern=r"(?!rds|pg_)[A-Za-z]\w{0,62}",
                    conflicts=("replicateSourceDb",),
                ),
                "vpcSecurityGroupIds": Input("set", computed=True),
            },
            (
                "address",
                "arn",
                "availabilityZone",
                "endpoint",
                "engineVersionActual",
                "hostedZoneId",
                "licenseModel",
                "masterUserSecrets",
                "replicas",
                "resourceId",
                "status",
                "tagsAll",
                "region",
            ),
            rules=instance_rules,
        ),
        *OBSERVING,
    )
}


def violations(type_token: str, inputs: Properties) -> list[str]:
    """The tables' objections to a registration, each as `<input>: <text>`; empty if the official plugin has none.

    `inputs` as a program registers them: plain values without secrets, unknown ones as the engine's sentinels. Ids that
    tests give to mocked resources (`sg-...`, ARNs) must be well-formed too.
    """
    table = TYPES.get(type_token)
    if table is None:
        return [f"{type_token}: is no type of the stand-in"]
    return [f"{re.sub(r'^$', type_token, failure.property)}: {failure.reason}" for failure in table.failures(inputs)]
