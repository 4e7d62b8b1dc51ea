"""AWS's controls as functions of an instance's facts: as a program registers them, and as the live API reports them.

Owns the controls' conditions, each taken from its own page, and the two sources of the facts. Facts are named like the
provider's inputs.

https://docs.aws.amazon.com/securityhub/latest/userguide/rds-controls.html; kms- and cloudwatch-controls.html there
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.unit.monitor import Recording

Facts = dict[str, Any]

EVERYWHERE = ("0.0.0.0/0", "::/0")
# RDS.6 and RDS.25, from their Config rules; the other names are just as well known.
GUESSED_USERS = ("admin", "postgres", "root", "master", "administrator")
LOGS = ("postgresql", "upgrade")
# Source type -> categories whose events RDS.20, RDS.21 and RDS.22 require notifications for.
CRITICAL_EVENTS = {
    "db-instance": ("maintenance", "configuration change", "failure"),
    "db-parameter-group": ("configuration change",),
    "db-security-group": ("configuration change", "failure"),
}


def _is_told(source: str) -> Callable[[Facts], bool]:
    def told(facts: Facts) -> bool:
        subscription = facts["subscriptions"].get(source, {})
        return (
            bool(subscription.get("enabled"))
            and bool(subscription.get("snsTopic"))
            and set(CRITICAL_EVENTS[source]) <= set(subscription["eventCategories"])
        )

    return told


def _logs_are_exported(facts: Facts) -> bool:
    return set(LOGS) <= set(facts["instance"]["enabledCloudwatchLogsExports"])


def _logs_are_owned(facts: Facts, least_days: int) -> bool:
    groups = [facts["logGroups"].get(log, {}) for log in LOGS]
    return all(group.get("kmsKeyId") and (group.get("retentionInDays") or 0) >= least_days for group in groups)


# Control -> whether it is satisfied.
CONTROLS: Mapping[str, Callable[[Facts], bool]] = {
    "RDS.1": lambda facts: not facts["sharedSnapshots"],
    "RDS.2": lambda facts: (
        facts["instance"]["publiclyAccessible"] is False
        and bool(facts["ingress"])
        and not set(facts["ingress"]) & set(EVERYWHERE)
        and not facts["egress"]
    ),
    "RDS.3": lambda facts: facts["instance"]["storageEncrypted"] is True and bool(facts["instance"]["kmsKeyId"]),
    "RDS.4": lambda facts: not facts["plainSnapshots"] and facts["instance"]["storageEncrypted"] is True,
    "RDS.5": lambda facts: facts["instance"]["multiAz"] is True,
    "RDS.6": lambda facts: (
        facts["instance"]["monitoringInterval"] > 0 and bool(facts["instance"].get("monitoringRoleArn"))
    ),
    "RDS.8": lambda facts: facts["instance"]["deletionProtection"] is True,
    "RDS.9": lambda facts: _logs_are_exported(facts) and _logs_are_owned(facts, 1),
    "RDS.10": lambda facts: facts["instance"]["iamDatabaseAuthenticationEnabled"] is True,
    "RDS.11": lambda facts: facts["instance"]["backupRetentionPeriod"] >= 7,
    "RDS.13": lambda facts: facts["instance"]["autoMinorVersionUpgrade"] is True,
    "RDS.17": lambda facts: facts["instance"]["copyTagsToSnapshot"] is True,
    "RDS.20": _is_told("db-instance"),
    "RDS.21": _is_told("db-parameter-group"),
    "RDS.22": _is_told("db-security-group"),
    "RDS.23": lambda facts: facts["instance"]["port"] != 5432,
    "RDS.25": lambda facts: facts["instance"]["username"] not in GUESSED_USERS,
    "RDS.36": _logs_are_exported,
    "RDS.38": lambda facts: facts["parameters"].get("rds.force_ssl") == "1",
    "KMS.4": lambda facts: facts["keyRotates"] is True,
    "CloudWatch.16": lambda facts: _logs_are_owned(facts, 365),
}


def violations(facts: Facts) -> list[str]:
    """The violated controls, in order."""
    return [control for control, is_kept in CONTROLS.items() if not is_kept(facts)]


def flipped(facts: Facts, *changes: tuple[str, Any]) -> Facts:
    """`facts` with a different value at each `<part>/<name>`."""
    changed = copy.deepcopy(facts)
    for path, value in changes:
        *parts, name = path.split("/")
        target = changed
        for part in parts:
            target = target[part]
        target[name] = value
    return changed


# Controls -> changes that violate exactly these; one change may violate several.
FLIPS: Sequence[tuple[tuple[str, ...], tuple[tuple[str, Any], ...]]] = (
    (("RDS.1",), (("sharedSnapshots", ["rds:one"]),)),
    (("RDS.2",), (("instance/publiclyAccessible", True),)),
    (("RDS.2",), (("ingress", ["sg-0123456789abcdef0", "0.0.0.0/0"]),)),
    (("RDS.2",), (("ingress", ["::/0"]),)),
    (("RDS.2",), (("egress", ["0.0.0.0/0"]),)),
    (("RDS.3", "RDS.4"), (("instance/storageEncrypted", False),)),
    (("RDS.3",), (("instance/kmsKeyId", None),)),
    (("RDS.4",), (("plainSnapshots", ["rds:one"]),)),
    (("RDS.5",), (("instance/multiAz", False),)),
    (("RDS.6",), (("instance/monitoringInterval", 0),)),
    (("RDS.6",), (("instance/monitoringRoleArn", None),)),
    (("RDS.8",), (("instance/deletionProtection", False),)),
    (("RDS.9", "RDS.36"), (("instance/enabledCloudwatchLogsExports", ["postgresql"]),)),
    (("RDS.9", "CloudWatch.16"), (("logGroups/upgrade", {}),)),
    (("RDS.9", "CloudWatch.16"), (("logGroups/postgresql/kmsKeyId", None),)),
    (("RDS.10",), (("instance/iamDatabaseAuthenticationEnabled", False),)),
    (("RDS.11",), (("instance/backupRetentionPeriod", 6),)),
    (("RDS.13",), (("instance/autoMinorVersionUpgrade", False),)),
    (("RDS.17",), (("instance/copyTagsToSnapshot", False),)),
    (("RDS.20",), (("subscriptions/db-instance/eventCategories", ["maintenance", "failure"]),)),
    (("RDS.20",), (("subscriptions/db-instance/enabled", False),)),
    (("RDS.21",), (("subscriptions/db-parameter-group/eventCategories", []),)),
    (("RDS.21",), (("subscriptions/db-parameter-group/snsTopic", None),)),
    (("RDS.22",), (("subscriptions/db-security-group", {}),)),
    (("RDS.23",), (("instance/port", 5432),)),
    (("RDS.25",), (("instance/username", "postgres"),)),
    (("RDS.38",), (("parameters", {}),)),
    (("RDS.38",), (("parameters/rds.force_ssl", "0"),)),
    (("KMS.4",), (("keyRotates", False),)),
    (("CloudWatch.16",), (("logGroups/postgresql/retentionInDays", 180),)),
)


def registered_facts(stack: Recording) -> Facts:
    """Facts of what a program registers. RDS makes snapshots itself, with the properties of their instance."""
    rules = stack.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    sources = ("referencedSecurityGroupId", "prefixListId", "cidrIpv4", "cidrIpv6")
    return {
        "instance": {"monitoringRoleArn": None, **stack["database-instance"].inputs},
        "parameters": {one["name"]: one["value"] for one in stack["database-parameter-group"].inputs["parameters"]},
        "keyRotates": stack["database-key"].inputs["enableKeyRotation"],
        "logGroups": {log: dict(stack[f"database-log-{log}"].inputs) for log in LOGS},
        "subscriptions": {
            one.inputs["sourceType"]: dict(one.inputs)
            for one in stack.of_type("aws:rds/eventSubscription:EventSubscription")
        },
        "ingress": [rule.inputs[source] for rule in rules for source in sources if source in rule.inputs],
        "egress": [one.name for one in stack.of_type("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule")],
        "sharedSnapshots": [],
        "plainSnapshots": [],
    }


# The names that DescribeDBInstances uses for the facts.
LIVE_NAMES = {
    "publiclyAccessible": "PubliclyAccessible",
    "storageEncrypted": "StorageEncrypted",
    "kmsKeyId": "KmsKeyId",
    "multiAz": "MultiAZ",
    "monitoringInterval": "MonitoringInterval",
    "monitoringRoleArn": "MonitoringRoleArn",
    "deletionProtection": "DeletionProtection",
    "enabledCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "iamDatabaseAuthenticationEnabled": "IAMDatabaseAuthenticationEnabled",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "username": "MasterUsername",
}


def live_facts(client: Callable[[str], Any], identifier: str) -> Facts:
    """Facts of what the account contains. `client` returns boto3's client for a service."""
    rds, logs, ec2, kms = client("rds"), client("logs"), client("ec2"), client("kms")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    (group,) = instance["DBParameterGroups"]
    pages = rds.get_paginator("describe_db_parameters").paginate(DBParameterGroupName=group["DBParameterGroupName"])
    parameters = [one for page in pages for one in page["Parameters"] if one.get("ParameterValue") is not None]
    prefix = f"/aws/rds/instance/{identifier}/"
    subscriptions = rds.describe_event_subscriptions()["EventSubscriptionsList"]
    groups = [one["VpcSecurityGroupId"] for one in instance["VpcSecurityGroups"]]
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": groups}])["SecurityGroupRules"]
    snapshots = rds.describe_db_snapshots(DBInstanceIdentifier=identifier)["DBSnapshots"]
    return {
        "instance": {
            **{name: instance.get(live) for name, live in LIVE_NAMES.items()},
            "port": instance["Endpoint"]["Port"],
        },
        "parameters": {one["ParameterName"]: one["ParameterValue"] for one in parameters},
        "keyRotates": kms.get_key_rotation_status(KeyId=instance["KmsKeyId"])["KeyRotationEnabled"],
        "logGroups": {
            one["logGroupName"].removeprefix(prefix): one
            for one in logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
        },
        "subscriptions": {
            one["SourceType"]: {
                "enabled": one["Enabled"],
                "snsTopic": one["SnsTopicArn"],
                "eventCategories": one["EventCategoriesList"],
            }
            for one in subscriptions
            if one["CustSubscriptionId"].startswith(f"{identifier}-")
        },
        "ingress": [_source(rule) for rule in rules if not rule["IsEgress"]],
        "egress": [_source(rule) for rule in rules if rule["IsEgress"]],
        "sharedSnapshots": [name for name in _names(snapshots) if _is_shared(rds, name)],
        "plainSnapshots": _names([one for one in snapshots if not one["Encrypted"]]),
    }


def _source(rule: Mapping[str, Any]) -> str:
    group = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    return str(group or rule.get("PrefixListId") or rule.get("CidrIpv4") or rule.get("CidrIpv6"))


def _names(snapshots: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(one["DBSnapshotIdentifier"]) for one in snapshots]


def _is_shared(rds: Any, snapshot: str) -> bool:
    answer = rds.describe_db_snapshot_attributes(DBSnapshotIdentifier=snapshot)["DBSnapshotAttributesResult"]
    attributes = answer["DBSnapshotAttributes"]
    return any("all" in one["AttributeValues"] for one in attributes if one["AttributeName"] == "restore")
