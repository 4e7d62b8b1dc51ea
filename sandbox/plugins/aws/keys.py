"""KMS: keys and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of, tag_list, tag_map
from sandbox.plugins.values import Properties


class Key(Kind):
    what = "KMS Key"
    kept = ("deletionWindowInDays", "bypassPolicyLockoutSafetyCheck")

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        parameters: dict[str, Any] = {
            "KeyUsage": inputs["keyUsage"],
            "KeySpec": inputs["customerMasterKeySpec"],
            "BypassPolicyLockoutSafetyCheck": inputs["bypassPolicyLockoutSafetyCheck"],
            "Tags": tag_list(tags, "TagKey", "TagValue"),
        }
        for name, parameter in (("description", "Description"), ("policy", "Policy")):
            if inputs.get(name):
                parameters[parameter] = inputs[name]
        answer = connection.client("kms").create_key(**parameters)
        return str(answer["KeyMetadata"]["KeyId"])

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        client = connection.client("kms")
        if inputs["enableKeyRotation"]:
            client.enable_key_rotation(KeyId=id_)
        if not inputs["isEnabled"]:
            client.disable_key(KeyId=id_)

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("kms")
        answer = missing(lambda: client.describe_key(KeyId=id_), "NotFoundException")
        if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        key = answer["KeyMetadata"]
        rotation = client.get_key_rotation_status(KeyId=key["KeyId"])
        tags = client.list_resource_tags(KeyId=key["KeyId"]).get("Tags")
        return key["KeyId"], {
            "arn": key["Arn"],
            "keyId": key["KeyId"],
            "description": key.get("Description", ""),
            "keyUsage": key["KeyUsage"],
            "customerMasterKeySpec": key["KeySpec"],
            "isEnabled": key["Enabled"],
            "enableKeyRotation": rotation["KeyRotationEnabled"],
            "rotationPeriodInDays": rotation.get("RotationPeriodInDays", 365)
            if rotation["KeyRotationEnabled"]
            else None,
            "multiRegion": key.get("MultiRegion", False),
            "policy": client.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"],
            "tagsAll": tag_map(tags, "TagKey", "TagValue"),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client, new = connection.client("kms"), change.new
        if "isEnabled" in change.changed and new["isEnabled"]:
            client.enable_key(KeyId=id_)
        if "description" in change.changed:
            client.update_key_description(KeyId=id_, Description=new.get("description", ""))
        if "policy" in change.changed and new.get("policy"):
            client.put_key_policy(KeyId=id_, PolicyName="default", Policy=new["policy"])
        if "enableKeyRotation" in change.changed:
            (client.enable_key_rotation if new["enableKeyRotation"] else client.disable_key_rotation)(KeyId=id_)
        if "isEnabled" in change.changed and not new["isEnabled"]:
            client.disable_key(KeyId=id_)
        if change.removed_tags:
            client.untag_resource(KeyId=id_, TagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_resource(KeyId=id_, Tags=tag_list(change.set_tags, "TagKey", "TagValue"))

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("kms")
        window = {"PendingWindowInDays": outputs["deletionWindowInDays"]} if outputs.get("deletionWindowInDays") else {}
        missing(lambda: client.schedule_key_deletion(KeyId=id_, **window), "NotFoundException")


class Alias(Kind):
    what = "KMS Alias"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        name = name_of(inputs)
        connection.client("kms").create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
        return name

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("kms")
        for page in client.get_paginator("list_aliases").paginate():
            for alias in page["Aliases"]:
                if alias["AliasName"] == id_ and alias.get("TargetKeyId"):
                    region_and_account = alias["AliasArn"].rpartition(":alias/")[0]
                    return id_, {
                        "name": id_,
                        "arn": alias["AliasArn"],
                        "targetKeyId": alias["TargetKeyId"],
                        "targetKeyArn": f"{region_and_account}:key/{alias['TargetKeyId'].rpartition('/')[2]}",
                    }
        return None

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        if "targetKeyId" in change.changed:
            connection.client("kms").update_alias(AliasName=id_, TargetKeyId=change.new["targetKeyId"])

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        missing(lambda: connection.client("kms").delete_alias(AliasName=id_), "NotFoundException")
