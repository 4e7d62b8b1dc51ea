"""`recover` finds what the engine was creating in AWS by the inputs of the pending operation, and finds nothing of
anybody else's."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.settings import AwsSettings
from operations.aws_session import Denied, NoSession
from operations.unrecorded import candidates, carrying

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("aws_account")]

REGION = "us-east-1"
OURS = {"teleport-access-graph:stack": "organization/teleport-access-graph/test", "team": "identity"}
THEIRS = {"teleport-access-graph:stack": "organization/teleport-access-graph/other", "team": "identity"}
# The provider appends 26 digits to a name prefix.
UNIQUE = "20260601120000000000000001"


@pytest.fixture
def settings() -> AwsSettings:
    return AwsSettings.model_validate({"region": REGION, "accountId": "123456789012"})


def denying(monkeypatch: pytest.MonkeyPatch, *denied: str) -> None:
    """Make AWS deny these operations, or an operation on one object (`Operation name`), as for a caller without the
    right."""
    from botocore.client import BaseClient

    call = BaseClient._make_api_call

    def asked(self: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        name = str(arguments.get("RoleName") or arguments.get("ResourceName") or "").rpartition(":")[2]
        if operation in denied or f"{operation} {name}" in denied:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not authorized"}}, operation)
        return call(self, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", asked)


def tag_list(tags: dict[str, str], key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in tags.items()]


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def test_what_has_the_name_that_was_asked_for_needs_no_search(settings: AwsSettings) -> None:
    asked = {
        "aws:rds/instance:Instance": ({"identifier": "graph"}, "graph"),
        "aws:cloudwatch/logGroup:LogGroup": (
            {"name": "/aws/rds/instance/graph/upgrade"},
            "/aws/rds/instance/graph/upgrade",
        ),
        "aws:iam/rolePolicy:RolePolicy": ({"role": "reader", "name": "policy-0a1b2c3"}, "reader:policy-0a1b2c3"),
        "aws:kms/alias:Alias": ({"name": "alias/graph"}, "alias/graph"),
    }
    for kind, (inputs, identity) in asked.items():
        assert candidates(None, kind, inputs) == [identity]


@pytest.mark.slow
def test_a_key_is_found_by_its_description_and_tags(settings: AwsSettings) -> None:
    kms = client("kms")

    def key(description: str, tags: dict[str, str]) -> str:
        made = kms.create_key(Description=description, Tags=tag_list(tags, "TagKey", "TagValue"))
        return str(made["KeyMetadata"]["KeyId"])

    wanted = key("Database graph", {**OURS, "aws:cloudformation": "no"})
    key("Database graph", THEIRS)
    key("Database other", OURS)
    kms.schedule_key_deletion(KeyId=key("Database graph", OURS), PendingWindowInDays=7)
    inputs = {"description": "Database graph", "tags": OURS}
    assert candidates(settings, "aws:kms/key:Key", inputs) == [wanted]


@pytest.mark.slow
def test_a_security_group_and_its_rule_are_found(settings: AwsSettings) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]

    def group(name: str, tags: dict[str, str]) -> str:
        made = ec2.create_security_group(
            GroupName=name,
            Description="clients",
            VpcId=vpc,
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tag_list(tags)}],
        )
        return str(made["GroupId"])

    wanted = group(f"graph-{UNIQUE}", OURS)
    group(f"graph-{UNIQUE[:-1]}2", THEIRS)
    group(f"graph-2-{UNIQUE}", OURS)
    inputs = {"namePrefix": "graph-", "vpcId": vpc, "tags": OURS}
    assert candidates(settings, "aws:ec2/securityGroup:SecurityGroup", inputs) == [wanted]
    assert candidates(settings, "aws:ec2/securityGroup:SecurityGroup", {**inputs, "vpcId": "vpc-other"}) == []

    peer = group("clients", OURS)
    permissions = [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [{"GroupId": peer}]}
        for port in (5432, 6432)
    ]
    made = ec2.authorize_security_group_ingress(GroupId=wanted, IpPermissions=permissions)["SecurityGroupRules"]
    (rule,) = [one["SecurityGroupRuleId"] for one in made if one["FromPort"] == 6432]
    inputs = {"securityGroupId": wanted, "fromPort": 6432, "toPort": 6432, "referencedSecurityGroupId": peer}
    assert candidates(settings, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", inputs) == [rule]


@pytest.mark.slow
def test_the_databases_groups_are_found_by_prefix_and_tags(settings: AwsSettings) -> None:
    ec2, rds = client("ec2"), client("rds")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    names = ((f"graph-{UNIQUE}", OURS), (f"graph-{UNIQUE[:-1]}2", THEIRS), ("graph-by-hand", OURS))
    for name, tags in names:
        rds.create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=[subnet], Tags=tag_list(tags)
        )
        rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="x", Tags=tag_list(tags)
        )
    inputs = {"namePrefix": "graph-", "tags": OURS}
    assert candidates(settings, "aws:rds/subnetGroup:SubnetGroup", inputs) == [f"graph-{UNIQUE}"]
    assert candidates(settings, "aws:rds/parameterGroup:ParameterGroup", inputs) == [f"graph-{UNIQUE}"]


@pytest.mark.slow
def test_a_role_is_found_by_prefix_and_tags(settings: AwsSettings) -> None:
    iam = client("iam")
    for name, tags in ((f"graph-{UNIQUE}", OURS), (f"graph-{UNIQUE[:-1]}2", THEIRS), ("graph-by-hand", OURS)):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Tags=tag_list(tags))
    found = candidates(settings, "aws:iam/role:Role", {"namePrefix": "graph-", "tags": OURS})
    assert found == [f"graph-{UNIQUE}"]


@pytest.mark.slow
def test_of_two_roles_of_one_stack_each_is_found_by_what_it_is_for(settings: AwsSettings) -> None:
    """Both roles have the database's prefix and the stack's tags, and a killed `up` may have begun both."""
    iam = client("iam")
    purposes = ("Lets RDS write metrics", "Lets the access Job read the password")
    names = [f"graph-{UNIQUE[:-1]}{number}" for number in (2, 1)]
    for name, purpose in zip(names, purposes, strict=True):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Description=purpose, Tags=tag_list(OURS))
    for name, purpose in zip(names, purposes, strict=True):
        inputs = {"namePrefix": "graph-", "description": purpose, "tags": OURS}
        assert candidates(settings, "aws:iam/role:Role", inputs) == [name]


@pytest.mark.slow
def test_without_a_tag_nothing_is_taken_for_ours(settings: AwsSettings) -> None:
    client("kms").create_key(Description="Database graph")
    with pytest.raises(NoSession, match="no tags"):
        candidates(settings, "aws:kms/key:Key", {"description": "Database graph"})


def test_what_cannot_be_asked_or_is_not_looked_for_is_said(settings: AwsSettings) -> None:
    with pytest.raises(NoSession, match="no AWS any more"):
        candidates(None, "aws:kms/key:Key", {"tags": OURS})
    with pytest.raises(LookupError):
        candidates(settings, "aws:eks/podIdentityAssociation:PodIdentityAssociation", {})


@pytest.mark.slow
def test_everything_that_carries_the_stacks_tag_is_found_whatever_its_name(settings: AwsSettings) -> None:
    ec2, rds, iam, kms = client("ec2"), client("rds"), client("iam"), client("kms")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group: dict[str, str] = {}
    key: dict[str, str] = {}
    for name, tags in (("ours", OURS), ("theirs", THEIRS)):
        rds.create_db_subnet_group(
            DBSubnetGroupName=name, DBSubnetGroupDescription="x", SubnetIds=[subnet], Tags=tag_list(tags)
        )
        rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="x", Tags=tag_list(tags)
        )
        rds.create_db_instance(
            DBInstanceIdentifier=name, DBInstanceClass="db.t4g.small", Engine="postgres", Tags=tag_list(tags)
        )
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}", Tags=tag_list(tags))
        tagging = [{"ResourceType": "security-group", "Tags": tag_list(tags)}]
        made = ec2.create_security_group(GroupName=name, Description="x", VpcId=vpc, TagSpecifications=tagging)
        group[name] = made["GroupId"]
        key[name] = kms.create_key(Tags=tag_list(tags, "TagKey", "TagValue"))["KeyMetadata"]["KeyId"]
    tag = {"teleport-access-graph:stack": OURS["teleport-access-graph:stack"]}
    assert sorted(carrying(settings, tag)) == [
        ("aws:ec2/securityGroup:SecurityGroup", group["ours"]),
        ("aws:iam/role:Role", "ours"),
        ("aws:kms/key:Key", key["ours"]),
        ("aws:rds/instance:Instance", "ours"),
        ("aws:rds/parameterGroup:ParameterGroup", "ours"),
        ("aws:rds/subnetGroup:SubnetGroup", "ours"),
    ]


def make_two_kinds() -> None:
    for name in ("a", "b"):
        client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}", Tags=tag_list(OURS))
        client("rds").create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="x", Tags=tag_list(OURS)
        )


@pytest.mark.slow
def test_what_may_not_be_asked_hides_nothing_else_and_is_named(
    settings: AwsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_two_kinds()
    denying(monkeypatch, "ListKeys", "ListRoleTags a", "ListTagsForResource b")
    found = carrying(settings, OURS)
    assert found == [("aws:iam/role:Role", "b"), ("aws:rds/parameterGroup:ParameterGroup", "a")]
    assert [one.partition(" (An error occurred (AccessDenied) ")[0] for one in found.unasked] == [
        "aws:iam/role:Role a",
        "aws:kms/key:Key",
        "aws:rds/parameterGroup:ParameterGroup b",
    ]


@pytest.mark.slow
def test_when_nothing_is_found_what_may_not_be_asked_is_an_error(
    settings: AwsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    denying(monkeypatch, "ListKeys")
    with pytest.raises(Denied, match=r"^aws:kms/key:Key \(An error occurred"):
        carrying(settings, OURS)


@pytest.mark.slow
def test_a_name_that_fits_and_may_not_be_looked_at_is_an_error(
    settings: AwsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client("iam").create_role(RoleName=f"graph-{UNIQUE}", AssumeRolePolicyDocument="{}", Tags=tag_list(OURS))
    denying(monkeypatch, f"ListRoleTags graph-{UNIQUE}")
    with pytest.raises(Denied, match="AccessDenied"):
        candidates(settings, "aws:iam/role:Role", {"namePrefix": "graph-", "tags": OURS})
