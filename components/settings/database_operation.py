"""Settings of an instance's life beside its own: who hears of it, its replica, where its data come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from components.settings.database_rules import INSTANCE_CLASS, INSTANCE_IDENTIFIER, SNAPSHOT
from components.settings.formats import EmailAddress, TopicArn
from components.settings.moments import MOMENT
from components.settings.rules import DISTINCT, Section, Switch, Text, WholeNumber, between, setting
from components.settings.unions import by_mode, tag


class OwnTopicSettings(Section):
    """A topic that the stack makes, encrypted with the database's key."""

    mode: Literal["ownTopic"] = setting(why="the stack makes the topic", example="ownTopic")
    emails: Annotated[tuple[EmailAddress, ...], DISTINCT] = setting(
        (), why="addresses that are asked by mail to subscribe; others can subscribe by the topic's ARN"
    )


class ExistingTopicSettings(Section):
    """A topic that exists. Its policy must let RDS's events, and CloudWatch's alarms if there are any, publish."""

    mode: Literal["topic"] = setting(why="the topic exists", example="topic")
    topic_arn: TopicArn = setting(
        why="topic of the operators", example="arn:aws:sns:eu-central-1:123456789012:operations"
    )


class NoNotificationSettings(Section):
    """Nobody is told."""

    mode: Literal["none"] = setting(why="nobody is told; refused in production", example="none")


NotificationSettings = Annotated[
    Annotated[OwnTopicSettings, Tag(tag("ownTopic"))]
    | Annotated[ExistingTopicSettings, Tag(tag("topic"))]
    | Annotated[NoNotificationSettings, Tag(tag("none"))],
    Discriminator(by_mode),
]


class AlarmSettings(Section):
    """CloudWatch alarms, which go where the notifications go."""

    free_storage_gib: Annotated[WholeNumber, between(1, 65536, "GiB")] = setting(
        5,
        why="free storage below which there is an alarm; autoscaling acts at a tenth of the storage, and then "
        "not again for six hours",
    )
    cpu_percent: Annotated[WholeNumber, between(1, 100, "percent")] = setting(
        80, why="CPU above which, for a quarter of an hour, there is an alarm"
    )
    connections: Annotated[WholeNumber, between(1, 10_000)] = setting(
        80, why="connections above which there is an alarm; TAG holds 4 for each replica"
    )


class ReplicaSettings(Section):
    """A read replica, from which TAG answers queries."""

    instance_class: Annotated[Text, INSTANCE_CLASS] | None = setting(
        None, default_text="the instance's", why="size of the replica"
    )
    multi_az: Switch = setting(False, why="whether the replica has a standby; losing the replica costs speed, not data")


class SnapshotRestoreSettings(Section):
    """Data of a snapshot. It stays in the configuration, for the key of the data comes with it."""

    mode: Literal["snapshot"] = setting(why="the instance begins with a snapshot's data", example="snapshot")
    snapshot_identifier: Annotated[Text, SNAPSHOT] = setting(
        why="snapshot to restore; of PostgreSQL, and encrypted", example="teleport-access-graph-prod-final-0a1b2c3d"
    )


class PointInTimeRestoreSettings(Section):
    """Data of another instance as they were. It stays in the configuration, for the key of the data comes with it."""

    mode: Literal["pointInTime"] = setting(
        why="the instance begins with another's data of a moment", example="pointInTime"
    )
    source_identifier: Annotated[Text, INSTANCE_IDENTIFIER] = setting(
        why="instance whose backups are used", example="teleport-access-graph-prod"
    )
    time: Annotated[Text, MOMENT] | None = setting(
        None, default_text="the latest there is", why="moment within the backups' retention, RFC 3339"
    )


RestoreSettings = Annotated[
    Annotated[SnapshotRestoreSettings, Tag(tag("snapshot"))]
    | Annotated[PointInTimeRestoreSettings, Tag(tag("pointInTime"))],
    Discriminator(by_mode),
]
