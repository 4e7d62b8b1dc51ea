"""IAM: roles, their inline policies and the policies attached to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of, tag_list, tag_map
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties

GONE = "NoSuchEntity"


def document(value: Any) -> str:
    """IAM returns documents percent-encoded; boto3 decodes those it can."""
    return unquote(value) if isinstance(value, str) else json.dumps(value)


class Role(Kind):
    what = "IAM Role"
    kept = ("forceDetachPolicies", "namePrefix")

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        parameters: dict[str, Any] = {
            "RoleName": name_of(inputs),
            "AssumeRolePolicyDocument": inputs["assumeRolePolicy"],
            "Path": inputs["path"],
            "MaxSessionDuration": inputs["maxSessionDuration"],
            "Tags": tag_list(tags),
        }
        for name, parameter in (("description", "Description"), ("permissionsBoundary", "PermissionsBoundary")):
            if inputs.get(name):
                parameters[parameter] = inputs[name]
        return str(connection.client("iam").create_role(**parameters)["Role"]["RoleName"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("iam")
        answer = missing(lambda: client.get_role(RoleName=id_), GONE)
        if answer is None:
            return None
        role = answer["Role"]
        attached = client.list_attached_role_policies(RoleName=id_)["AttachedPolicies"]
        inline = client.list_role_policies(RoleName=id_)["PolicyNames"]
        return id_, {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "path": role["Path"],
            "description": role.get("Description", ""),
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "assumeRolePolicy": document(role["AssumeRolePolicyDocument"]),
            "managedPolicyArns": sorted(policy["PolicyArn"] for policy in attached),
            "inlinePolicies": [
                {
                    "name": name,
                    "policy": document(client.get_role_policy(RoleName=id_, PolicyName=name)["PolicyDocument"]),
                }
                for name in inline
            ],
            "tagsAll": tag_map(client.list_role_tags(RoleName=id_)["Tags"]),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client, new = connection.client("iam"), change.new
        if "assumeRolePolicy" in change.changed:
            client.update_assume_role_policy(RoleName=id_, PolicyDocument=new["assumeRolePolicy"])
        if change.changed & {"description", "maxSessionDuration"}:
            client.update_role(
                RoleName=id_, Description=new.get("description", ""), MaxSessionDuration=new["maxSessionDuration"]
            )
        if "permissionsBoundary" in change.changed:
            if new.get("permissionsBoundary"):
                client.put_role_permissions_boundary(RoleName=id_, PermissionsBoundary=new["permissionsBoundary"])
            else:
                client.delete_role_permissions_boundary(RoleName=id_)
        if change.removed_tags:
            client.untag_role(RoleName=id_, TagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_role(RoleName=id_, Tags=tag_list(change.set_tags))

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("iam")
        if outputs.get("forceDetachPolicies"):
            for policy in client.list_attached_role_policies(RoleName=id_)["AttachedPolicies"]:
                client.detach_role_policy(RoleName=id_, PolicyArn=policy["PolicyArn"])
            for name in client.list_role_policies(RoleName=id_)["PolicyNames"]:
                client.delete_role_policy(RoleName=id_, PolicyName=name)
        missing(lambda: client.delete_role(RoleName=id_), GONE)


class RolePolicy(Kind):
    what = "IAM Role Policy"
    kept = ("namePrefix",)

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        name = name_of(inputs)
        connection.client("iam").put_role_policy(
            RoleName=inputs["role"], PolicyName=name, PolicyDocument=inputs["policy"]
        )
        return f"{inputs['role']}:{name}"

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        role, separator, name = id_.partition(":")
        if not separator:
            raise ResourceError(f"reading IAM Role Policy ({id_}): the id is <role name>:<policy name>")
        client = connection.client("iam")
        answer = missing(lambda: client.get_role_policy(RoleName=role, PolicyName=name), GONE)
        if answer is None:
            return None
        return id_, {"name": name, "role": role, "policy": document(answer["PolicyDocument"])}

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        role, _, name = id_.partition(":")
        connection.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=change.new["policy"])

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        role, _, name = id_.partition(":")
        client = connection.client("iam")
        missing(lambda: client.delete_role_policy(RoleName=role, PolicyName=name), GONE)


class RolePolicyAttachment(Kind):
    what = "IAM Role Policy Attachment"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        connection.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        role, separator, arn = id_.partition("/")
        if not separator:
            raise ResourceError(f"reading IAM Role Policy Attachment ({id_}): the id is <role name>/<policy ARN>")
        client = connection.client("iam")
        answer = missing(lambda: client.list_attached_role_policies(RoleName=role), GONE)
        if answer is None or arn not in {policy["PolicyArn"] for policy in answer["AttachedPolicies"]}:
            return None
        return id_, {"role": role, "policyArn": arn}

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        raise ResourceError("updating IAM Role Policy Attachment: every change replaces it")

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        role, _, arn = id_.partition("/")
        client = connection.client("iam")
        missing(lambda: client.detach_role_policy(RoleName=role, PolicyArn=arn), GONE)
