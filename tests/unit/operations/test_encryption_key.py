"""Checks of the database's key: it can encrypt; and the policy of one that `database.kmsKeyArn` names admits the
services that write with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.database_policies import key_policy
from components.settings import load_settings
from operations.checks import encryption_key
from operations.checks.encryption_key import check_key, check_own_key
from operations.findings import Finding, Outcome
from tests.samples import ACCOUNT, REGION, minimal_configuration

pytestmark = [pytest.mark.unit, pytest.mark.slow]

IDENTIFIER = "teleport-access-graph-dev"
ACCOUNT_ALONE = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ]
}


def statements(*, without: str = "") -> dict[str, Any]:
    """The policy that the program gives to the stack's own key, without the statement `without`."""
    policy: dict[str, Any] = json.loads(key_policy(region=REGION, account_id=ACCOUNT, identifier=IDENTIFIER))
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] != without]
    return policy


def reading_alone(sid: str) -> dict[str, Any]:
    """Like `statements`, but the statement `sid` allows decryption only, not encryption."""
    policy = statements()
    (one,) = (statement for statement in policy["Statement"] if statement["Sid"] == sid)
    one["Action"] = ["kms:Decrypt", "kms:DescribeKey"]
    return policy


def made_key(policy: dict[str, Any], **more: Any) -> str:
    kms = boto3.client("kms", region_name=REGION)
    return str(kms.create_key(Policy=json.dumps(policy), **more)["KeyMetadata"]["Arn"])


def findings(arn: str | None, **database: Any) -> dict[str, Finding]:
    config = minimal_configuration()
    config["database"] |= {"notifications": {"mode": "ownTopic"}, **database}
    if arn is not None:
        config["database"]["kmsKeyArn"] = arn
    if database.get("adopt"):
        config["database"]["network"]["subnetGroupName"] = "databases"
        del config["database"]["network"]["subnetIds"]
    settings = load_settings(config, (), root=Path.cwd(), stack="dev")
    return {finding.check: finding for finding in check_key(settings)}


def outcomes(found: dict[str, Finding]) -> dict[str, Outcome]:
    return {check: finding.outcome for check, finding in found.items()}


def test_a_key_of_the_stacks_own_is_not_asked_for() -> None:
    assert findings(None) == {}


def test_a_key_with_the_policy_that_the_stack_would_give_it_is_one_that_can_be_used(aws_account: None) -> None:
    found = findings(made_key(statements(), Description="databases"), alarms={})
    assert outcomes(found) == {"aws.key": Outcome.PASS, "aws.key-policy": Outcome.PASS}
    assert found["aws.key"].reason == "databases"
    assert found["aws.key-policy"].reason == (
        "logs.us-east-1.amazonaws.com, events.rds.amazonaws.com, cloudwatch.amazonaws.com"
    )


def _disabled(kms: Any, arn: str) -> None:
    kms.disable_key(KeyId=arn.rpartition("/")[2])


def _deleted(kms: Any, arn: str) -> None:
    kms.schedule_key_deletion(KeyId=arn.rpartition("/")[2])


@pytest.mark.parametrize(
    ("turn", "said"), [(_disabled, "is Disabled; `aws kms enable-key`"), (_deleted, "`aws kms cancel-key-deletion`")]
)
def test_a_key_that_is_off_is_told_with_the_way_to_turn_it_on(
    aws_account: None, turn: Callable[[Any, str], None], said: str
) -> None:
    arn = made_key(statements())
    turn(boto3.client("kms", region_name=REGION), arn)
    found = findings(arn)
    assert outcomes(found) == {"aws.key": Outcome.FAIL}
    assert said in found["aws.key"].reason


def own_key(used: str, recorded: str | None) -> Finding:
    settings = load_settings(minimal_configuration(), (), root=Path.cwd(), stack="dev")
    assert settings.aws is not None
    return check_own_key(settings.aws, used, recorded)


@pytest.mark.parametrize(
    ("turn", "said"),
    [(_disabled, "is Disabled: `aws kms enable-key`"), (_deleted, "do that before any `up --refresh`")],
)
def test_the_stacks_own_key_is_looked_at_through_its_instance(
    aws_account: None, turn: Callable[[Any, str], None], said: str
) -> None:
    arn = made_key(statements())
    identity = arn.rpartition("/")[2]
    assert own_key(arn, identity).outcome is Outcome.PASS
    turn(boto3.client("kms", region_name=REGION), arn)
    finding = own_key(arn, identity)
    assert (finding.check, finding.outcome) == ("aws.key", Outcome.FAIL)
    assert said in finding.reason


@pytest.mark.parametrize(("recorded", "way"), [(None, "the state has none"), ("x-y", "first `pulumi state rename")])
def test_a_key_that_the_state_has_lost_is_told_before_an_up_wants_another_database(
    aws_account: None, recorded: str | None, way: str
) -> None:
    """After an `up --refresh` while the key was to be deleted, the state has another key, which nothing is encrypted
    with."""
    finding = own_key(made_key(statements()), recorded)
    assert finding.outcome is Outcome.FAIL
    assert way in finding.reason
    assert "`recover` prints how to import it" in finding.reason


def test_a_key_of_two_halves_encrypts_no_instance(aws_account: None) -> None:
    found = findings(made_key(statements(), KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY"))
    assert outcomes(found) == {"aws.key": Outcome.FAIL}
    assert "is RSA_2048 for SIGN_VERIFY" in found["aws.key"].reason


def test_a_key_that_is_not_there_is_what_aws_says(aws_account: None) -> None:
    found = findings(f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-0000-0000-000000000000")
    assert outcomes(found) == {"aws.key": Outcome.FAIL}
    assert "NotFound" in found["aws.key"].reason


@pytest.mark.parametrize(
    ("policy", "database", "shut_out"),
    [
        (statements(without="Logs"), {}, "to logs.us-east-1.amazonaws.com;"),
        (statements(without="Publish"), {}, "to events.rds.amazonaws.com;"),
        (statements(without="Publish"), {"alarms": {}}, "to events.rds.amazonaws.com, cloudwatch.amazonaws.com;"),
        (ACCOUNT_ALONE, {}, "to logs.us-east-1.amazonaws.com, events.rds.amazonaws.com;"),
        (reading_alone("Logs"), {}, "to logs.us-east-1.amazonaws.com;"),
    ],
)
def test_who_is_not_let_in_is_named(
    aws_account: None, policy: dict[str, Any], database: dict[str, Any], shut_out: str
) -> None:
    found = findings(made_key(policy), **database)
    assert outcomes(found) == {"aws.key": Outcome.PASS, "aws.key-policy": Outcome.FAIL}
    assert shut_out in found["aws.key-policy"].reason


def test_a_topic_of_somebody_elses_is_encrypted_with_another_key(aws_account: None) -> None:
    topic = {"mode": "topic", "topicArn": f"arn:aws:sns:{REGION}:{ACCOUNT}:operations"}
    found = findings(made_key(statements(without="Publish")), notifications=topic)
    assert outcomes(found)["aws.key-policy"] is Outcome.PASS


@pytest.mark.parametrize(
    "statement",
    [
        {"Principal": "*", "Action": ["kms:*"]},
        {"Principal": {"AWS": "*"}, "Action": "kms:decrypt", "NotAction": "kms:Delete*"},
        {"NotPrincipal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "*"},
    ],
)
def test_a_statement_that_may_let_them_in_is_not_judged(statement: dict[str, Any]) -> None:
    policy = {"Statement": {"Effect": "Allow", "Resource": "*", **statement}}
    assert encryption_key._lets_in(policy, "events.rds.amazonaws.com")
    refused = {"Statement": {"Effect": "Deny", "Resource": "*", **statement}}
    assert not encryption_key._lets_in(refused, "events.rds.amazonaws.com")


class Kms:
    """KMS with answers for keys that moto cannot model."""

    def __init__(self, **metadata: Any) -> None:
        self.metadata = {
            "KeyId": "0b1c2d3e",
            "AWSAccountId": ACCOUNT,
            "KeyState": "Enabled",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyManager": "CUSTOMER",
            **metadata,
        }
        self.refusal = ""

    def describe_key(self, **arguments: Any) -> Any:
        if self.refusal:
            raise ClientError({"Error": {"Code": self.refusal, "Message": "no"}}, "DescribeKey")
        return {"KeyMetadata": self.metadata}

    def get_key_policy(self, **arguments: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetKeyPolicy")


def answering(monkeypatch: pytest.MonkeyPatch, kms: Kms) -> None:
    monkeypatch.setattr(encryption_key, "aws_client", lambda cloud, service: kms)


ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"


def test_a_key_of_aws_own_is_for_an_instance_that_is_taken_over_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, Kms(KeyManager="AWS"))
    found = findings(ARN)
    assert outcomes(found) == {"aws.key": Outcome.FAIL}
    assert "is an AWS managed key" in found["aws.key"].reason
    assert outcomes(findings(ARN, adopt=True)) == {"aws.key": Outcome.PASS}


def test_the_policy_of_another_accounts_key_cannot_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    other = f"{ACCOUNT[:-1]}9"
    answering(monkeypatch, Kms(AWSAccountId=other))
    found = findings(f"arn:aws:kms:{REGION}:{other}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d")
    assert outcomes(found) == {"aws.key": Outcome.PASS, "aws.key-policy": Outcome.NOT_PROVEN}


@pytest.mark.parametrize(
    ("code", "outcome"), [("AccessDeniedException", Outcome.NOT_PROVEN), ("ThrottlingException", Outcome.FAIL)]
)
def test_what_may_not_be_asked_is_not_proven(monkeypatch: pytest.MonkeyPatch, code: str, outcome: Outcome) -> None:
    kms = Kms()
    answering(monkeypatch, kms)
    assert outcomes(findings(ARN)) == {"aws.key": Outcome.PASS, "aws.key-policy": Outcome.NOT_PROVEN}
    kms.refusal = code
    assert outcomes(findings(ARN)) == {"aws.key": outcome}
