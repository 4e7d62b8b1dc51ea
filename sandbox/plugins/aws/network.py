"""EC2's part of the network: security groups and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of, tag_list, tag_map
from sandbox.plugins.values import Properties

GROUP_GONE = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound")
# The sandbox's API answers with the last code where AWS answers with the first, when a rule is looked up by its id.
RULE_GONE = ("InvalidSecurityGroupRuleId.NotFound", *GROUP_GONE, "InvalidPermission.NotFound")


def specification(kind: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list(tags)}] if tags else []


def change_tags(client: Any, id_: str, change: Change) -> None:
    if change.removed_tags:
        client.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in change.removed_tags])
    if change.set_tags:
        client.create_tags(Resources=[id_], Tags=tag_list(change.set_tags))


class SecurityGroup(Kind):
    what = "Security Group"
    kept = ("revokeRulesOnDelete", "namePrefix")

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        parameters: dict[str, Any] = {"GroupName": name_of(inputs), "Description": inputs["description"]}
        if inputs.get("vpcId"):
            parameters["VpcId"] = inputs["vpcId"]
        answer = connection.client("ec2").create_security_group(
            **parameters, TagSpecifications=specification("security-group", tags)
        )
        return str(answer["GroupId"])

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        # AWS allows all outbound traffic of a new group; the official plugin revokes that.
        client = connection.client("ec2")
        group = client.describe_security_groups(GroupIds=[id_])["SecurityGroups"][0]
        if group["IpPermissionsEgress"]:
            client.revoke_security_group_egress(GroupId=id_, IpPermissions=group["IpPermissionsEgress"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("ec2")
        answer = missing(lambda: client.describe_security_groups(GroupIds=[id_]), *GROUP_GONE)
        if answer is None or not answer["SecurityGroups"]:
            return None
        group = answer["SecurityGroups"][0]
        return id_, {
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group.get("VpcId", ""),
            "ownerId": group["OwnerId"],
            "arn": group.get("SecurityGroupArn")
            or f"arn:{connection.partition}:ec2:{connection.region}:{group['OwnerId']}:security-group/{id_}",
            "ingress": [_block(permission) for permission in group["IpPermissions"]],
            "egress": [_block(permission) for permission in group["IpPermissionsEgress"]],
            "tagsAll": tag_map(group.get("Tags")),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        change_tags(connection.client("ec2"), id_, change)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("ec2")
        missing(lambda: client.delete_security_group(GroupId=id_), *GROUP_GONE)


def _block(permission: Mapping[str, Any]) -> Properties:
    """A rule in the form of the group's own `ingress` and `egress`."""
    return {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
        "cidrBlocks": [item["CidrIp"] for item in permission.get("IpRanges", [])],
        "ipv6CidrBlocks": [item["CidrIpv6"] for item in permission.get("Ipv6Ranges", [])],
        "securityGroups": [item["GroupId"] for item in permission.get("UserIdGroupPairs", [])],
    }


class IngressRule(Kind):
    what = "VPC Security Group Ingress Rule"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        answer = connection.client("ec2").authorize_security_group_ingress(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            TagSpecifications=specification("security-group-rule", tags),
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("ec2")
        answer = missing(lambda: client.describe_security_group_rules(SecurityGroupRuleIds=[id_]), *RULE_GONE)
        rules = [rule for rule in (answer or {}).get("SecurityGroupRules", []) if rule["SecurityGroupRuleId"] == id_]
        if not rules or rules[0]["IsEgress"]:
            return None
        rule = rules[0]
        return id_, {
            "securityGroupId": rule["GroupId"],
            "securityGroupRuleId": id_,
            "arn": rule.get("SecurityGroupRuleArn")
            or f"arn:{connection.partition}:ec2:{connection.region}:{connection.account}:security-group-rule/{id_}",
            "ipProtocol": rule["IpProtocol"],
            "fromPort": rule.get("FromPort"),
            "toPort": rule.get("ToPort"),
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "prefixListId": rule.get("PrefixListId"),
            "referencedSecurityGroupId": (rule.get("ReferencedGroupInfo") or {}).get("GroupId"),
            "description": rule.get("Description"),
            "tagsAll": tag_map(rule.get("Tags")),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client = connection.client("ec2")
        if change.changed - {"tags"}:
            new = change.new
            rule = {
                "IpProtocol": new["ipProtocol"],
                "FromPort": new.get("fromPort"),
                "ToPort": new.get("toPort"),
                "CidrIpv4": new.get("cidrIpv4"),
                "CidrIpv6": new.get("cidrIpv6"),
                "PrefixListId": new.get("prefixListId"),
                "ReferencedGroupId": new.get("referencedSecurityGroupId"),
                "Description": new.get("description"),
            }
            client.modify_security_group_rules(
                GroupId=new["securityGroupId"],
                SecurityGroupRules=[
                    {
                        "SecurityGroupRuleId": id_,
                        "SecurityGroupRule": {key: value for key, value in rule.items() if value is not None},
                    }
                ],
            )
        change_tags(client, id_, change)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("ec2")
        missing(
            lambda: client.revoke_security_group_ingress(
                GroupId=outputs["securityGroupId"], SecurityGroupRuleIds=[id_]
            ),
            *RULE_GONE,
        )


def _permission(inputs: Properties) -> dict[str, Any]:
    description = {"Description": inputs["description"]} if inputs.get("description") else {}
    permission: dict[str, Any] = {"IpProtocol": inputs["ipProtocol"]}
    for name, parameter in (("fromPort", "FromPort"), ("toPort", "ToPort")):
        if inputs.get(name) is not None:
            permission[parameter] = inputs[name]
    for name, listed, member in (
        ("cidrIpv4", "IpRanges", "CidrIp"),
        ("cidrIpv6", "Ipv6Ranges", "CidrIpv6"),
        ("prefixListId", "PrefixListIds", "PrefixListId"),
        ("referencedSecurityGroupId", "UserIdGroupPairs", "GroupId"),
    ):
        if inputs.get(name):
            permission[listed] = [{member: inputs[name], **description}]
    return permission
