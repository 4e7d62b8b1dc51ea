"""Whether the database's security group lets in whom the stack lets in, and nobody else.

No preview shows a rule that somebody added: the program declares its own rules, each by itself, and knows of no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.settings import AwsSettings, RdsDatabaseSettings, Settings
from components.settings.names import STACK_TAG
from operations.aws_session import NoSession, asking_aws, aws_client, db_instances
from operations.findings import Finding, failed, not_proven, passed


def check_callers(settings: Settings) -> list[Finding]:
    """Empty where no security group of the stack's is on the instance: its owner then says who may connect."""
    database = settings.database
    if settings.aws is None or not isinstance(database, RdsDatabaseSettings):
        return []
    check, statement = "aws.callers", "the database's security group has no rule but the stack's"
    try:
        with asking_aws():
            groups, rules = _rules(settings.aws, database.identifier)
    except NoSession as error:
        return [not_proven(check, statement, str(error))]
    if not groups:
        return []
    # The program tags each rule that it makes.
    foreign = [rule for rule in rules if all(tag["Key"] != STACK_TAG for tag in rule.get("Tags") or [])]
    if not foreign:
        return [passed(check, statement, f"{', '.join(groups)} (rules: {len(rules)})")]
    listed = ", ".join(f"{rule['SecurityGroupRuleId']} ({_of(rule)})" for rule in foreign)
    remedy = (
        "`aws ec2 revoke-security-group-ingress` (or `-egress`) with --group-id and --security-group-rule-ids removes "
        "it; if it is needed, name its source in database.network"
    )
    return [failed(check, statement, f"{', '.join(groups)} has {listed}, which no `up` made or removes; {remedy}")]


def _rules(cloud: AwsSettings, identifier: str) -> tuple[list[str], list[dict[str, Any]]]:
    """The stack's groups on the instance, and their rules; empty when there is no such instance."""
    ec2, instances = aws_client(cloud, "ec2"), db_instances(aws_client(cloud, "rds"), identifier)
    on_it = [one["VpcSecurityGroupId"] for instance in instances for one in instance.get("VpcSecurityGroups") or []]
    if not on_it:
        return [], []
    filters = [{"Name": "group-id", "Values": on_it}, {"Name": "tag-key", "Values": [STACK_TAG]}]
    groups = sorted(one["GroupId"] for one in ec2.describe_security_groups(Filters=filters)["SecurityGroups"])
    if not groups:
        return [], []
    pages = ec2.get_paginator("describe_security_group_rules").paginate(
        Filters=[{"Name": "group-id", "Values": groups}]
    )
    return groups, [rule for page in pages for rule in page["SecurityGroupRules"]]


def _of(rule: Mapping[str, Any]) -> str:
    other = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    place = rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId") or other or "anywhere"
    return f"{'to' if rule['IsEgress'] else 'from'} {place}"
