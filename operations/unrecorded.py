"""Finds objects in AWS that the engine was making when it was killed, by what it had asked for: name, prefix, tags,
owner. Also finds objects that carry the stack's tag but are not in its state.

Reads only; `recover` decides what to do with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from components.settings import AwsSettings
from operations.aws_session import Denied, NoSession, asking_aws, aws_client

Inputs = Mapping[str, Any]
Client = Callable[[str], Any]

INSTANCE = "aws:rds/instance:Instance"
KEY = "aws:kms/key:Key"
_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
# AWS's calls that create these are idempotent: the next `up` finds the object.
REPEATABLE = frozenset(
    {
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:sns/topic:Topic",
        "aws:sns/topicPolicy:TopicPolicy",
        "aws:sns/topicSubscription:TopicSubscription",
    }
)
# The import id in terms of a type's inputs, where AWS takes the names that we give.
_IDENTITY = {
    INSTANCE: "{identifier}",
    "aws:rds/subnetGroup:SubnetGroup": "{name}",
    "aws:rds/parameterGroup:ParameterGroup": "{name}",
    "aws:rds/eventSubscription:EventSubscription": "{name}",
    "aws:cloudwatch/logGroup:LogGroup": "{name}",
    "aws:iam/role:Role": "{name}",
    "aws:iam/rolePolicy:RolePolicy": "{role}:{name}",
    "aws:kms/alias:Alias": "{name}",
}
# What the provider appends to a name prefix: https://github.com/hashicorp/terraform-plugin-sdk, helper/id.
_UNIQUE = r"[0-9a-f]{26}"


def candidates(settings: AwsSettings | None, kind: str, inputs: Inputs) -> list[str]:
    """Ids, as `pulumi import` takes them, of objects that may be the one. An id that comes from a given name may not
    exist.

    Raises `NoSession` when AWS cannot be asked, `LookupError` for a type that has no search.
    """
    identity = _IDENTITY.get(kind, "")
    if identity and all(inputs.get(key) for key in re.findall(r"\{(\w+)\}", identity)):
        return [identity.format_map(inputs)]
    if kind not in _SEARCHES:
        raise LookupError(kind)
    return _ask(settings, kind, inputs)


class Carrying(list[tuple[str, str]]):
    """Type and id of each object found; `unasked` names what these credentials may not read."""

    def __init__(self) -> None:
        super().__init__()
        self.unasked: list[str] = []


def carrying(settings: AwsSettings, tags: Mapping[str, str]) -> Carrying:
    """Every object that has these tags, whatever its name. A missing right hides only its type, or its object.

    Raises `NoSession` when AWS cannot be asked, or when nothing was found and some of it could not be read.
    """
    found = Carrying()
    for kind in (*_SEARCHES, INSTANCE):
        if kind == _RULE:  # a rule is deleted with its group
            continue
        closed: list[_Closed] = []
        try:
            for one in _search(settings, kind, {"tags": dict(tags)}):
                if isinstance(one, _Closed):
                    closed.append(one)
                else:
                    found.append((kind, one))
        except Denied as error:
            found.unasked.append(f"{kind} ({error})")
        if closed:
            found.unasked.append(f"{kind} {', '.join(one.identity for one in closed)} ({closed[0].error})")
    if found.unasked and not found:
        raise Denied("; ".join(found.unasked))
    return found


@dataclass(frozen=True)
class _Closed:
    """An object whose tags these credentials may not read."""

    identity: str
    error: Denied


def _ask(settings: AwsSettings | None, kind: str, inputs: Inputs) -> list[str]:
    found: list[str] = []
    for one in _search(settings, kind, inputs):
        if isinstance(one, _Closed):
            raise one.error
        found.append(one)
    return found


def _search(settings: AwsSettings | None, kind: str, inputs: Inputs) -> list[str | _Closed]:
    if settings is None:
        raise NoSession("this configuration has no AWS any more")
    search = _instances if kind == INSTANCE else _SEARCHES[kind]
    with asking_aws():
        found = search(lambda service: aws_client(settings, service), inputs)
        return sorted(found, key=lambda one: one.identity if isinstance(one, _Closed) else one)


def _tagged(identity: str, inputs: Inputs, tags: Callable[[], list[dict[str, str]]]) -> Iterator[str | _Closed]:
    """The object, if it has the tags of `inputs`; a `_Closed` when its tags cannot be read."""
    try:
        with asking_aws():
            found = tags()
    except Denied as error:
        yield _Closed(identity, error)
        return
    if _has_tags(inputs, found):
        yield identity


def _instances(client: Client, inputs: Inputs) -> Iterator[str]:
    for page in client("rds").get_paginator("describe_db_instances").paginate():
        for instance in page["DBInstances"]:
            if _has_tags(inputs, instance.get("TagList") or []):
                yield str(instance["DBInstanceIdentifier"])


def _keys(client: Client, inputs: Inputs) -> Iterator[str]:
    kms = client("kms")
    for page in kms.get_paginator("list_keys").paginate():
        for key in page["Keys"]:
            try:
                metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
                if metadata["KeyManager"] != "CUSTOMER":
                    continue
                if not _is_described(inputs, metadata):
                    continue
                tags = kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]
            except kms.exceptions.ClientError:
                continue  # its policy denies us, so these credentials did not make it
            if metadata["KeyState"] != "PendingDeletion" and _has_tags(inputs, tags, "TagKey", "TagValue"):
                yield str(key["KeyId"])


def _security_groups(client: Client, inputs: Inputs) -> Iterator[str]:
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in _tags(inputs).items()]
    for group in client("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]:
        if inputs.get("vpcId") in (None, group.get("VpcId")) and _is_named(inputs, group["GroupName"]):
            yield str(group["GroupId"])


def _ingress_rules(client: Client, inputs: Inputs) -> Iterator[str]:
    filters = [{"Name": "group-id", "Values": [inputs["securityGroupId"]]}]
    wanted = [
        inputs.get(key)
        for key in ("fromPort", "toPort", "referencedSecurityGroupId", "prefixListId", "cidrIpv4", "cidrIpv6")
    ]
    for rule in client("ec2").describe_security_group_rules(Filters=filters)["SecurityGroupRules"]:
        referenced = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
        is_from = [rule.get("FromPort"), rule.get("ToPort"), referenced]
        is_from += [rule.get(key) for key in ("PrefixListId", "CidrIpv4", "CidrIpv6")]
        if not rule["IsEgress"] and is_from == wanted:
            yield str(rule["SecurityGroupRuleId"])


def _subnet_groups(client: Client, inputs: Inputs) -> Iterator[str | _Closed]:
    rds = client("rds")
    for page in rds.get_paginator("describe_db_subnet_groups").paginate():
        for group in page["DBSubnetGroups"]:
            if _is_named(inputs, group["DBSubnetGroupName"]):
                yield from _tagged(
                    group["DBSubnetGroupName"], inputs, partial(_rds_tags, rds, group["DBSubnetGroupArn"])
                )


def _parameter_groups(client: Client, inputs: Inputs) -> Iterator[str | _Closed]:
    rds = client("rds")
    for page in rds.get_paginator("describe_db_parameter_groups").paginate():
        for group in page["DBParameterGroups"]:
            name, arn = group["DBParameterGroupName"], group["DBParameterGroupArn"]
            if _is_named(inputs, name):
                yield from _tagged(name, inputs, partial(_rds_tags, rds, arn))


def _roles(client: Client, inputs: Inputs) -> Iterator[str | _Closed]:
    iam = client("iam")
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            name = role["RoleName"]
            # The stack's roles share a prefix and tags; only the description tells what each is for.
            if _is_named(inputs, name) and _is_described(inputs, role):
                yield from _tagged(name, inputs, partial(_role_tags, iam, name))


_SEARCHES: Mapping[str, Callable[[Client, Inputs], Iterator[str] | Iterator[str | _Closed]]] = {
    "aws:ec2/securityGroup:SecurityGroup": _security_groups,
    "aws:iam/role:Role": _roles,
    KEY: _keys,
    "aws:rds/parameterGroup:ParameterGroup": _parameter_groups,
    "aws:rds/subnetGroup:SubnetGroup": _subnet_groups,
    _RULE: _ingress_rules,
}


def _tags(inputs: Inputs) -> dict[str, str]:
    """The tags to search for. Every object of the stack has a tag of its own; without any, anybody's would match."""
    tags: dict[str, str] = dict(inputs.get("tags") or {})
    if not tags:
        raise NoSession("the object has no tags by which it could be told from others")
    return tags


def _has_tags(inputs: Inputs, tags: list[dict[str, str]], key: str = "Key", value: str = "Value") -> bool:
    return _tags(inputs).items() <= {tag[key]: tag[value] for tag in tags}.items()


def _rds_tags(rds: Any, arn: str) -> list[dict[str, str]]:
    return list(rds.list_tags_for_resource(ResourceName=arn)["TagList"])


def _role_tags(iam: Any, name: str) -> list[dict[str, str]]:
    return list(iam.list_role_tags(RoleName=name)["Tags"])


def _is_described(inputs: Inputs, found: Mapping[str, Any]) -> bool:
    wanted = inputs.get("description")
    return wanted is None or found.get("Description") == wanted


def _is_named(inputs: Inputs, name: str) -> bool:
    prefix = inputs.get("namePrefix")
    return prefix is None or re.fullmatch(re.escape(str(prefix)) + _UNIQUE, name) is not None
