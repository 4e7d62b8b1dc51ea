"""IAM roles and their policies, KMS keys and aliases."""

from __future__ import annotations

import json
from typing import Any

from sandbox.plugins.aws.handler import Gone, Handler, own_name, removed
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import Properties


class Role(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        name = own_name(inputs)
        optional = {
            "Description": inputs.get("description"),
            "PermissionsBoundary": inputs.get("permissionsBoundary"),
            "MaxSessionDuration": inputs.get("maxSessionDuration"),
        }
        self.session.client("iam").create_role(
            RoleName=name,
            Path=inputs.get("path", "/"),
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Tags=_pairs(self.tags(inputs)),
            **{key: value for key, value in optional.items() if value is not None},
        )
        return name

    def read(self, id_: str) -> Properties:
        role = self.session.client("iam").get_role(RoleName=id_)["Role"]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "path": role["Path"],
            "description": role.get("Description") or None,
            "permissionsBoundary": boundary,
            "maxSessionDuration": role.get("MaxSessionDuration"),
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "createDate": role["CreateDate"].isoformat(),
            "uniqueId": role["RoleId"],
            "tags": {tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        client = self.session.client("iam")
        client.update_assume_role_policy(RoleName=id_, PolicyDocument=new["assumeRolePolicy"])
        client.update_role(
            RoleName=id_,
            Description=new.get("description", ""),
            MaxSessionDuration=new.get("maxSessionDuration", 3600),
        )
        if new.get("permissionsBoundary") != old.get("permissionsBoundary"):
            if new.get("permissionsBoundary"):
                client.put_role_permissions_boundary(RoleName=id_, PermissionsBoundary=new["permissionsBoundary"])
            else:
                client.delete_role_permissions_boundary(RoleName=id_)
        client.untag_role(RoleName=id_, TagKeys=removed(old.get("tags") or {}, self.tags(new)))
        client.tag_role(RoleName=id_, Tags=_pairs(self.tags(new)))

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("iam").delete_role(RoleName=id_)


class RolePolicy(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        name = own_name(inputs)
        self._put(inputs["role"], name, inputs["policy"])
        return f"{inputs['role']}:{name}"

    def read(self, id_: str) -> Properties:
        role, name = id_.split(":", 1)
        answer = self.session.client("iam").get_role_policy(RoleName=role, PolicyName=name)
        return {"role": role, "name": name, "policy": _document(answer["PolicyDocument"])}

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        role, name = id_.split(":", 1)
        self._put(role, name, new["policy"])

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        role, name = id_.split(":", 1)
        self.session.client("iam").delete_role_policy(RoleName=role, PolicyName=name)

    def _put(self, role: str, name: str, policy: str) -> None:
        self.session.client("iam").put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=policy)


class RolePolicyAttachment(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        self.session.client("iam").attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}/{inputs['policyArn']}"

    def read(self, id_: str) -> Properties:
        role, arn = id_.split("/", 1)
        attached = self.session.client("iam").list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        if arn not in {policy["PolicyArn"] for policy in attached}:
            raise Gone
        return {"role": role, "policyArn": arn}

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        role, arn = id_.split("/", 1)
        self.session.client("iam").detach_role_policy(RoleName=role, PolicyArn=arn)


class Key(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        optional = {"Description": inputs.get("description"), "Policy": inputs.get("policy")}
        client = self.session.client("kms")
        answer = client.create_key(
            MultiRegion=inputs.get("multiRegion", False),
            KeyUsage=inputs.get("keyUsage", "ENCRYPT_DECRYPT"),
            Tags=[{"TagKey": key, "TagValue": value} for key, value in self.tags(inputs).items()],
            **{key: value for key, value in optional.items() if value is not None},
        )["KeyMetadata"]
        id_ = str(answer["KeyId"])
        self._rotation(id_, inputs)
        if not inputs.get("isEnabled", True):
            client.disable_key(KeyId=id_)
        return id_

    def read(self, id_: str) -> Properties:
        client = self.session.client("kms")
        metadata = client.describe_key(KeyId=id_)["KeyMetadata"]
        if metadata["KeyState"] == "PendingDeletion":
            raise Gone
        tags = client.list_resource_tags(KeyId=id_).get("Tags", [])
        return {
            "arn": metadata["Arn"],
            "keyId": metadata["KeyId"],
            "description": metadata.get("Description"),
            "enableKeyRotation": client.get_key_rotation_status(KeyId=id_)["KeyRotationEnabled"],
            "policy": client.get_key_policy(KeyId=id_, PolicyName="default")["Policy"],
            "isEnabled": metadata["Enabled"],
            "multiRegion": metadata.get("MultiRegion", False),
            "keyUsage": metadata["KeyUsage"],
            "tags": {tag["TagKey"]: tag["TagValue"] for tag in tags},
        }

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        client = self.session.client("kms")
        client.update_key_description(KeyId=id_, Description=new.get("description", ""))
        if "policy" in new:
            client.put_key_policy(KeyId=id_, PolicyName="default", Policy=new["policy"])
        self._rotation(id_, new)
        if new.get("isEnabled", True) != old.get("isEnabled", True):
            (client.enable_key if new.get("isEnabled", True) else client.disable_key)(KeyId=id_)
        tags = self.tags(new)
        gone = removed(old.get("tags") or {}, tags)
        if gone:
            client.untag_resource(KeyId=id_, TagKeys=gone)
        client.tag_resource(KeyId=id_, Tags=[{"TagKey": key, "TagValue": value} for key, value in tags.items()])

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("kms").schedule_key_deletion(
            KeyId=id_, PendingWindowInDays=inputs.get("deletionWindowInDays", 30)
        )

    def _rotation(self, id_: str, inputs: Properties) -> None:
        client = self.session.client("kms")
        (client.enable_key_rotation if inputs.get("enableKeyRotation") else client.disable_key_rotation)(KeyId=id_)


class Alias(Handler):
    def create(self, inputs: Properties, timeout: float) -> str:
        name = own_name(inputs)
        if not name.startswith("alias/"):
            raise ResourceError(f"'name' must begin with 'alias/', and is {name!r}")
        self.session.client("kms").create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
        return name

    def read(self, id_: str) -> Properties:
        client = self.session.client("kms")
        for page in client.get_paginator("list_aliases").paginate():
            for alias in page["Aliases"]:
                if alias["AliasName"] == id_:
                    target = client.describe_key(KeyId=alias["TargetKeyId"])["KeyMetadata"]
                    return {
                        "name": id_,
                        "arn": alias["AliasArn"],
                        "targetKeyId": target["KeyId"],
                        "targetKeyArn": target["Arn"],
                    }
        raise Gone

    def update(self, id_: str, old: Properties, new: Properties, timeout: float) -> None:
        self.session.client("kms").update_alias(AliasName=id_, TargetKeyId=new["targetKeyId"])

    def delete(self, id_: str, inputs: Properties, timeout: float) -> None:
        self.session.client("kms").delete_alias(AliasName=id_)


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _document(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
