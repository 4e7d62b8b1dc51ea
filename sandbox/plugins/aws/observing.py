"""SNS topics, RDS's event subscriptions, CloudWatch alarms; EKS's Pod Identity associations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.plugins.aws.connection import Connection, missing
from sandbox.plugins.aws.databases import change_tags as change_rds_tags
from sandbox.plugins.aws.databases import tags_of as rds_tags_of
from sandbox.plugins.aws.objects import Change, Deadline, Kind, name_of, tag_list, tag_map
from sandbox.plugins.values import Properties

TOPIC_GONE = ("NotFound", "NotFoundException")
SUBSCRIPTION_GONE = ("SubscriptionNotFound", "SubscriptionNotFoundFault")
# What SNS returns instead of an ARN until the receiver has confirmed.
PENDING = ("pending confirmation", "PendingConfirmation")


class Topic(Kind):
    what = "SNS Topic"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        attributes = {
            attribute: inputs[name]
            for name, attribute in (("displayName", "DisplayName"), ("kmsMasterKeyId", "KmsMasterKeyId"))
            if inputs.get(name)
        }
        answer = connection.client("sns").create_topic(Name=name_of(inputs), Attributes=attributes, Tags=tag_list(tags))
        return str(answer["TopicArn"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("sns")
        answer = missing(lambda: client.get_topic_attributes(TopicArn=id_), *TOPIC_GONE)
        if answer is None:
            return None
        attributes = answer["Attributes"]
        return id_, {
            "arn": id_,
            "name": id_.rpartition(":")[2],
            "displayName": attributes.get("DisplayName", ""),
            "kmsMasterKeyId": attributes.get("KmsMasterKeyId", ""),
            "owner": attributes["Owner"],
            "policy": attributes["Policy"],
            "signatureVersion": 0,
            "tracingConfig": "",
            "tagsAll": tag_map(client.list_tags_for_resource(ResourceArn=id_)["Tags"]),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client = connection.client("sns")
        for name, attribute in (("displayName", "DisplayName"), ("kmsMasterKeyId", "KmsMasterKeyId")):
            if name in change.changed:
                client.set_topic_attributes(
                    TopicArn=id_, AttributeName=attribute, AttributeValue=change.new.get(name) or ""
                )
        if change.removed_tags:
            client.untag_resource(ResourceArn=id_, TagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_resource(ResourceArn=id_, Tags=tag_list(change.set_tags))

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("sns")
        missing(lambda: client.delete_topic(TopicArn=id_), *TOPIC_GONE)


class TopicPolicy(Kind):
    what = "SNS Topic Policy"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        self._set(connection, inputs["arn"], inputs["policy"])
        return str(inputs["arn"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("sns")
        answer = missing(lambda: client.get_topic_attributes(TopicArn=id_), *TOPIC_GONE)
        if answer is None:
            return None
        return id_, {"arn": id_, "policy": answer["Attributes"]["Policy"], "owner": answer["Attributes"]["Owner"]}

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        self._set(connection, id_, change.new["policy"])

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        # A topic always has a policy, so the official plugin restores AWS's default. Here the topic itself is deleted
        # next, so nothing needs doing.
        return None

    def _set(self, connection: Connection, arn: str, policy: str) -> None:
        connection.client("sns").set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)


class TopicSubscription(Kind):
    what = "SNS Topic Subscription"
    kept = ("confirmationTimeoutInMinutes", "endpointAutoConfirms")

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        answer = connection.client("sns").subscribe(
            TopicArn=inputs["topic"],
            Protocol=inputs["protocol"],
            Endpoint=inputs["endpoint"],
            ReturnSubscriptionArn=True,
        )
        return str(answer["SubscriptionArn"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("sns")
        answer = missing(lambda: client.get_subscription_attributes(SubscriptionArn=id_), *TOPIC_GONE)
        if answer is None:
            return None
        attributes = answer["Attributes"]
        return id_, {
            "arn": id_,
            "topic": attributes["TopicArn"],
            "protocol": attributes["Protocol"],
            "endpoint": attributes["Endpoint"],
            "ownerId": attributes.get("Owner"),
            "pendingConfirmation": attributes.get("PendingConfirmation") == "true",
            "confirmationWasAuthenticated": attributes.get("ConfirmationWasAuthenticated") == "true",
            "rawMessageDelivery": attributes.get("RawMessageDelivery") == "true",
            "filterPolicyScope": "",
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        if "rawMessageDelivery" in change.changed:
            connection.client("sns").set_subscription_attributes(
                SubscriptionArn=id_,
                AttributeName="RawMessageDelivery",
                AttributeValue=str(bool(change.new.get("rawMessageDelivery"))).lower(),
            )

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        if id_ not in PENDING:
            client = connection.client("sns")
            missing(lambda: client.unsubscribe(SubscriptionArn=id_), *TOPIC_GONE)


class EventSubscription(Kind):
    what = "RDS Event Subscription"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        name = name_of(inputs)
        optional = {
            parameter: inputs[key]
            for key, parameter in (
                ("sourceType", "SourceType"),
                ("sourceIds", "SourceIds"),
                ("eventCategories", "EventCategories"),
            )
            if inputs.get(key)
        }
        connection.client("rds").create_event_subscription(
            SubscriptionName=name,
            SnsTopicArn=inputs["snsTopic"],
            Enabled=inputs["enabled"],
            Tags=tag_list(tags),
            **optional,
        )
        return name

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("rds")
        answer = missing(lambda: client.describe_event_subscriptions(SubscriptionName=id_), *SUBSCRIPTION_GONE)
        if answer is None or not answer["EventSubscriptionsList"]:
            return None
        found = answer["EventSubscriptionsList"][0]
        arn = found.get("EventSubscriptionArn") or (
            f"arn:{connection.partition}:rds:{connection.region}:{connection.account}:es:{id_}"
        )
        return id_, {
            "name": found["CustSubscriptionId"],
            "arn": arn,
            "customerAwsId": found.get("CustomerAwsId"),
            "snsTopic": found["SnsTopicArn"],
            "sourceType": found.get("SourceType", ""),
            "sourceIds": found.get("SourceIdsList", []),
            "eventCategories": found.get("EventCategoriesList", []),
            "enabled": found["Enabled"],
            "tagsAll": rds_tags_of(connection, arn),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client, new = connection.client("rds"), change.new
        if change.changed - {"tags", "sourceIds"}:
            client.modify_event_subscription(
                SubscriptionName=id_,
                SnsTopicArn=new["snsTopic"],
                Enabled=new["enabled"],
                SourceType=new.get("sourceType", ""),
                EventCategories=new.get("eventCategories") or [],
            )
        if "sourceIds" in change.changed:
            before, after = (set(values.get("sourceIds") or []) for values in (change.old, new))
            for identifier in sorted(after - before):
                client.add_source_identifier_to_subscription(SubscriptionName=id_, SourceIdentifier=identifier)
            for identifier in sorted(before - after):
                client.remove_source_identifier_from_subscription(SubscriptionName=id_, SourceIdentifier=identifier)
        change_rds_tags(connection, change.old["arn"], change)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("rds")
        missing(lambda: client.delete_event_subscription(SubscriptionName=id_), *SUBSCRIPTION_GONE)


# The inputs that PutMetricAlarm takes, and its name for each.
ALARM_PARAMETERS = {
    "alarmDescription": "AlarmDescription",
    "actionsEnabled": "ActionsEnabled",
    "alarmActions": "AlarmActions",
    "okActions": "OKActions",
    "insufficientDataActions": "InsufficientDataActions",
    "comparisonOperator": "ComparisonOperator",
    "evaluationPeriods": "EvaluationPeriods",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "period": "Period",
    "statistic": "Statistic",
    "threshold": "Threshold",
    "treatMissingData": "TreatMissingData",
}


class MetricAlarm(Kind):
    what = "CloudWatch Metric Alarm"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        self._put(connection, str(inputs["name"]), inputs, Tags=tag_list(tags))
        return str(inputs["name"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("cloudwatch")
        alarms = client.describe_alarms(AlarmNames=[id_], AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        if not alarms:
            return None
        alarm = alarms[0]
        return id_, {
            **{name: alarm.get(parameter) for name, parameter in ALARM_PARAMETERS.items()},
            "name": alarm["AlarmName"],
            "arn": alarm["AlarmArn"],
            "dimensions": {item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])},
            "tagsAll": tag_map(client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client = connection.client("cloudwatch")
        if change.changed - {"tags"}:
            self._put(connection, id_, change.new)
        if change.removed_tags:
            client.untag_resource(ResourceARN=change.old["arn"], TagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_resource(ResourceARN=change.old["arn"], Tags=tag_list(change.set_tags))

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        connection.client("cloudwatch").delete_alarms(AlarmNames=[id_])

    def _put(self, connection: Connection, name: str, inputs: Properties, **further: Any) -> None:
        connection.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Dimensions=[{"Name": key, "Value": value} for key, value in (inputs.get("dimensions") or {}).items()],
            **{parameter: inputs[key] for key, parameter in ALARM_PARAMETERS.items() if inputs.get(key) is not None},
            **further,
        )


class PodIdentityAssociation(Kind):
    what = "EKS Pod Identity Association"

    def create(self, connection: Connection, inputs: Properties, tags: Mapping[str, str], deadline: Deadline) -> str:
        answer = connection.client("eks").create_pod_identity_association(
            clusterName=inputs["clusterName"],
            namespace=inputs["namespace"],
            serviceAccount=inputs["serviceAccount"],
            roleArn=inputs["roleArn"],
            tags=dict(tags),
        )
        return str(answer["association"]["associationId"])

    def read(self, connection: Connection, id_: str, inputs: Properties) -> tuple[str, Properties] | None:
        client = connection.client("eks")
        answer = missing(
            lambda: client.describe_pod_identity_association(clusterName=inputs["clusterName"], associationId=id_),
            "ResourceNotFoundException",
        )
        if answer is None:
            return None
        found = answer["association"]
        return id_, {
            "clusterName": found["clusterName"],
            "namespace": found["namespace"],
            "serviceAccount": found["serviceAccount"],
            "roleArn": found["roleArn"],
            "associationArn": found["associationArn"],
            "associationId": id_,
            "tagsAll": dict(found.get("tags", {})),
        }

    def update(self, connection: Connection, id_: str, change: Change, deadline: Deadline) -> None:
        client = connection.client("eks")
        if "roleArn" in change.changed:
            client.update_pod_identity_association(
                clusterName=change.new["clusterName"], associationId=id_, roleArn=change.new["roleArn"]
            )
        if change.removed_tags:
            client.untag_resource(resourceArn=change.old["associationArn"], tagKeys=change.removed_tags)
        if change.set_tags:
            client.tag_resource(resourceArn=change.old["associationArn"], tags=change.set_tags)

    def delete(self, connection: Connection, id_: str, outputs: Properties, deadline: Deadline) -> None:
        client = connection.client("eks")
        missing(
            lambda: client.delete_pod_identity_association(clusterName=outputs["clusterName"], associationId=id_),
            "ResourceNotFoundException",
        )
