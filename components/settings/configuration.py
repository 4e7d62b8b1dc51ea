"""The whole configuration: one object a concern, as it stands under the project's namespace."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Annotated

from components.settings.access_graph import AccessGraphSettings
from components.settings.clusters import AwsSettings, KubernetesSettings
from components.settings.database import DatabaseSettings
from components.settings.monitoring import MonitoringSettings
from components.settings.names import STACK_TAG
from components.settings.object_metadata import ObjectAnnotations, ObjectLabels
from components.settings.rules import Frozen, Rule, Section, Text, setting
from components.settings.teleport import ClusterName, TeleportSettings
from components.settings.tls import TlsSettings

# Keys that hold secrets. Their values never pass through the models: they stay Outputs.
SECRET_KEYS = {
    "databaseUri": "connection URI of a database that exists (`database.mode: existing`), a string",
    "teleportSecretValues": "secret Helm values, merged last: an object of Teleport cluster name to values",
}

# AWS allows 50 tags an object; the stack adds its own.
MOST_TAGS = 40

# What IAM, RDS and CloudWatch Logs state in their references, in Unicode's categories; the other services take more.
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html and
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_Tag.html
_TAG_MARKS = "_.:/=+-@"
# Kept by every service, and by RDS, which alone minds them in values too.
_KEPT_PREFIXES = ("aws:", "rds:")
_LONGEST_TAG_KEY, _LONGEST_TAG_VALUE = 128, 256


def _may_be_in_a_tag(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _TAG_MARKS or category[0] in "LN" or category == "Zs"


def _is_tag_text(value: str) -> bool:
    return not value.lower().startswith(_KEPT_PREFIXES) and all(map(_may_be_in_a_tag, value))


def _why_no_tag(value: str) -> str | None:
    if value.lower().startswith(_KEPT_PREFIXES):
        return f"begins with {value[:4].lower()}, which AWS keeps for itself"
    # In several scripts a letter may be written as a letter and an accent that follows it; AWS takes no such accent.
    if not _is_tag_text(value) and _is_tag_text(unicodedata.normalize("NFC", value)):
        return "writes an accent as a separate character, and AWS takes accented letters as one (Unicode NFC)"
    return None


_TAG_KEY = Rule(
    f"the key of an AWS tag: at most {_LONGEST_TAG_KEY} letters, digits, spaces and {_TAG_MARKS}",
    lambda value: 0 < len(value) <= _LONGEST_TAG_KEY and _is_tag_text(value),
    "shorten it or leave such characters out",
    _why_no_tag,
)
_OWN_TAG = Rule(
    "a tag of your own",
    lambda value: value.casefold() != STACK_TAG,
    "leave it out: the stack sets it, and finds its objects by it",
)
_TAG_VALUE = Rule(
    f"the value of an AWS tag: at most {_LONGEST_TAG_VALUE} letters, digits, spaces and {_TAG_MARKS}",
    lambda value: len(value) <= _LONGEST_TAG_VALUE and _is_tag_text(value),
    "shorten it or leave such characters out",
    _why_no_tag,
)
# IAM takes two keys that differ in case alone for one.
_DISTINCT_KEYS = Rule(
    "a map of tags whose keys differ in more than case",
    lambda value: len({key.casefold() for key in value}) == len(value),
    "keep one of those that differ only in case: IAM takes them for the same key",
)
_FEW_TAGS = Rule(
    f"a map of at most {MOST_TAGS} tags",
    lambda value: len(value) <= MOST_TAGS,
    "remove some: AWS allows 50 with the stack's own",
)


class Configuration(Section):
    """All plain settings of a stack."""

    kubernetes: KubernetesSettings = setting(
        why="Kubernetes cluster of the access graph",
        example={"context": "dev-eu-central-1", "clusterIdentifier": "00000000-0000-4000-8000-000000000000"},
    )
    aws: AwsSettings | None = setting(None, why="AWS account; required with `database.mode: rds`, refused without")
    access_graph: AccessGraphSettings = setting(
        why="the access graph's release",
        example={"chart": {"path": "charts/teleport-access-graph-1.30.2.tgz"}},
    )
    database: DatabaseSettings = setting(
        why="the database", example={"mode": "existing", "secret": {"name": "access-graph-database"}}
    )
    tls: TlsSettings = setting({"mode": "generated"}, why="TAG's certificate and authority")
    teleport: Annotated[Mapping[ClusterName, TeleportSettings], Frozen] = setting(
        {}, why="Teleport clusters that use the access graph, by cluster name"
    )
    tags: Annotated[
        Mapping[Annotated[Text, _TAG_KEY, _OWN_TAG], Annotated[Text, _TAG_VALUE]], _DISTINCT_KEYS, _FEW_TAGS, Frozen
    ] = setting({}, why="tags of every AWS object, beside those that mark the stack")
    monitoring: MonitoringSettings = setting({}, why="what Prometheus is told, by choice")
    labels: ObjectLabels = setting(
        {},
        why="labels of every Kubernetes object of the stack and of its pods, TAG's included; Teleport's are not ours",
    )
    annotations: ObjectAnnotations = setting(
        {}, why="annotations of every Kubernetes object of the stack and of its pods, as with `labels`"
    )
