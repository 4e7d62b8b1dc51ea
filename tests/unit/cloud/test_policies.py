"""IAM's rules for evaluating policies, as far as the workloads' policies need them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.cloud.policies import Question, is_allowed

pytestmark = pytest.mark.unit

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:rds!db-1-AbCdEf"
READ = "secretsmanager:GetSecretValue"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/issuer.example"


def statement(**changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": READ, "Resource": SECRET, **changes}


def allowed(*statements: dict[str, Any], **question: Any) -> bool:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    return is_allowed([document], Question(**{"action": READ, "resource": SECRET, **question}))


def test_nothing_is_allowed_without_a_statement() -> None:
    assert not allowed()
    assert not is_allowed([], Question(READ, SECRET))


def test_a_single_statement_need_not_be_a_list() -> None:
    assert is_allowed([{"Statement": statement()}], Question(READ, SECRET))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"Action": "secretsmanager:Get*"}, True),
        ({"Action": "SECRETSMANAGER:getsecretvalue"}, True),
        ({"Action": ["kms:Decrypt", READ]}, True),
        ({"Action": "*"}, True),
        ({"Action": "secretsmanager:DescribeSecret"}, False),
        ({"Action": None, "NotAction": "iam:*"}, True),
        ({"Action": None, "NotAction": "secretsmanager:*"}, False),
        ({"Resource": "*"}, True),
        ({"Resource": f"{SECRET[:-6]}??????"}, True),
        ({"Resource": SECRET.upper()}, False),
        ({"Resource": [SECRET + "x"]}, False),
        ({"Effect": "Deny"}, False),
    ],
)
def test_actions_and_resources(changes: dict[str, Any], expected: bool) -> None:
    changed = {name: value for name, value in statement(**changes).items() if value is not None}
    assert allowed(changed) is expected


def test_a_bracket_in_a_pattern_is_itself() -> None:
    assert not allowed(statement(Resource="arn:[abc]*"), resource="arn:a1")
    assert allowed(statement(Resource="arn:[abc]*"), resource="arn:[abc]1")


def test_a_deny_wins_over_every_allow() -> None:
    assert not allowed(statement(), statement(Effect="Deny", Action="*", Resource="*"))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"StringEquals": {"issuer.example:sub": "system:serviceaccount:a:b"}}, True),
        ({"StringEquals": {"ISSUER.example:SUB": ["other", "system:serviceaccount:a:b"]}}, True),
        ({"StringEquals": {"issuer.example:sub": "system:serviceaccount:*:b"}}, False),
        ({"StringLike": {"issuer.example:sub": "system:serviceaccount:*:b"}}, True),
        ({"StringNotEquals": {"issuer.example:sub": "system:serviceaccount:a:b"}}, False),
        ({"StringEquals": {"issuer.example:aud": "sts.amazonaws.com"}}, False),
        ({"StringEqualsIfExists": {"issuer.example:aud": "sts.amazonaws.com"}}, True),
        ({"Null": {"issuer.example:aud": "true"}}, True),
        ({"DateGreaterThan": {"issuer.example:sub": "2020-01-01"}}, False),
    ],
)
def test_conditions(condition: dict[str, Any], expected: bool) -> None:
    context = {"issuer.example:sub": "system:serviceaccount:a:b"}
    assert allowed(statement(Condition=condition), context=context) is expected


@pytest.mark.parametrize(
    ("principal", "expected"),
    [
        ({"Federated": PROVIDER}, True),
        ({"Federated": [PROVIDER]}, True),
        ({"Federated": PROVIDER + "x"}, False),
        ({"AWS": PROVIDER}, False),
        ("*", True),
        (None, False),
    ],
)
def test_a_trust_policy_names_who_may(principal: Any, expected: bool) -> None:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity"}
    if principal is not None:
        trust["Principal"] = principal
    question = {"action": "sts:AssumeRoleWithWebIdentity", "resource": "*", "principals": {"Federated": PROVIDER}}
    assert allowed(trust, **question) is expected


def test_an_account_stands_for_all_its_roles() -> None:
    role = {"AWS": "arn:aws:iam::123456789012:role/reader"}
    assert allowed(statement(Principal={"AWS": "arn:aws:iam::123456789012:root"}), principals=role)
    assert not allowed(statement(Principal={"AWS": "arn:aws:iam::999999999999:root"}), principals=role)
