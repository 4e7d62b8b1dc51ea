"""EC2 security groups with their ingress rules, and CloudWatch's log groups."""

from __future__ import annotations

from sandbox.plugins.aws.handler import Gone, Handler, as_list, as_map, own_name, removed
from sandbox.plugins.values import Properties


class SecurityGroup(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        client = self.session.client("ec2")
        optional = {"VpcId": inputs["vpcId"]} if inputs.get("vpcId") else {}
        id_ = str(
            client.create_security_group(
                GroupName=own_name(inputs),
                Description=inputs.get("description", "Managed by Pulumi"),
                TagSpecifications=[{"ResourceType": "security-group", "Tags": as_list(self.tags(inputs))}],
                **optional,
            )["GroupId"]
        )
        # As the provider does: AWS's rule that allows everything out is taken away, since none is asked for.
        open_rules = client.describe_security_groups(GroupIds=[id_])["SecurityGroups"][0].get("IpPermissionsEgress")
        if open_rules:
            client.revoke_security_group_egress(GroupId=id_, IpPermissions=open_rules)
        return id_

    def read(self, id_: str) -> Properties:
        group = self.session.client("ec2").describe_security_groups(GroupIds=[id_])["SecurityGroups"][0]
        owner = group.get("OwnerId", self.session.account)
        return {
            "name": group["GroupName"],
            "description": group["Description"],
            "vpcId": group.get("VpcId"),
            "ownerId": owner,
            "arn": f"arn:aws:ec2:{self.session.region}:{owner}:security-group/{id_}",
            "egress": [permission["IpProtocol"] for permission in group.get("IpPermissionsEgress", [])],
            "ingress": [],
            "tags": as_map(group.get("Tags", [])),
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        retag(self, id_, old, new)

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("ec2").delete_security_group(GroupId=id_)


class IngressRule(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        answer = self.session.client("ec2").authorize_security_group_ingress(
            GroupId=inputs["securityGroupId"],
            IpPermissions=[_permission(inputs)],
            TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": as_list(self.tags(inputs))}],
        )
        return str(answer["SecurityGroupRules"][0]["SecurityGroupRuleId"])

    def read(self, id_: str) -> Properties:
        found = self.session.client("ec2").describe_security_group_rules(SecurityGroupRuleIds=[id_])
        rules = [rule for rule in found["SecurityGroupRules"] if rule["SecurityGroupRuleId"] == id_]
        if not rules:
            raise Gone
        (rule,) = rules
        return {
            "securityGroupRuleId": id_,
            "arn": f"arn:aws:ec2:{self.session.region}:{self.session.account}:security-group-rule/{id_}",
            "securityGroupId": rule["GroupId"],
            "referencedSecurityGroupId": rule.get("ReferencedGroupInfo", {}).get("GroupId"),
            "cidrIpv4": rule.get("CidrIpv4"),
            "cidrIpv6": rule.get("CidrIpv6"),
            "prefixListId": rule.get("PrefixListId"),
            "ipProtocol": rule["IpProtocol"],
            "fromPort": rule.get("FromPort"),
            "toPort": rule.get("ToPort"),
            "description": rule.get("Description") or None,
            "tags": as_map(rule.get("Tags", [])),
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        changed = {key for key in new if key != "tags" and new[key] != old.get(key)}
        changed |= {key for key in ("description", "cidrIpv4", "prefixListId") if old.get(key) and key not in new}
        if changed:
            client = self.session.client("ec2")
            client.modify_security_group_rules(
                GroupId=new["securityGroupId"],
                SecurityGroupRules=[{"SecurityGroupRuleId": id_, "SecurityGroupRule": _rule(new)}],
            )
        retag(self, id_, old, new)

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("ec2").revoke_security_group_ingress(
            GroupId=inputs["securityGroupId"], SecurityGroupRuleIds=[id_]
        )


class LogGroup(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        client = self.session.client("logs")
        name = own_name(inputs)
        optional = {"kmsKeyId": inputs["kmsKeyId"]} if inputs.get("kmsKeyId") else {}
        client.create_log_group(logGroupName=name, tags=self.tags(inputs), **optional)
        self._retain(name, inputs)
        return name

    def read(self, id_: str) -> Properties:
        client = self.session.client("logs")
        found = client.describe_log_groups(logGroupNamePrefix=id_)["logGroups"]
        groups = [group for group in found if group["logGroupName"] == id_]
        if not groups:
            raise Gone
        (group,) = groups
        return {
            "name": id_,
            "arn": group["arn"].removesuffix(":*"),
            "retentionInDays": group.get("retentionInDays", 0),
            "kmsKeyId": group.get("kmsKeyId"),
            "logGroupClass": group.get("logGroupClass", "STANDARD"),
            "tags": client.list_tags_log_group(logGroupName=id_).get("tags", {}),
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        client = self.session.client("logs")
        self._retain(id_, new)
        if new.get("kmsKeyId") != old.get("kmsKeyId"):
            if new.get("kmsKeyId"):
                client.associate_kms_key(logGroupName=id_, kmsKeyId=new["kmsKeyId"])
            else:
                client.disassociate_kms_key(logGroupName=id_)
        gone = removed(old.get("tags") or {}, self.tags(new))
        if gone:
            client.untag_log_group(logGroupName=id_, tags=gone)
        client.tag_log_group(logGroupName=id_, tags=self.tags(new))

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("logs").delete_log_group(logGroupName=id_)

    def _retain(self, name: str, inputs: Properties) -> None:
        client = self.session.client("logs")
        days = inputs.get("retentionInDays", 0)
        if days:
            client.put_retention_policy(logGroupName=name, retentionInDays=days)
        else:
            client.delete_retention_policy(logGroupName=name)


def retag(handler: Handler, id_: str, old: Properties, new: Properties) -> None:
    """EC2's tags are the same call for every kind of object."""
    client = handler.session.client("ec2")
    tags = handler.tags(new)
    gone = removed(old.get("tags") or {}, tags)
    if gone:
        client.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in gone])
    if tags:
        client.create_tags(Resources=[id_], Tags=as_list(tags))


def _permission(inputs: Properties) -> dict[str, object]:
    permission: dict[str, object] = {"IpProtocol": inputs["ipProtocol"]}
    if "fromPort" in inputs:
        permission |= {"FromPort": inputs["fromPort"], "ToPort": inputs["toPort"]}
    described = {"Description": inputs["description"]} if inputs.get("description") else {}
    if inputs.get("referencedSecurityGroupId"):
        permission["UserIdGroupPairs"] = [{"GroupId": inputs["referencedSecurityGroupId"], **described}]
    elif inputs.get("prefixListId"):
        permission["PrefixListIds"] = [{"PrefixListId": inputs["prefixListId"], **described}]
    elif inputs.get("cidrIpv6"):
        permission["Ipv6Ranges"] = [{"CidrIpv6": inputs["cidrIpv6"], **described}]
    else:
        permission["IpRanges"] = [{"CidrIp": inputs["cidrIpv4"], **described}]
    return permission


def _rule(inputs: Properties) -> dict[str, object]:
    names = {
        "ipProtocol": "IpProtocol",
        "fromPort": "FromPort",
        "toPort": "ToPort",
        "cidrIpv4": "CidrIpv4",
        "cidrIpv6": "CidrIpv6",
        "prefixListId": "PrefixListId",
        "referencedSecurityGroupId": "ReferencedGroupId",
        "description": "Description",
    }
    return {there: inputs[here] for here, there in names.items() if here in inputs}
