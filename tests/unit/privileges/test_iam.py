"""A policy allows what its purpose needs on the stack's own resources, and nothing on anybody else's."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest

from components.settings import load_settings
from operations.privileges.aws_actions import ACTIONS
from operations.privileges.iam import LARGEST_POLICY, Account, State, policies, size
from operations.privileges.purposes import Purpose
from sandbox.cloud.policies import Question, is_allowed
from tests.samples import ACCOUNT, REGION
from tests.unit.monitor import STACK, unsealed
from tests.unit.privileges.modes import MODES, configured, directory, recorded, settings_of

pytestmark = pytest.mark.unit

IDENTIFIER = f"teleport-access-graph-{STACK}"
TAG = "teleport-access-graph:stack"
OURS = f"organization/teleport-access-graph/{STACK}"
LOGS = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/rds/instance"
# The digits that the provider appends to a name prefix.
DIGITS = "20261126203800000000000001"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/{IDENTIFIER}-{DIGITS}"
RDS = f"arn:aws:rds:{REGION}:{ACCOUNT}"
EC2 = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
# IAM's limit of managed policies for a role: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_POLICIES = 10
# The key of the state bucket; its rights are separate and have no condition.
STATE_KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1c2d3e4f-5061-4b7c-8d9e-0f1a2b3c4d5e"
STATE = State(bucket="states", key_arn=STATE_KEY)
READERS = [Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT, Purpose.DEPLOY]


def documents_of(config: dict[str, Any], purpose: Purpose) -> list[dict[str, Any]]:
    return policies(load_settings(config, (), root=directory(), stack=STACK), purpose, state=STATE)[0]


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
    # Needed only for a restore.
    read -= {"rds:DescribeDBSnapshots"}
    write = {action for one in ACTIONS.values() for grant in one.write for action in grant.actions}
    of_state = {"s3:ListBucket", "s3:GetObject", "kms:Decrypt"}
    settings = settings_of("Pod Identity")
    for purpose in (Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT):
        assert actions_of(policies(settings, purpose, state=STATE)[0]) == read | of_state
    deploy = actions_of(policies(settings, Purpose.DEPLOY, state=STATE)[0])
    assert deploy == read | write | of_state | {"s3:PutObject", "s3:DeleteObject", "kms:Encrypt"}
    assert actions_of(policies(settings, Purpose.CONSUMER, state=STATE)[0]) == of_state


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_whatever_the_program_names_is_the_stacks_to_the_policy(mode: str) -> None:
    """Names with a prefix are tested with the digits that the provider appends."""
    makes = {
        "aws:cloudwatch/metricAlarm:MetricAlarm": ("PutMetricAlarm", "arn:aws:cloudwatch:{0}:{1}:alarm:{2}"),
        "aws:iam/role:Role": ("CreateRole", "arn:aws:iam::{1}:role/{2}"),
        "aws:rds/eventSubscription:EventSubscription": ("CreateEventSubscription", "arn:aws:rds:{0}:{1}:es:{2}"),
        "aws:rds/parameterGroup:ParameterGroup": ("CreateDBParameterGroup", "arn:aws:rds:{0}:{1}:pg:{2}"),
        "aws:rds/subnetGroup:SubnetGroup": ("CreateDBSubnetGroup", "arn:aws:rds:{0}:{1}:subgrp:{2}"),
    }
    for item in recorded(mode).custom():
        if item.type in makes:
            operation, arn = makes[item.type]
            given = unsealed(item.inputs)
            name = given.get("name") or given["namePrefix"] + DIGITS
            action = f"{item.type.split(':')[1].split('/')[0]}:{operation}"
            assert allowed(Purpose.DEPLOY, action, arn.format(REGION, ACCOUNT, name), mode), item.name


def test_an_association_of_another_workload_is_left_alone() -> None:
    association = f"arn:aws:eks:{REGION}:{ACCOUNT}:podidentityassociation/prod/a-0123456789"

    def may(action: str, **tags: dict[str, str]) -> bool:
        context = {key: value for kind in tags.values() for key, value in kind.items()}
        return allowed(Purpose.DEPLOY, f"eks:{action}PodIdentityAssociation", association, "Pod Identity", **context)

    assert may("Delete", resource=marked("Resource"))
    assert may("Update", resource=marked("Resource"))
    assert not may("Delete")
    assert not may("Update", resource=marked("Resource", "organization/teleport-access-graph/prod"))
    tag = partial(allowed, Purpose.DEPLOY, "eks:TagResource", association, "Pod Identity")
    assert tag(**marked("Request"))
    _, unscoped = policies(settings_of("Pod Identity"), Purpose.DEPLOY)
    assert "eks:TagResource" in {one.right for one in unscoped}
    assert not tag(**marked("Request"), **marked("Resource", "organization/teleport-access-graph/prod"))


def test_the_source_of_a_restore_is_restored_from_and_no_more() -> None:
    config = {**configured("the least")}
    restore = {"mode": "pointInTime", "sourceIdentifier": "payroll"}
    config["database"] = {**config["database"], "restore": restore}
    documents = documents_of(config, Purpose.DEPLOY)
    source = f"{RDS}:db:payroll"
    write = {action for grant in ACTIONS["aws:rds/instance:Instance"].write for action in grant.actions}
    of_rds = {action for action in write if action.startswith("rds:")}
    assert {action for action in of_rds if is_allowed(documents, Question(action=action, resource=source))} == {
        "rds:RestoreDBInstanceToPointInTime"
    }


@pytest.mark.parametrize("purpose", [Purpose.PREVIEW, Purpose.DEPLOY])
def test_snapshots_are_listed_where_a_restore_begins_with_one(purpose: Purpose) -> None:
    question = Question(action="rds:DescribeDBSnapshots", resource=f"{RDS}:snapshot:payroll")
    config = {**configured("the least")}
    for restore, listed in (
        ({"mode": "snapshot", "snapshotIdentifier": "payroll"}, True),
        ({"mode": "pointInTime", "sourceIdentifier": "payroll"}, False),
    ):
        config["database"] = {**config["database"], "restore": restore}
        assert is_allowed(documents_of(config, purpose), question) is listed
    assert not is_allowed(documents_of(configured("the least"), purpose), question)


def test_reading_actions_read() -> None:
    for type_, one in ACTIONS.items():
        for grant in one.read:
            for action in grant.actions:
                assert action.split(":")[1].startswith(("Describe", "Get", "List")), (type_, action)


@pytest.mark.parametrize(
    ("action", "resource", "context"),
    [
        ("rds:DeleteDBInstance", f"{RDS}:db:{IDENTIFIER}", {}),
        ("rds:CreateDBSnapshot", f"{RDS}:snapshot:{IDENTIFIER}-final-0a1b2c3d", {}),
        ("rds:CreateDBInstanceReadReplica", f"{RDS}:db:{IDENTIFIER}-replica", {}),
        ("rds:CreateDBSubnetGroup", f"{RDS}:subgrp:{IDENTIFIER}-{DIGITS}", {}),
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
        ("rds:CreateDBSnapshot", f"{RDS}:snapshot:payroll-final-0a1b2c3d", {}),
        ("rds:ModifyDBInstance", f"arn:aws:rds:eu-west-1:{ACCOUNT}:db:{IDENTIFIER}", {}),
        ("rds:ModifyDBInstance", f"arn:aws:rds:{REGION}:999999999999:db:{IDENTIFIER}", {}),
        ("kms:ScheduleKeyDeletion", KEY, marked("Resource", "organization/teleport-access-graph/prod")),
        ("kms:ScheduleKeyDeletion", KEY, {}),
        ("kms:CreateKey", "*", {}),
        ("kms:TagResource", KEY, {}),
        ("kms:TagResource", KEY, marked("Request") | marked("Resource", "organization/teleport-access-graph/prod")),
        # Another stack's role, whose identifier begins with this stack's.
        ("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{IDENTIFIER}-eu-{DIGITS}", {}),
        ("iam:UpdateAssumeRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/{IDENTIFIER}-eu-{DIGITS}", {}),
        ("rds:ModifyDBParameterGroup", f"{RDS}:pg:{IDENTIFIER}-eu-postgres17-{DIGITS}", {}),
        ("rds:ModifyDBSubnetGroup", f"{RDS}:subgrp:{IDENTIFIER}-eu-{DIGITS}", {}),
        ("rds:DeleteEventSubscription", f"{RDS}:es:{IDENTIFIER}-eu-instance", {}),
        ("rds:CreateDBSnapshot", f"{RDS}:snapshot:{IDENTIFIER}-final-eu-final-0a1b2c3d", {}),
        ("cloudwatch:DeleteAlarms", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:{IDENTIFIER}-eu-cpu", {}),
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


@pytest.mark.parametrize("of_organization", ["acme", "organization"])
def test_a_stack_takes_another_name_with_the_rights_of_both(of_organization: str) -> None:
    """For a stack that is renamed, or moved to a backend with organizations: its `up` replaces the former tag with the
    new one, and then reads the resource under the new tag. docs/environments.md describes this."""
    settings = settings_of("the least")
    new = replace(settings, stack="renamed") if of_organization == "organization" else settings
    called = f"{of_organization}/teleport-access-graph/{new.stack}"
    former, later = (
        policies(one, Purpose.DEPLOY, organization=organization, state=STATE)[0]
        for one, organization in ((settings, "organization"), (new, of_organization))
    )
    group = f"{EC2}:security-group/sg-1"
    steps = [
        Question(action=action, resource=resource, context=context)
        for action, resource, context in (
            ("kms:TagResource", KEY, marked("Resource") | marked("Request", called)),
            ("kms:DescribeKey", KEY, marked("Resource", called)),
            ("ec2:CreateTags", group, marked("Resource") | marked("Request", called)),
            ("ec2:AuthorizeSecurityGroupIngress", group, marked("Resource", called)),
        )
    ]
    assert [is_allowed(former + later, step) for step in steps] == [True] * 4
    assert [is_allowed(former, step) for step in steps] == [True, False, True, False]
    assert [is_allowed(later, step) for step in steps] == [False, True, False, True]


@pytest.mark.parametrize(
    ("action", "resource", "key", "value"),
    [
        ("ec2:CreateTags", f"{EC2}:security-group/sg-1", "ec2:CreateAction", "CreateSecurityGroup"),
        ("ec2:CreateTags", f"{EC2}:security-group-rule/sgr-1", "ec2:CreateAction", "AuthorizeSecurityGroupIngress"),
        ("ec2:CreateSecurityGroup", f"{EC2}:security-group/*", f"aws:RequestTag/{TAG}", OURS),
        ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group/sg-1", f"aws:ResourceTag/{TAG}", OURS),
        ("ec2:AuthorizeSecurityGroupIngress", f"{EC2}:security-group-rule/*", f"aws:RequestTag/{TAG}", OURS),
        ("ec2:RevokeSecurityGroupIngress", f"{EC2}:security-group/sg-1", f"aws:ResourceTag/{TAG}", OURS),
        ("kms:UpdateAlias", KEY, f"aws:ResourceTag/{TAG}", OURS),
        ("kms:GenerateDataKey", KEY, "kms:ViaService", f"secretsmanager.{REGION}.amazonaws.com"),
        ("kms:CreateGrant", KEY, "kms:ViaService", f"rds.{REGION}.amazonaws.com"),
        ("iam:PassRole", ROLE, "iam:PassedToService", "monitoring.rds.amazonaws.com"),
        ("iam:AttachRolePolicy", ROLE, "iam:PolicyARN",
         "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"),
        ("iam:CreateServiceLinkedRole",
         f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS",
         "iam:AWSServiceName", "rds.amazonaws.com"),
    ],
)  # fmt: skip
def test_what_is_allowed_for_one_use_is_not_for_another(action: str, resource: str, key: str, value: str) -> None:
    """The resource matches by the stack's name, or only by its kind; the condition is all that keeps other uses out."""
    assert allowed(Purpose.DEPLOY, action, resource, **{key: value})
    assert not allowed(Purpose.DEPLOY, action, resource)
    assert not allowed(Purpose.DEPLOY, action, resource, **{key: f"{value}-of-another"})


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
    """`operations.unrecorded` lists all resources of a type and looks for a tag, not for a name."""
    assert allowed(Purpose.DEPLOY, action, resource)


def test_what_reaches_beyond_the_stack_is_told() -> None:
    documents, unscoped = policies(settings_of("the least"), Purpose.DEPLOY, state=STATE)
    told = {one.right for one in unscoped}
    everywhere: set[str] = set()
    for statement in statements(documents):
        if statement["Resource"] == "*" and "Condition" not in statement:
            everywhere |= set(statement["Action"])
    assert everywhere == {
        "ec2:DescribeAccountAttributes",
        "ec2:DescribeAvailabilityZones",
        "ec2:DescribeInternetGateways",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroupRules",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
        "iam:ListRoles",
        "kms:ListAliases",
        "kms:ListKeys",
        "logs:DescribeLogGroups",
    }
    assert told == everywhere | {
        "iam:CreateRole",
        "kms:CreateAlias",
        "kms:DescribeKey",
        "kms:EnableKeyRotation",
        "kms:GetKeyPolicy",
        "kms:GetKeyRotationStatus",
        "kms:ListResourceTags",
        "kms:PutKeyPolicy",
        "kms:TagResource",
        "iam:ListRoleTags",
        "rds:DescribeDBInstances",
        "rds:DescribeDBParameterGroups",
        "rds:DescribeDBSubnetGroups",
        "rds:ListTagsForResource",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "secretsmanager:CreateSecret",
        "secretsmanager:RotateSecret",
        "secretsmanager:TagResource",
    }
    assert all(one.why for one in unscoped)
    # In this configuration no pod takes a role through Pod Identity.
    assert not any(action.startswith("eks:") for action in actions_of(documents))


def test_a_boundary_ends_what_new_roles_can() -> None:
    config = {**configured("the least")}
    config["aws"] = {**config["aws"], "iam": {"permissionsBoundaryArn": BOUNDARY, "path": "/graph/"}}
    settings = load_settings(config, (), root=directory(), stack=STACK)
    documents, unscoped = policies(settings, Purpose.DEPLOY)
    role = f"arn:aws:iam::{ACCOUNT}:role/graph/{IDENTIFIER}-{DIGITS}"

    def may_create(**context: str) -> bool:
        return is_allowed(documents, Question(action="iam:CreateRole", resource=role, context=context))

    assert may_create(**{"iam:PermissionsBoundary": BOUNDARY})
    assert not may_create(**{"iam:PermissionsBoundary": f"{BOUNDARY}-wider"})
    assert not may_create()
    assert "iam:CreateRole" not in {one.right for one in unscoped}


def test_only_a_role_that_needs_no_boundary_may_leave_one() -> None:
    """The provider removes the boundary once the settings no longer name it. While they do, this right would be a way
    around the boundary."""
    assert allowed(Purpose.DEPLOY, "iam:DeleteRolePermissionsBoundary", ROLE)
    assert not allowed(Purpose.DEPLOY, "iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:role/anybodys")
    config = {**configured("the least")}
    config["aws"] = {**config["aws"], "iam": {"permissionsBoundaryArn": BOUNDARY}}
    documents = documents_of(config, Purpose.DEPLOY)
    assert "iam:PutRolePermissionsBoundary" in actions_of(documents)
    assert "iam:DeleteRolePermissionsBoundary" not in actions_of(documents)


@pytest.mark.parametrize(
    "action",
    ["kms:CreateAlias", "kms:DescribeKey", "kms:EnableKeyRotation", "kms:GetKeyPolicy", "kms:GetKeyRotationStatus",
     "kms:ListResourceTags", "kms:PutKeyPolicy"],
)  # fmt: skip
def test_a_key_is_made_whole_before_kms_counts_its_tag(action: str) -> None:
    assert allowed(Purpose.DEPLOY, action, KEY)
    assert allowed(Purpose.DEPLOY, action, KEY, **marked("Resource"))
    assert not allowed(Purpose.DEPLOY, action, KEY, **marked("Resource", "organization/teleport-access-graph/prod"))
    assert not allowed(Purpose.PREVIEW, action, KEY)


def test_a_key_of_the_stack_that_somebody_turned_off_is_turned_on_again() -> None:
    """The provider's default is an enabled key, so `up --refresh` enables it again."""
    assert allowed(Purpose.DEPLOY, "kms:EnableKey", KEY, **marked("Resource"))
    assert not allowed(Purpose.DEPLOY, "kms:EnableKey", KEY)
    assert not allowed(Purpose.PREVIEW, "kms:EnableKey", KEY, **marked("Resource"))


@pytest.mark.parametrize(
    ("lists", "allows"),
    [
        ([], []),
        (["pl-0123456789abcdef0"], ["pl-0123456789abcdef0"]),
        (
            ["pl-0123456789abcdef0", "pl-1123456789abcdef0"],
            ["pl-0123456789abcdef0", "pl-1123456789abcdef0", "pl-other"],
        ),
    ],
)
def test_a_rule_that_names_a_prefix_list_can_be_changed(lists: list[str], allows: list[str]) -> None:
    """For example its port: ModifySecurityGroupRules requires rights on the group, the rule and the prefix list."""
    config = {**configured("the least")}
    network = {**config["database"]["network"], "clientPrefixListIds": lists}
    config["database"] = {**config["database"], "network": network}
    documents = documents_of(config, Purpose.DEPLOY)
    found = [
        name
        for name in ("pl-0123456789abcdef0", "pl-1123456789abcdef0", "pl-other")
        if is_allowed(
            documents,
            Question(action="ec2:ModifySecurityGroupRules", resource=f"arn:aws:ec2:{REGION}:aws:prefix-list/{name}"),
        )
    ]
    assert found == allows


@pytest.mark.parametrize("mode", ["a key that exists", "a database that is taken over"])
@pytest.mark.parametrize("restored", [True, False])
def test_a_key_of_another_account_is_used_as_one_of_its_own(mode: str, restored: bool) -> None:
    foreign = f"arn:aws:kms:{REGION}:999999999999:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
    config = {**configured(mode)}
    config["database"] = {**config["database"], "kmsKeyArn": foreign}
    if restored:
        config["database"].pop("adopt", None)
        config["database"]["restore"] = {"mode": "snapshot", "snapshotIdentifier": "payroll"}
    documents = documents_of(config, Purpose.DEPLOY)
    for action, service in (("kms:CreateGrant", "rds"), ("kms:GenerateDataKey", "secretsmanager")):
        through = {"kms:ViaService": f"{service}.{REGION}.amazonaws.com"}
        assert is_allowed(documents, Question(action=action, resource=foreign, context=through))
        assert not is_allowed(
            documents, Question(action=action, resource=foreign.replace("9999", "8888", 1), context=through)
        )


@pytest.mark.parametrize(
    ("mode", "any_of_own"), [("a key that exists", False), ("a database that is taken over", True)]
)
def test_the_master_secret_of_what_is_taken_over_has_the_key_that_it_was_made_with(mode: str, any_of_own: bool) -> None:
    documents = documents_of(configured(mode), Purpose.DEPLOY)
    through = {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}
    another = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/99999999-5061-4b7c-8d9e-0f1a2b3c4d5e"
    other = Question(action="kms:GenerateDataKey", resource=another, context=through)
    assert is_allowed(documents, other) is any_of_own


@pytest.mark.parametrize("restored", [True, False])
def test_what_is_restored_keeps_the_key_of_its_data(restored: bool) -> None:
    """RDS makes a grant on the data's key, while the settings name the key of logs and notifications."""
    config = {**configured("a key that exists")}
    restore = {"mode": "snapshot", "snapshotIdentifier": "payroll"}
    config["database"] = {**config["database"], **({"restore": restore} if restored else {})}
    documents = documents_of(config, Purpose.DEPLOY)
    through = {"kms:ViaService": f"rds.{REGION}.amazonaws.com"}
    other = STATE_KEY
    assert is_allowed(documents, Question(action="kms:CreateGrant", resource=KEY, context=through))
    assert is_allowed(documents, Question(action="kms:CreateGrant", resource=other, context=through)) is restored
    assert not is_allowed(documents, Question(action="kms:CreateGrant", resource=other))


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        # This action has no resource type:
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
        ("logs:DescribeLogGroups", "*"),
        ("sns:GetSubscriptionAttributes", f"arn:aws:sns:{REGION}:{ACCOUNT}:{IDENTIFIER}-database"),
        ("sns:ListSubscriptionsByTopic", f"arn:aws:sns:{REGION}:{ACCOUNT}:{IDENTIFIER}-database"),
    ],
)
def test_what_the_provider_reads_is_asked_for_as_aws_does(action: str, resource: str) -> None:
    for purpose in READERS:
        assert allowed(purpose, action, resource)


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
                    "Condition": {"StringLikeIfExists": {"s3:prefix": ".pulumi/*"}},
                },
                {
                    "Effect": "Allow",
                    "Action": "s3:GetObject",
                    "Resource": [
                        "arn:aws:s3:::states/.pulumi/meta.yaml",
                        f"arn:aws:s3:::states/.pulumi/stacks/teleport-access-graph/{STACK}.json*",
                    ],
                },
                {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": STATE_KEY},
            ],
        }
    ]


@pytest.mark.parametrize("purpose", READERS)
def test_the_engine_may_ask_for_the_stacks_tags_and_be_told_that_there_are_none(purpose: Purpose) -> None:
    """The engine asks before each run (pulumi 3.250, backend/diy/state.go), and treats every answer other than "not
    found" as a failure. S3 answers "not found" only to a caller that may read the object and list the bucket."""
    tags = f"arn:aws:s3:::states/.pulumi/stacks/teleport-access-graph/{STACK}.pulumi-tags"
    assert allowed(purpose, "s3:GetObject", tags)
    assert allowed(purpose, "s3:PutObject", tags) is purpose.writes
    (listing,) = [
        one
        for one in statements(policies(settings_of("the least"), purpose, state=STATE)[0])
        if one["Action"] == "s3:ListBucket"
    ]
    # A request to read an object has no prefix.
    assert listing["Condition"] == {"StringLikeIfExists": {"s3:prefix": ".pulumi/*"}}


@pytest.mark.parametrize("purpose", READERS)
def test_whose_outputs_are_settings_may_be_read_and_no_other_stack(purpose: Purpose) -> None:
    config = configured("the least")
    network = {**config["database"]["network"], "vpcId": "stack:organization/network/prod#vpcId"}
    network |= {"subnetIds": ["stack:organization/network/prod#subnets"]}
    network |= {"clientSecurityGroupIds": ["stack:organization/nodes/prod#group"]}
    identity = {"mode": "irsa", "oidcProviderArn": "stack:organization/cluster/prod#core.oidc"}
    changed = {
        **config,
        "database": {**config["database"], "network": network},
        "aws": {**config["aws"], "workloadIdentity": identity},
    }
    documents = documents_of(changed, purpose)

    def may(action: str, state: str) -> bool:
        return is_allowed(documents, Question(action=action, resource=f"arn:aws:s3:::states/.pulumi/stacks/{state}"))

    assert may("s3:GetObject", "network/prod.json")
    assert may("s3:GetObject", "cluster/prod.json.gz")
    assert may("s3:GetObject", "nodes/prod.json")
    # The settings do not say which VPC it is.
    made_in = [one for one in statements(documents) if f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/*" == one["Resource"]]
    assert len(made_in) == purpose.writes
    assert not may("s3:GetObject", "cluster/dev.json")
    assert not may("s3:PutObject", "cluster/prod.json")


def test_a_stack_without_rds_needs_nothing_of_aws() -> None:
    for purpose in Purpose:
        assert policies(settings_of("a database that exists"), purpose) == ([], [])
