"""Preflight asks AWS about what `database.network` names: subnets of the VPC in two zones, and security groups that
exist."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.settings import load_settings
from operations.checks import network as network_checks
from operations.checks.network import check_network
from operations.findings import Finding, Outcome
from tests.samples import minimal_configuration

pytestmark = [pytest.mark.unit, pytest.mark.slow]


@dataclass
class World:
    """A VPC with two subnets in each of two zones, and another VPC with one subnet."""

    vpc: str
    first: list[str]
    second: list[str]
    elsewhere: str
    group: str


@pytest.fixture
def world(aws_account: None) -> World:
    ec2 = boto3.client("ec2", region_name="us-east-1")

    def vpc(block: str) -> str:
        return str(ec2.create_vpc(CidrBlock=f"{block}.0.0/16")["Vpc"]["VpcId"])

    def subnet(of: str, block: str, zone: str) -> str:
        made = ec2.create_subnet(VpcId=of, CidrBlock=f"{block}.0/24", AvailabilityZone=f"us-east-1{zone}")
        return str(made["Subnet"]["SubnetId"])

    own, other = vpc("10.1"), vpc("10.2")
    group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=own)["GroupId"]
    first = [subnet(own, f"10.1.{number}", "a") for number in (1, 2)]
    second = [subnet(own, f"10.1.{number}", "b") for number in (3, 4)]
    return World(own, first, second, subnet(other, "10.2.1", "b"), group)


def findings(world: World, **network: Any) -> dict[str, Finding]:
    given = {
        "vpcId": world.vpc,
        "subnetIds": [world.first[0], world.second[0]],
        "clientSecurityGroupIds": [world.group],
        **network,
    }
    config = minimal_configuration()
    config["database"]["network"] = {key: value for key, value in given.items() if value is not None}
    config["aws"]["region"] = "us-east-1"
    return {
        finding.check: finding for finding in check_network(load_settings(config, (), root=Path.cwd(), stack="dev"))
    }


def test_what_is_there_is_told_by_zones_and_names(world: World) -> None:
    found = findings(world)
    assert {check: finding.outcome for check, finding in found.items()} == {
        "aws.subnets": Outcome.PASS,
        "aws.clients": Outcome.PASS,
    }
    assert found["aws.subnets"].reason == "us-east-1a, us-east-1b"
    assert found["aws.clients"].reason == f"{world.group} (nodes)"


def test_subnets_of_one_zone_are_too_few(world: World) -> None:
    found = findings(world, subnetIds=world.first)["aws.subnets"]
    assert found.outcome is Outcome.FAIL
    assert "all are in us-east-1a, and RDS wants 2 zones" in found.reason


def test_a_subnet_of_another_vpc_is_named_with_it(world: World) -> None:
    found = findings(world, subnetIds=[world.first[0], world.elsewhere])["aws.subnets"]
    assert found.outcome is Outcome.FAIL
    assert f"{world.elsewhere} of vpc-" in found.reason
    assert f"database.network.vpcId is {world.vpc}" in found.reason


def test_what_is_not_there_is_named(world: World) -> None:
    absent, group = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"
    found = findings(world, subnetIds=[*world.first, absent], clientSecurityGroupIds=[world.group, group])
    assert found["aws.subnets"].reason.startswith(f"{absent}: not in us-east-1 of account")
    assert found["aws.clients"].reason.startswith(f"{group}: not in us-east-1 of account")
    assert {finding.outcome for finding in found.values()} == {Outcome.FAIL}


def test_another_stacks_outputs_are_not_known_here(world: World) -> None:
    reference = "stack:organization/network/prod#"
    assert findings(world, subnetIds=[f"{reference}subnets"], clientSecurityGroupIds=[f"{reference}nodes"]) == {}
    found = findings(world, vpcId=f"{reference}vpc", clientSecurityGroupIds=[f"{reference}nodes", world.group])
    assert {check: finding.outcome for check, finding in found.items()} == {
        "aws.subnets": Outcome.PASS,
        "aws.clients": Outcome.PASS,
    }


def test_a_group_of_subnets_that_exists_is_its_owners(world: World) -> None:
    assert set(findings(world, subnetIds=None, subnetGroupName="databases")) == {"aws.clients"}


@pytest.mark.parametrize(
    ("code", "outcome", "said"),
    [
        ("UnauthorizedOperation", Outcome.NOT_PROVEN, "these credentials may not ask"),
        ("RequestLimitExceeded", Outcome.FAIL, "AWS does not say"),
    ],
)
def test_what_may_not_be_asked_is_not_proven(
    world: World, monkeypatch: pytest.MonkeyPatch, code: str, outcome: Outcome, said: str
) -> None:
    class Refusing:
        def get_paginator(self, name: str) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, name)

    monkeypatch.setattr(network_checks, "aws_client", lambda cloud, service: Refusing())
    found = findings(world)
    assert {finding.outcome for finding in found.values()} == {outcome}
    assert all(said in finding.reason for finding in found.values())
