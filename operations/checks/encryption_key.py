"""Whether the database's key is usable, and whether the policy of `database.kmsKeyArn` admits the services that write
with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from components.database_policies import PUBLISHERS, logs_principal
from components.settings import AwsSettings, RdsDatabaseSettings, Settings
from components.settings.database_operation import OwnTopicSettings
from operations.aws_session import NoSession, asking_aws, aws_client, not_told
from operations.findings import Finding, failed, not_proven, passed

# https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html: a key in state Updating works as usual.
_USABLE = ("Enabled", "Updating")
_WAYS_OUT = {
    "Disabled": "`aws kms enable-key` turns it on",
    "PendingDeletion": "`aws kms cancel-key-deletion`, then `aws kms enable-key`, keep it",
}
# KeySpec and KeyUsage.
_RDS_TAKES = ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
# The actions, of those listed in docs/database.md, that every writer needs.
_WRITING = ("kms:Decrypt", "kms:GenerateDataKey")


def check_key(settings: Settings) -> list[Finding]:
    """Empty when the stack makes its own key."""
    database = settings.database
    if settings.aws is None or not isinstance(database, RdsDatabaseSettings) or database.kms_key_arn is None:
        return []
    arn = database.kms_key_arn
    check, statement = "aws.key", "the key of database.kmsKeyArn can encrypt what the database keeps"
    try:
        with asking_aws():
            key = aws_client(settings.aws, "kms").describe_key(KeyId=arn)["KeyMetadata"]
    except NoSession as error:
        return [not_told(check, statement, error)]
    if problem := _unusable(key, adopted=database.adopt):
        return [failed(check, statement, f"{arn} {problem}")]
    found = passed(check, statement, str(key.get("Description") or key["KeyId"]))
    # The stack encrypts nothing else of an adopted instance, so no service needs the key.
    return [found] if database.adopt else [found, _policy(settings.aws, database, key)]


def check_own_key(cloud: AwsSettings, used: str, recorded: str | None) -> Finding:
    """The key that the stack made for its instance. A key that somebody scheduled for deletion is gone for the plugin:
    an `up --refresh` makes another, and an instance cannot change its key.

    used: ARN of the key with which the instance is encrypted. recorded: id of the stack's key in its state.
    """
    check, statement = "aws.key", "the key of the database is in use, and the stack's"
    try:
        with asking_aws():
            state = aws_client(cloud, "kms").describe_key(KeyId=used)["KeyMetadata"]["KeyState"]
    except NoSession as error:
        return not_told(check, statement, error)
    identity, ways = used.rpartition("/")[2], []
    if state not in _USABLE:
        ways.append(f"it is {state}: {_WAYS_OUT.get(state, 'look at it with `aws kms describe-key`')}")
        if state == "PendingDeletion":
            ways.append("do that before any `up --refresh`, which makes another key and then wants another database")
    if recorded != identity:
        other = "" if recorded is None else f"; first {out_of_the_way()}"
        ways.append(
            f"the state has {recorded or 'none'} in its place, so an `up` wants another database{other}; `recover` "
            "prints how to import it"
        )
    return failed(check, statement, f"{identity}: {'; '.join(ways)}") if ways else passed(check, statement, identity)


def out_of_the_way() -> str:
    """How to make room in the state for the database's key, beside one that was made in its place."""
    return "`pulumi state rename <URN of database-key> database-key-unused`, which the `up` after the import deletes"


def _unusable(key: Mapping[str, Any], *, adopted: bool) -> str | None:
    # AWS's API declares KeySpec and KeyUsage as optional in an answer.
    state, kind = key["KeyState"], (key.get("KeySpec", _RDS_TAKES[0]), key.get("KeyUsage", _RDS_TAKES[1]))
    if state not in _USABLE:
        return f"is {state}; {_WAYS_OUT.get(state, 'name another one')}"
    if kind != _RDS_TAKES:
        return f"is {' for '.join(kind)}, and RDS takes {' for '.join(_RDS_TAKES)}; name another one"
    if key.get("KeyManager") == "AWS" and not adopted:
        return (
            "is an AWS managed key, whose policy nobody can change: it allows neither log groups nor the topic; "
            "name a key of your own, or leave it out and the stack makes one"
        )
    return None


def _policy(cloud: AwsSettings, database: RdsDatabaseSettings, key: Mapping[str, Any]) -> Finding:
    check, statement = "aws.key-policy", "the key's policy lets in the services that write with it"
    if key["AWSAccountId"] != cloud.account_id:
        return not_proven(
            check, statement, "KMS shows a key's policy only to the key's account; docs/database.md has what it needs"
        )
    try:
        with asking_aws():
            answer = aws_client(cloud, "kms").get_key_policy(KeyId=key["KeyId"], PolicyName="default")
    except NoSession as error:
        return not_told(check, statement, error)
    policy, writers = json.loads(answer["Policy"]), list(_writers(cloud, database))
    if shut_out := [one for one in writers if not _lets_in(policy, one)]:
        reason = f"no statement allows {' and '.join(_WRITING)} to {', '.join(shut_out)}; docs/database.md has them"
        return failed(check, statement, reason)
    return passed(check, statement, ", ".join(writers))


def _writers(cloud: AwsSettings, database: RdsDatabaseSettings) -> Iterator[str]:
    yield logs_principal(cloud.region)
    if isinstance(database.notifications, OwnTopicSettings):
        events, alarms = PUBLISHERS
        yield events
        if database.alarms is not None:
            yield alarms


def _lets_in(policy: Mapping[str, Any], service: str) -> bool:
    """Whether a policy may admit `service`. Conditions and Deny statements are ignored, so that nothing fails here that
    AWS would accept."""
    statements = [one for one in _listed(policy.get("Statement")) if one.get("Effect") == "Allow"]
    own = [one for one in statements if "NotPrincipal" in one or _is_principal(one.get("Principal"), service)]
    return all(any("NotAction" in one or _is_action(one.get("Action"), action) for one in own) for action in _WRITING)


def _is_principal(principal: Any, service: str) -> bool:
    if not isinstance(principal, Mapping):
        return bool(principal == "*")
    return "*" in _listed(principal.get("AWS")) or service in _listed(principal.get("Service"))


def _is_action(patterns: Any, action: str) -> bool:
    return any(fnmatchcase(action.lower(), str(pattern).lower()) for pattern in _listed(patterns))


def _listed(value: Any) -> list[Any]:
    """IAM accepts a single value in place of a list."""
    return value if isinstance(value, list) else [] if value is None else [value]
