"""The AWS resource types as a plugin: combines each type's table with its calls to AWS.

Owns default tags, the parts of the state that AWS does not keep, and the wording of failures. The tables are in
`resources.py` and `observing_tables.py`.
"""

from __future__ import annotations

import re
import threading
from typing import Any, Final

from sandbox.plugins.aws import observing_tables, resources
from sandbox.plugins.aws.connection import Connection, calling, check_configuration, parsed
from sandbox.plugins.aws.databases import Instance, ParameterGroup, SubnetGroup
from sandbox.plugins.aws.identity import Role, RolePolicy, RolePolicyAttachment
from sandbox.plugins.aws.keys import Alias, Key
from sandbox.plugins.aws.logs import LogGroup
from sandbox.plugins.aws.network import IngressRule, SecurityGroup
from sandbox.plugins.aws.objects import Change, Deadline, Kind
from sandbox.plugins.aws.observing import (
    EventSubscription,
    MetricAlarm,
    PodIdentityAssociation,
    Topic,
    TopicPolicy,
    TopicSubscription,
)
from sandbox.plugins.aws.tables import DEFAULTS, ResourceType
from sandbox.plugins.faults import between_calls
from sandbox.plugins.protocol import (
    CheckResult,
    DiffResult,
    InitializationFailed,
    PropertyDiff,
    ResourceError,
    ResourceProvider,
)
from sandbox.plugins.values import Properties, Secret, rewrap, unwrap

KINDS: Final[dict[str, Kind]] = {
    resources.KEY: Key(),
    resources.ALIAS: Alias(),
    resources.LOG_GROUP: LogGroup(),
    resources.SUBNET_GROUP: SubnetGroup(),
    resources.PARAMETER_GROUP: ParameterGroup(),
    resources.INSTANCE: Instance(),
    resources.SECURITY_GROUP: SecurityGroup(),
    resources.INGRESS_RULE: IngressRule(),
    resources.ROLE: Role(),
    resources.ROLE_POLICY: RolePolicy(),
    resources.ROLE_POLICY_ATTACHMENT: RolePolicyAttachment(),
    observing_tables.TOPIC: Topic(),
    observing_tables.TOPIC_POLICY: TopicPolicy(),
    observing_tables.TOPIC_SUBSCRIPTION: TopicSubscription(),
    observing_tables.EVENT_SUBSCRIPTION: EventSubscription(),
    observing_tables.METRIC_ALARM: MetricAlarm(),
    observing_tables.POD_IDENTITY: PodIdentityAssociation(),
}

# Terraform's default timeouts of aws_db_instance; the other types use them too.
TIMEOUTS: Final = {"create": 40 * 60.0, "update": 80 * 60.0, "delete": 60 * 60.0}

# A change of these means another account's or region's provider, with other objects.
REPLACING: Final = ("region",)


# A name that `name_of` made from a prefix.
_OF_PREFIX = re.compile(r"(.+)[0-9a-f]{26}")


class AwsProvider(ResourceProvider):
    name = "aws"
    version = "7.51.1"

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._cancelled = threading.Event()

    def check_config(self, urn: str, olds: Properties, news: Properties) -> CheckResult:
        return check_configuration(news)

    def diff_config(self, urn: str, olds: Properties, news: Properties) -> DiffResult:
        before, after = parsed(olds), parsed(news)
        changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        replaces = [key for key in changed if key in REPLACING]
        detailed = {key: PropertyDiff("update-replace" if key in replaces else "update") for key in changed}
        return DiffResult(changes=bool(changed), replaces=replaces, detailed=detailed, diffs=changed)

    def configure(self, properties: Properties) -> None:
        self._connection = Connection(properties)

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        return self._table(type_).check(urn.rpartition("::")[2], olds, news, random_seed)

    def diff(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: list[str],
    ) -> DiffResult:
        return self._table(type_).difference(old_outputs, news, ignore_changes)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        table, kind = self._table(type_), KINDS[type_]
        if preview:
            outputs = table.planned(inputs)
            if "tags" in table.inputs and self._connection is not None:
                outputs["tagsAll"] = {**self._connection.default_tags, **(inputs.get("tags") or {})}
            return "", rewrap(outputs, inputs)
        from botocore.exceptions import BotoCoreError, ClientError  # imported late: see `connection`

        plain = _plain(inputs)
        deadline = Deadline(timeout or TIMEOUTS["create"], self._cancelled)
        id_ = calling(
            f"creating {kind.what} ({_label(plain)})",
            lambda: kind.create(self._connected, plain, self._all_tags(plain), deadline),
        )
        try:
            between_calls()
            kind.settle(self._connected, id_, plain, deadline)
            return id_, self._outputs(type_, id_, inputs)
        except (ResourceError, ClientError, BotoCoreError) as error:
            reason = f"creating {kind.what} ({_label(plain)}): {error}"
            raise InitializationFailed(id_, rewrap({**plain, "id": id_}, inputs), inputs, [reason]) from error

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        table, kind = self._table(type_), KINDS[type_]
        given = _plain(inputs)
        known = {**unwrap(outputs), **given} if inputs or outputs else dict(kind.on_import)
        found = calling(f"reading {kind.what} ({id_})", lambda: kind.read(self._connected, id_, known))
        if found is None:
            return None
        id_, live = found
        state = self._state(table, kind, live, known)
        if inputs:
            wanted = {key: state.get(key, value) for key, value in given.items()}
            wanted[DEFAULTS] = unwrap(inputs.get(DEFAULTS, []))
        else:
            wanted = {
                key: state[key]
                for key, known in table.inputs.items()
                if key in state
                and state[key] not in (None, "", [], {})
                and (known.required or state[key] != known.default)
            }
            wanted |= {
                key: known.default
                for key, known in table.inputs.items()
                if known.default is not None and key not in wanted
            }
            wanted[DEFAULTS] = []
        return id_, rewrap(wanted, inputs), self._sealed(table, rewrap({**state, "id": id_}, {**outputs, **inputs}))

    def update(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float,
        preview: bool,
        ignore_changes: list[str],
    ) -> Properties:
        table, kind = self._table(type_), KINDS[type_]
        if preview:
            planned = {**old_outputs, **{key: value for key, value in news.items() if key != DEFAULTS}}
            if "tags" in table.inputs and self._connection is not None:
                planned["tagsAll"] = {**self._connection.default_tags, **(news.get("tags") or {})}
            return rewrap(planned, news)
        plain, old = _plain(news), unwrap(old_outputs)
        changed = frozenset(table.difference(old_outputs, news, ignore_changes).diffs)
        change = Change(
            old=old,
            new=plain,
            changed=changed,
            old_tags=old.get("tagsAll") or {},
            tags=self._all_tags(plain),
        )
        deadline = Deadline(timeout or TIMEOUTS["update"], self._cancelled)
        calling(f"updating {kind.what} ({id_})", lambda: kind.update(self._connected, id_, change, deadline))
        return self._outputs(type_, id_, news)

    def delete(self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        self._table(type_)
        kind = KINDS[type_]
        deadline = Deadline(timeout or TIMEOUTS["delete"], self._cancelled)
        calling(f"deleting {kind.what} ({id_})", lambda: kind.delete(self._connected, id_, unwrap(outputs), deadline))

    def cancel(self) -> None:
        self._cancelled.set()

    @property
    def _connected(self) -> Connection:
        if self._connection is None:
            raise ResourceError("aws: the provider is not configured: a value of its configuration is not known yet")
        return self._connection

    def _table(self, type_: str) -> ResourceType:
        if type_ not in resources.TYPES:
            raise self.unsupported(type_)
        return resources.TYPES[type_]

    def _all_tags(self, inputs: Properties) -> dict[str, str]:
        return {**self._connected.default_tags, **(inputs.get("tags") or {})}

    def _outputs(self, type_: str, id_: str, inputs: Properties) -> Properties:
        table, kind = self._table(type_), KINDS[type_]
        plain = _plain(inputs)
        found = calling(f"reading {kind.what} ({id_})", lambda: kind.read(self._connected, id_, plain))
        if found is None:
            raise ResourceError(f"reading {kind.what} ({id_}): couldn't find resource")
        state = self._state(table, kind, found[1], plain)
        return self._sealed(table, rewrap({**state, "id": id_}, inputs))

    def _state(self, table: ResourceType, kind: Kind, live: Properties, known: Properties) -> Properties:
        """Live values, spelt as in `known` where both mean the same, plus what AWS does not keep."""
        state: Properties = {key: value for key, value in live.items() if value is not None}
        if "tagsAll" in state:
            own = known.get("tags") or {}
            defaults = self._connected.default_tags
            state["tags"] = {
                key: value for key, value in state["tagsAll"].items() if key in own or defaults.get(key) != value
            }
        if "region" in table.outputs:
            state["region"] = self._connected.region
        if "namePrefix" in table.inputs and (made := _OF_PREFIX.fullmatch(str(state.get("name", "")))):
            # Derived from the name, as in the official plugin (NamePrefixFromName of terraform-provider-aws).
            state["namePrefix"] = made.group(1)
        for key in (*kind.kept, "namePrefix"):
            if key in table.inputs and known.get(key) is not None:
                state[key] = known[key]
        same = table.difference(state, {key: known[key] for key in table.inputs if known.get(key) is not None}, [])
        differing = {path.split(".")[0].split("[")[0] for path in same.detailed}
        for key, table_input in table.inputs.items():
            if key in state and known.get(key) is not None and key not in differing and not table_input.live:
                state[key] = known[key]
        return state

    @staticmethod
    def _sealed(table: ResourceType, outputs: Properties) -> Properties:
        secret = {key for key, known in table.inputs.items() if known.secret} | set(table.secret_outputs)
        return {
            key: Secret(value) if key in secret and not isinstance(value, Secret) else value
            for key, value in outputs.items()
        }


def _plain(inputs: Properties) -> dict[str, Any]:
    return {key: value for key, value in unwrap(inputs).items() if key != DEFAULTS and value is not None}


def _label(inputs: Properties) -> str:
    for key in ("identifier", "name", "namePrefix", "identifierPrefix", "role", "securityGroupId"):
        if inputs.get(key):
            return str(inputs[key])
    return "new"
