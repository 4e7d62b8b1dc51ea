"""What an account has for one database instance, by the live API: the instance and everything made around it.

Owns the search, by name and by tag. The tests say what should be there.
"""

from __future__ import annotations

from typing import Any

from components.settings.names import STACK_TAG
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import aws


def objects_of(sandbox: RunningSandbox, identifier: str) -> dict[str, list[str]]:
    """Kind -> names, of every object named with the instance's name as prefix, or tagged as belonging to it.

    Kinds without objects are left out. A key counts while it can be used; its deletion takes weeks.
    """
    rds, logs, kms = (aws(sandbox, service) for service in ("rds", "logs", "kms"))
    iam, ec2, sns, cloudwatch = (aws(sandbox, service) for service in ("iam", "ec2", "sns", "cloudwatch"))
    found = {
        "instance": _names(rds.describe_db_instances()["DBInstances"], "DBInstanceIdentifier"),
        "snapshot": _names(rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"], "DBSnapshotIdentifier"),
        "subnet group": _names(rds.describe_db_subnet_groups()["DBSubnetGroups"], "DBSubnetGroupName"),
        "parameter group": _names(rds.describe_db_parameter_groups()["DBParameterGroups"], "DBParameterGroupName"),
        "event subscription": _names(
            rds.describe_event_subscriptions()["EventSubscriptionsList"], "CustSubscriptionId"
        ),
        "security group": _names(ec2.describe_security_groups()["SecurityGroups"], "GroupName"),
        "role": _names(iam.list_roles()["Roles"], "RoleName"),
        "topic": [topic["TopicArn"].rpartition(":")[2] for topic in sns.list_topics()["Topics"]],
        "alarm": _names(cloudwatch.describe_alarms()["MetricAlarms"], "AlarmName"),
        "log group": [
            name.removeprefix("/aws/rds/instance/")
            for name in _names(logs.describe_log_groups()["logGroups"], "logGroupName")
        ],
        "key alias": [name.removeprefix("alias/") for name in _names(kms.list_aliases()["Aliases"], "AliasName")],
    }
    own = {kind: sorted(name for name in names if _is_of(name, identifier)) for kind, names in found.items()}
    own["key"] = sorted(
        key for key in _usable_keys(sandbox) if _stack_of(sandbox, key).endswith(f"/{_stack(identifier)}")
    )
    return {kind: names for kind, names in own.items() if names}


def key_state(sandbox: RunningSandbox, key: str) -> str:
    """`Enabled`, `PendingDeletion`, ..."""
    return str(aws(sandbox, "kms").describe_key(KeyId=key)["KeyMetadata"]["KeyState"])


def _usable_keys(sandbox: RunningSandbox) -> list[str]:
    keys = [key["KeyArn"] for key in aws(sandbox, "kms").list_keys()["Keys"]]
    return [key for key in keys if key_state(sandbox, key) == "Enabled"]


def _stack_of(sandbox: RunningSandbox, key: str) -> str:
    tags = aws(sandbox, "kms").list_resource_tags(KeyId=key)["Tags"]
    return next((str(tag["TagValue"]) for tag in tags if tag["TagKey"] == STACK_TAG), "")


def _stack(identifier: str) -> str:
    return identifier.removeprefix("tests-")


def _is_of(name: str, identifier: str) -> bool:
    return name == identifier or name.startswith((f"{identifier}-", f"{identifier}/"))


def _names(found: list[dict[str, Any]], key: str) -> list[str]:
    return [str(one[key]) for one in found]
