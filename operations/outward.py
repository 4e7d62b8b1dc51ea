"""Part of `recover`: AWS creates every security group open outwards, and the plugin closes it in a second call.

A plugin that is killed between the two leaves the group open. No preview shows that, because the program declares no
rules that should not exist.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from components.security_group import TOKEN
from components.settings import AwsSettings
from operations.aws_session import NoSession, asking_aws, aws_client
from operations.mending import Step
from operations.stack import StackError


def closed_groups(settings: AwsSettings | None, state: Mapping[str, Any]) -> Iterator[Step]:
    """A step for each of the state's security groups that lets connections out."""
    groups = [str(one["id"]) for one in state.get("resources") or [] if one.get("type") == TOKEN and one.get("id")]
    for group in groups:
        try:
            rules = _outward(settings, group)
        except NoSession as error:
            yield Step(
                f"AWS cannot be asked whether the security group {group} lets connections out ({error})",
                "look there yourself: it should have no outbound rule",
            )
            continue
        if rules and settings is not None:
            yield Step(
                f"the security group {group} lets connections out, as AWS makes every new one",
                "take its outbound rules away",
                functools.partial(_close, settings, group, rules),
            )


def _outward(settings: AwsSettings | None, group: str) -> list[str]:
    """Ids of the group's outbound rules; empty when the group is gone. Raises `NoSession`."""
    if settings is None:
        raise NoSession("this configuration has no AWS any more")
    filters = [{"Name": "group-id", "Values": [group]}]
    with asking_aws():
        pages = aws_client(settings, "ec2").get_paginator("describe_security_group_rules").paginate(Filters=filters)
        rules = [rule for page in pages for rule in page["SecurityGroupRules"]]
    return [str(rule["SecurityGroupRuleId"]) for rule in rules if rule["IsEgress"]]


def _close(settings: AwsSettings, group: str, rules: list[str]) -> str:
    try:
        with asking_aws():
            aws_client(settings, "ec2").revoke_security_group_egress(GroupId=group, SecurityGroupRuleIds=rules)
    except NoSession as error:
        raise StackError(f"the outbound rules of {group} stay: {error}; take them away yourself") from None
    return "closed"
