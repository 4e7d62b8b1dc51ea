"""A policy allows what its purpose needs on what is the stack's, and nothing on what is another's."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from components.settings import load_settings
from operations.privileges.aws_actions import ACTIONS
from operations.privileges.iam import LARGEST_POLICY, Account, State, policies, size
from operations.privileges.purposes import Purpose
from sandbox.cloud.policies import Question, is_allowed
from tests.samples import ACCOUNT, REGION
from tests.unit.monitor import STACK
from tests.unit.privileges.modes import MODES, configured, directory, settings_of

pytestmark = pytest.mark.unit

IDENTIFIER = f"teleport-access-graph-{STACK}"
TAG = "teleport-access-graph:stack"
OURS = f"organization/teleport-access-graph/{STACK}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/rds/instance"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{IDENTIFIER}-2026"
RDS = f"arn:aws:rds:{REGION}:{ACCOUNT}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
# A role takes 10 managed policies: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_POLICIES = 10
STATE = State(bucket="states", key_arn=KEY)


def allowed(purpose: Purpose, action: str, resource: str = "*", mode: str = "the least", **context: str) -> bool:
    documents, _ = policies(settings_of(mode), purpose, state=STATE)
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return is_allowed(documents, Question(action=action, resource=resource, context=keys))


def marked(kind: str, stack: str = OURS) -> dict[str, str]:
    return {f"aws:{kind}Tag/{TAG}": stack}


def statements(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [statement for document in documents for statement in document["Statement"]]


def actions_of(documents: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for statement in statements(documents):
        action = statement["Action"]
        found |= {action} if isinstance(action, str) else set(action)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_policies_fit_a_role(mode: str) -> None:
    for purpose in Purpose:
        documents, _ = policies(settings_of(mode), purpose, state=STATE)
        assert len(documents) <= MOST_POLICIES
        assert all(size(document) <= LARGEST_POLICY for document in documents)
        for statement in statements(documents):
            assert "*" not in json.dumps(statement["Action"])


def test_a_placeholder_is_never_left() -> None:
    placeholders = [f"{{{field.name}}}" for field in fields(Account)]
    for mode in MODES:
        for purpose in Purpose:
            text = json.dumps(policies(settings_of(mode), purpose, state=STATE)[0])
            assert [one for one in placeholders if one in text] == []


def test_a_deployment_may_all_that_its_table_says_and_a_preview_only_what_reads() -> None:
    read = {action for one in ACTIONS.values() for grant in one.read for action in grant.actions}
    write = {action for one in ACTIONS.values() for grant in one.write for action in grant.actions}
    of_state = {"s3:ListBucket", "s3:GetObject", "kms:Decrypt"}
    settings = settings_of("Pod Identity")
    for purpose in (Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT):
        assert actions_of(policies(settings, purpose, state=STATE)[0]) == read | of_state
    deploy = actions_of(policies(settings, Purpose.DEPLOY, state=STATE)[0])
    assert deploy == read | write | of_state | {"s3:PutObject", "s3:DeleteObject", "kms:Encrypt"}
    assert actions_of(policies(settings, Purpose.CONSUMER, state=STATE)[0]) == of_state


def test_reading_actions_read() -> None:
    for type_, one in ACTIONS.items():
        for grant in one.read:
            for action in grant.actions:
                assert action.split(":")[1].startswith(("Describe", "Get", "List")), (type_, action)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("rds:DeleteDBInstance", f"{RDS}:db:{IDENTIFIER}", {}),
        ("rds:DeleteDBInstance", f"{RDS}:snapshot:{IDENTIFIER}-final-0a1b2c3d", {}),
        ("rds:CreateDBInstanceReadReplica", f"{RDS}:db:{IDENTIFIER}-replica", {}),
        ("rds:CreateDBSubnetGroup", f"{RDS}:subgrp:{IDENTIFIER}-20260101", {}),
        ("kms:ScheduleKeyDeletion", KEY, marked("Resource")),
        ("kms:CreateKey", "*", marked("Request")),
        ("logs:DeleteLogGroup", f"{LOGS}/{IDENTIFIER}/upgrade", {}),
        ("iam:PutRolePolicy", ROLE, {}),
        ("iam:CreateRole", ROLE, {}),
        ("ec2:CreateSecurityGroup", f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-0123456789abcdef0", {}),
        ("ec2:DeleteSecurityGroup", f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1", marked("Resource")),
        ("sns:Subscribe", f"arn:aws:sns:{REGION}:{ACCOUNT}:{IDENTIFIER}-database", {}),
        ("s3:PutObject", f"arn:aws:s3:::states/.pulumi/stacks/teleport-access-graph/{STACK}.json", {}),
        ("s3:PutObject", f"arn:aws:s3:::states/.pulumi/locks/organization/teleport-access-graph/{STACK}/x.json", {}),
    ],
)  # fmt: skip
def test_a_deployment_may_change_what_is_the_stacks(action: str, resource: str, context: dict[str, str]) -> None:
    assert allowed(Purpose.DEPLOY, action, resource, **context)
    assert not allowed(Purpose.PREVIEW, action, resource, **context)
    assert not allowed(Purpose.DRIFT, action, resource, **context)
    assert not allowed(Purpose.CONSUMER, action, resource, **context)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("rds:DeleteDBInstance", f"{RDS}:db:payroll", {}),
        ("rds:DeleteDBInstance", f"{RDS}:db:{IDENTIFIER}2", {}),
        ("rds:DeleteDBInstance", f"{RDS}:snapshot:payroll-final-0a1b2c3d", {}),
        ("rds:ModifyDBInstance", f"arn:aws:rds:eu-west-1:{ACCOUNT}:db:{IDENTIFIER}", {}),
        ("rds:ModifyDBInstance", f"arn:aws:rds:{REGION}:999999999999:db:{IDENTIFIER}", {}),
        ("kms:ScheduleKeyDeletion", KEY, marked("Resource", "organization/teleport-access-graph/prod")),
        ("kms:ScheduleKeyDeletion", KEY, {}),
        ("kms:CreateKey", "*", {}),
        ("logs:DeleteLogGroup", f"{LOGS}/payroll/upgrade", {}),
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/administrator", {}),
        ("iam:PassRole", ROLE, {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("ec2:CreateSecurityGroup", f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/vpc-other", {}),
        ("ec2:DeleteSecurityGroup", f"arn:aws:ec2:{REGION}:{ACCOUNT}:security-group/sg-1", {}),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:rds!db-1", {}),
        ("s3:GetObject", "arn:aws:s3:::states/.pulumi/stacks/teleport-access-graph/other.json", {}),
        ("s3:GetObject", "arn:aws:s3:::other/.pulumi/meta.yaml", {}),
        ("iam:CreateUser", "*", {}),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/administrator", {}),
    ],
)  # fmt: skip
def test_a_deployment_may_not_touch_what_is_not(action: str, resource: str, context: dict[str, str]) -> None:
    assert not allowed(Purpose.DEPLOY, action, resource, **context)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:DescribeSecurityGroups", "*"),
        ("iam:ListRoles", "*"),
        ("iam:ListRoleTags", f"arn:aws:iam::{ACCOUNT}:role/service/anybodys"),
        ("kms:ListKeys", "*"),
        ("rds:DescribeDBInstances", f"{RDS}:db:*"),
        ("rds:DescribeDBParameterGroups", f"{RDS}:pg:*"),
        ("rds:DescribeDBSubnetGroups", f"{RDS}:subgrp:*"),
        ("rds:ListTagsForResource", f"{RDS}:pg:anybodys"),
        ("rds:ListTagsForResource", f"{RDS}:subgrp:anybodys"),
    ],
)
def test_who_deploys_may_look_for_what_a_killed_up_left(action: str, resource: str) -> None:
    """`operations.unrecorded` goes through all of a type, for a tag and not for a name."""
    assert allowed(Purpose.DEPLOY, action, resource)


def test_what_reaches_beyond_the_stack_is_told() -> None:
    documents, unscoped = policies(settings_of("the least"), Purpose.DEPLOY, state=STATE)
    told = {one.right for one in unscoped}
    everywhere: set[str] = set()
    for statement in statements(documents):
        if statement["Resource"] == "*" and "Condition" not in statement:
            everywhere |= set(statement["Action"])
    assert everywhere == {
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "iam:ListRoles",
        "kms:ListAliases",
        "kms:ListKeys",
    }
    assert told == everywhere | {
        "iam:CreateRole",
        "logs:DescribeLogGroups",
        "iam:ListRoleTags",
        "rds:DescribeDBInstances",
        "rds:DescribeDBParameterGroups",
        "rds:DescribeDBSubnetGroups",
        "rds:ListTagsForResource",
        "rds:RestoreDBInstanceFromDBSnapshot",
    }
    assert all(one.why for one in unscoped)


def test_a_boundary_ends_what_new_roles_can() -> None:
    config = {**configured("the least")}
    config["aws"] = {**config["aws"], "iam": {"permissionsBoundaryArn": BOUNDARY, "path": "/graph/"}}
    settings = load_settings(config, (), root=directory(), stack=STACK)
    documents, unscoped = policies(settings, Purpose.DEPLOY)
    role = f"arn:aws:iam::{ACCOUNT}:role/graph/{IDENTIFIER}-2026"

    def may_create(**context: str) -> bool:
        return is_allowed(documents, Question(action="iam:CreateRole", resource=role, context=context))

    assert may_create(**{"iam:PermissionsBoundary": BOUNDARY})
    assert not may_create(**{"iam:PermissionsBoundary": f"{BOUNDARY}-wider"})
    assert not may_create()
    assert "iam:CreateRole" not in {one.right for one in unscoped}


def test_a_consumer_reads_one_stacks_state_and_nothing_of_the_world() -> None:
    documents, unscoped = policies(settings_of("the least"), Purpose.CONSUMER, state=STATE)
    assert unscoped == []
    assert documents == [
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "s3:ListBucket",
                    "Resource": "arn:aws:s3:::states",
                    "Condition": {"StringLike": {"s3:prefix": ".pulumi/*"}},
                },
                {
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": [
                        "arn:aws:s3:::states/.pulumi/meta.yaml",
                        f"arn:aws:s3:::states/.pulumi/stacks/teleport-access-graph/{STACK}.json*",
                    ],
                },
                {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": KEY},
            ],
        }
    ]


def test_a_stack_without_rds_needs_nothing_of_aws() -> None:
    for purpose in Purpose:
        assert policies(settings_of("a database that exists"), purpose) == ([], [])
