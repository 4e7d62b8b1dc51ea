"""`recover` closes a security group that AWS created open to the outside and that no plugin lived to close."""

from __future__ import annotations

from typing import Any

import boto3
import pytest

from components.security_group import TOKEN
from components.settings import AwsSettings
from operations.outward import closed_groups
from operations.stack import StackError

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("aws_account")]

REGION = "us-east-1"


@pytest.fixture
def settings() -> AwsSettings:
    return AwsSettings.model_validate({"region": REGION, "accountId": "123456789012"})


@pytest.fixture
def ec2() -> Any:
    return boto3.client("ec2", region_name=REGION)


@pytest.fixture
def opened(ec2: Any) -> str:
    """A group as a plugin leaves it when it is killed after its first call, with an inbound rule that must stay."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group: str = ec2.create_security_group(GroupName="graph", Description="of a database", VpcId=vpc)["GroupId"]
    permission = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": "10.0.0.0/24"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    return group


def state(*groups: str) -> dict[str, Any]:
    other = {"type": "aws:kms/key:Key", "id": "a key"}
    return {"resources": [other, *({"type": TOKEN, "id": group} for group in groups)]}


def directions(ec2: Any, group: str) -> list[bool]:
    filters = [{"Name": "group-id", "Values": [group]}]
    return [rule["IsEgress"] for rule in ec2.describe_security_group_rules(Filters=filters)["SecurityGroupRules"]]


@pytest.mark.slow
def test_a_group_that_lets_connections_out_is_closed(settings: AwsSettings, ec2: Any, opened: str) -> None:
    assert sorted(directions(ec2, opened)) == [False, True]
    (step,) = closed_groups(settings, state(opened))
    assert opened in step.problem
    assert step.act is not None
    assert step.act() == "closed"
    assert directions(ec2, opened) == [False]
    assert list(closed_groups(settings, state(opened))) == []


@pytest.mark.slow
def test_nothing_is_done_to_a_group_that_the_state_does_not_have(settings: AwsSettings, ec2: Any, opened: str) -> None:
    assert list(closed_groups(settings, state())) == []
    assert list(closed_groups(settings, {})) == []
    assert True in directions(ec2, opened)


@pytest.mark.slow
def test_a_group_that_is_gone_lets_nothing_out(settings: AwsSettings) -> None:
    assert list(closed_groups(settings, state("sg-00000000000000000"))) == []


@pytest.mark.slow
def test_without_aws_the_group_is_named(opened: str) -> None:
    (step,) = closed_groups(None, state(opened))
    assert opened in step.problem
    assert step.act is None


@pytest.mark.slow
def test_what_aws_refuses_is_one_error(settings: AwsSettings, ec2: Any, opened: str) -> None:
    (step,) = closed_groups(settings, state(opened))
    ec2.delete_security_group(GroupId=opened)
    assert step.act is not None
    with pytest.raises(StackError, match=f"the outbound rules of {opened} stay: .*take them away yourself"):
        step.act()
