"""Whether AWS has what `database.network` names, as RDS needs it: RDS refuses only minutes into an `up`."""

from __future__ import annotations

from typing import Any

from components.settings import AwsSettings, RdsDatabaseSettings, Settings
from components.settings.stack_outputs import stack_output
from operations.aws_session import NoSession, asking_aws, aws_client, not_told
from operations.findings import Finding, failed, passed

ZONES = 2


def check_network(settings: Settings) -> list[Finding]:
    """Subnets and clients' security groups. Ids from another stack's outputs are unknown here, and skipped."""
    database = settings.database
    if settings.aws is None or not isinstance(database, RdsDatabaseSettings):
        return []
    network = database.network
    findings = []
    if network.subnet_ids and not any(map(stack_output, network.subnet_ids)):
        vpc = None if stack_output(network.vpc_id) else network.vpc_id
        findings.append(_subnets(settings.aws, network.subnet_ids, vpc))
    groups = tuple(one for one in network.client_security_group_ids if not stack_output(one))
    if groups:
        findings.append(_client_groups(settings.aws, groups))
    return findings


def _subnets(cloud: AwsSettings, wanted: tuple[str, ...], vpc: str | None) -> Finding:
    check, statement = "aws.subnets", f"the database's subnets are in {ZONES} zones or more of its VPC"
    try:
        found = _described(cloud, "describe_subnets", "Subnets", "subnet-id", wanted)
    except NoSession as error:
        return not_told(check, statement, error)
    if missing := sorted(set(wanted) - {one["SubnetId"] for one in found}):
        return failed(check, statement, _absent(missing, cloud, "database.network.subnetIds"))
    elsewhere = [f"{one['SubnetId']} of {one['VpcId']}" for one in found if vpc not in (None, one["VpcId"])]
    if elsewhere:
        reason = f"{', '.join(elsewhere)}, and database.network.vpcId is {vpc}; correct one of them"
        return failed(check, statement, reason)
    zones = sorted({one["AvailabilityZone"] for one in found})
    if len(zones) < ZONES:
        reason = f"all are in {zones[0]}, and RDS wants {ZONES} zones even without multiAz; add one in another zone"
        return failed(check, statement, reason)
    return passed(check, statement, ", ".join(zones))


def _client_groups(cloud: AwsSettings, wanted: tuple[str, ...]) -> Finding:
    check, statement = "aws.clients", "the security groups that may call the database are there"
    try:
        found = _described(cloud, "describe_security_groups", "SecurityGroups", "group-id", wanted)
    except NoSession as error:
        return not_told(check, statement, error)
    if missing := sorted(set(wanted) - {one["GroupId"] for one in found}):
        return failed(check, statement, _absent(missing, cloud, "database.network.clientSecurityGroupIds"))
    return passed(check, statement, ", ".join(sorted(f"{one['GroupId']} ({one['GroupName']})" for one in found)))


def _described(cloud: AwsSettings, call: str, key: str, name: str, values: tuple[str, ...]) -> list[dict[str, Any]]:
    """By a filter: an id that does not exist is then left out, and no error."""
    with asking_aws():
        pages = aws_client(cloud, "ec2").get_paginator(call).paginate(Filters=[{"Name": name, "Values": list(values)}])
        return [one for page in pages for one in page[key]]


def _absent(ids: list[str], cloud: AwsSettings, setting: str) -> str:
    return f"{', '.join(ids)}: not in {cloud.region} of account {cloud.account_id}; correct {setting}"
