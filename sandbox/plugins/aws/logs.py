"""CloudWatch Logs: log groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of
from sandbox.plugins.values import Properties


class LogGroup(Kind):
    what = "CloudWatch Logs Log Group"
    kept = ("skipDestroy",)

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        name = name_of(inputs)
        parameters: dict[str, Any] = {"logGroupName": name}
        if inputs.get("kmsKeyId"):
            parameters["kmsKeyId"] = inputs["kmsKeyId"]
        if tags:
            parameters["tags"] = dict(tags)
        connection.client("logs").create_log_group(**parameters)
        return name

    def settle(self, connection: Connection, id_: str, inputs: Properties, deadline: Deadline) -> None:
        if inputs["retentionInDays"]:
            connection.client("logs").put_retention_policy(logGroupName=id_, retentionInDays=inputs["retentionInDays"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("logs")
        for page in client.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=id_):
            for group in page["logGroups"]:
                if group["logGroupName"] == id_:
                    arn = group["arn"].removesuffix(":*")
                    return id_, {
                        "name": id_,
                        "arn": arn,
                        "kmsKeyId": group.get("kmsKeyId", ""),
                        "retentionInDays": group.get("retentionInDays", 0),
                        "logGroupClass": group.get("logGroupClass", "STANDARD"),
                        "deletionProtectionEnabled": group.get("deletionProtectionEnabled", False),
                        "tagsAll": dict(client.list_tags_for_resource(resourceArn=arn)["tags"]),
                    }
        return None

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client = connection.client("logs")
        if "retentionInDays" in change.changed:
            if change.new["retentionInDays"]:
                client.put_retention_policy(logGroupName=id_, retentionInDays=change.new["retentionInDays"])
            else:
                client.delete_retention_policy(logGroupName=id_)
        if "kmsKeyId" in change.changed:
            if change.new.get("kmsKeyId"):
                client.associate_kms_key(logGroupName=id_, kmsKeyId=change.new["kmsKeyId"])
            else:
                client.disassociate_kms_key(logGroupName=id_)
        arn = change.old["arn"]
        if change.removed_tags:
            client.untag_resource(resourceArn=arn, tagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_resource(resourceArn=arn, tags=change.set_tags)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        if not outputs.get("skipDestroy"):
            client = connection.client("logs")
            missing(lambda: client.delete_log_group(logGroupName=id_), "ResourceNotFoundException")
