"""Verify: a rule of the database's security group that the stack did not make is told, because no preview shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.settings import load_settings
from components.settings.names import STACK_TAG
from operations.checks import callers
from operations.checks.callers import check_callers
from operations.findings import Finding, Outcome
from tests.samples import REGION, minimal_configuration
from tests.unit.operations.databases import put_instance

pytestmark = [pytest.mark.unit, pytest.mark.slow]

NAME = "graph"
TAGS = [{"Key": STACK_TAG, "Value": "acme/teleport-access-graph/dev"}]
MARKED = [{"ResourceType": "security-group-rule", "Tags": TAGS}]


def found() -> list[Finding]:
    config = minimal_configuration()
    config["database"]["identifier"] = NAME
    return check_callers(load_settings(config, (), root=Path.cwd(), stack="dev"))


def put_group(ec2: Any, *, tagged: bool) -> str:
    """A group as `up` leaves it, on an instance of the configured name: closed outwards, with one rule of its own."""
    marks = [{"ResourceType": "security-group", "Tags": TAGS}] if tagged else []
    group = str(ec2.create_security_group(GroupName=NAME, Description="x", TagSpecifications=marks)["GroupId"])
    (outward,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[outward])
    allow(ec2, group, "10.0.0.0/16", TagSpecifications=MARKED)
    put_instance(NAME, REGION, VpcSecurityGroupIds=[group])
    return group


def allow(ec2: Any, group: str, block: str, **more: Any) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "IpRanges": [{"CidrIp": block}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule], **more)


def test_a_rule_that_somebody_added_is_told_with_whom_it_lets_in(aws_account: None) -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    group = put_group(ec2, tagged=True)
    (finding,) = found()
    assert (finding.outcome, finding.reason) == (Outcome.PASS, f"{group} (rules: 1)")
    allow(ec2, group, "0.0.0.0/0")
    ec2.authorize_security_group_egress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}]
    )
    (finding,) = found()
    assert (finding.check, finding.outcome) == ("aws.callers", Outcome.FAIL)
    assert "(from 0.0.0.0/0)" in finding.reason
    assert "(to 192.0.2.0/24)" in finding.reason
    assert "10.0.0.0/16" not in finding.reason


def test_the_rules_of_a_group_that_is_not_the_stacks_are_its_owners(aws_account: None) -> None:
    assert found() == [], "there is no instance"
    put_group(boto3.client("ec2", region_name=REGION), tagged=False)
    assert found() == []


def test_what_these_credentials_may_not_ask_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def describe_db_instances(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeDBInstances")

    monkeypatch.setattr(callers, "aws_client", lambda *_: Closed())
    (finding,) = found()
    assert finding.outcome is Outcome.NOT_PROVEN
