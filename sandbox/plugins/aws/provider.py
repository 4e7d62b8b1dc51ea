"""The aws plugin's methods: tables decide what may be and what changes, handlers speak with the API.

Owns what every type has in common: outputs from inputs and live values, refresh, import, errors in the API's words.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from sandbox.plugins.aws.handler import Gone, Handler
from sandbox.plugins.aws.session import CONFIGURATION, Session
from sandbox.plugins.aws.tables import SCHEMAS, CloudSchema
from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, ResourceError, ResourceProvider
from sandbox.plugins.values import UNKNOWN, Properties, Secret, contains_unknown, rewrap, unwrap

Answer = TypeVar("Answer")


class AwsProvider(ResourceProvider):
    name = "aws"
    version = "7.51.1"

    def __init__(self) -> None:
        self._session: Session | None = None

    def check_config(self, urn: str, olds: Properties, news: Properties) -> CheckResult:
        failures = [
            CheckFailure(key, f"the stand-in for aws has no configuration {key!r}; install the official plugin")
            for key in news
            if key not in CONFIGURATION
        ]
        return CheckResult(news, failures)

    def diff_config(self, urn: str, olds: Properties, news: Properties) -> DiffResult:
        changed = sorted(key for key in {*olds, *news} if unwrap(olds.get(key)) != unwrap(news.get(key)))
        # Objects of another region are other objects.
        return DiffResult(changes=bool(changed), diffs=changed, replaces=[key for key in changed if key == "region"])

    def configure(self, properties: Properties) -> None:
        if contains_unknown(properties):
            return
        self._session = Session(unwrap(properties))
        _said_plainly("configure the aws provider", self._session.verify_account)

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        schema = self._schema(type_)
        result = schema.check(news)
        name = schema.own_names
        if name and name not in result.inputs and "namePrefix" not in result.inputs:
            suffix = random_seed.hex()[:7] if random_seed else secrets.token_hex(4)[:7]
            kept = unwrap(olds.get(name))
            result.inputs[name] = kept or f"{urn.rsplit('::', 1)[1]}-{suffix}"
        return result

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
        return self._schema(type_).difference(old_outputs, news, ignore_changes)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        schema = self._schema(type_)
        if preview:
            return "", self._with_all_tags(schema, schema.planned(inputs, preview=True), inputs)
        handler = self._handler(type_)
        plain = unwrap(inputs)
        id_ = _present(f"create {type_}", lambda: handler.create(plain, timeout))
        return id_, self._outputs(schema, handler, id_, inputs)

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        schema = self._schema(type_)
        handler = self._handler(type_)
        try:
            live = _said_plainly(f"read {type_}", lambda: handler.read(id_))
        except Gone:
            return None
        if not inputs:
            defaults = {name: known.default for name, known in schema.inputs.items()}
            inputs = {
                name: live[name]
                for name in schema.inputs
                if live.get(name) is not None and live[name] not in ([], {}) and live[name] != defaults[name]
            }
            # The id that an import gives may be a name; the state has the provider's.
            id_ = str(live.get("resourceId") or id_)
        else:
            drifted = {
                name for name in inputs if name in live and schema._changed(name, {name: live[name]}, inputs, [])
            }
            fresh = {name: (live[name] if name in drifted else value) for name, value in inputs.items()}
            inputs = rewrap({name: value for name, value in fresh.items() if value is not None}, inputs)
        return id_, inputs, self._merged(schema, id_, inputs, live)

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
        schema = self._schema(type_)
        if preview:
            planned = {**old_outputs, **schema.planned(news, preview=False)}
            return self._with_all_tags(schema, planned, news)
        handler = self._handler(type_)
        _present(f"update {type_}", lambda: handler.update(id_, unwrap(old_outputs), unwrap(news), timeout))
        return self._outputs(schema, handler, id_, news)

    def delete(self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        handler = self._handler(type_)
        # As the provider: what steers a deletion is read from the last recorded outputs.
        recorded = {**unwrap(outputs), **unwrap(inputs)}
        try:
            _said_plainly(f"delete {type_} {id_}", lambda: handler.delete(id_, recorded, timeout))
        except Gone:
            return

    def _schema(self, type_: str) -> CloudSchema:
        if type_ not in SCHEMAS:
            raise self.unsupported(type_)
        return SCHEMAS[type_]

    def _handler(self, type_: str) -> Handler:
        from sandbox.plugins.aws.handlers import HANDLERS

        if self._session is None:
            raise ResourceError("the aws provider is not configured")
        return HANDLERS[type_](self._session)

    def _outputs(self, schema: CloudSchema, handler: Handler, id_: str, inputs: Properties) -> Properties:
        try:
            live = _said_plainly(f"read {schema.type}", lambda: handler.read(id_))
        except Gone:
            raise ResourceError(f"{schema.type} {id_} was gone right after it was made") from None
        return self._merged(schema, id_, inputs, live)

    def _merged(self, schema: CloudSchema, id_: str, inputs: Properties, live: Properties) -> Properties:
        """Outputs: what was asked for as it was asked, the rest as the API tells it."""
        outputs = schema.planned(inputs, preview=False)
        for name, value in live.items():
            given = name in inputs and name not in ("tags",)
            if value is None or name == "tags":
                continue
            if not given or schema._changed(name, {name: value}, inputs, []):
                outputs[name] = value
        outputs["id"] = id_
        return rewrap(self._with_all_tags(schema, outputs, inputs), inputs)

    def _with_all_tags(self, schema: CloudSchema, outputs: Properties, inputs: Properties) -> Properties:
        if "tagsAll" in schema.computed:
            tags = inputs.get("tags")
            plain: Any = unwrap(tags) if tags is not None else {}
            defaults = self._session.default_tags if self._session else {}
            outputs["tagsAll"] = UNKNOWN if plain is UNKNOWN else {**defaults, **plain}
            if isinstance(tags, Secret):
                outputs["tagsAll"] = Secret(outputs["tagsAll"])
        return outputs


def _said_plainly(doing: str, call: Callable[[], Answer]) -> Answer:
    """An error of the API in its own words, one that says "not found" as `Gone`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return call()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if "NotFound" in code or code in ("NoSuchEntity", "ResourceNotFoundException"):
            raise Gone(f"{doing}: {code}: {error.response['Error'].get('Message', '')}") from None
        raise ResourceError(f"{doing}: {code}: {error.response.get('Error', {}).get('Message', '')}") from None
    except BotoCoreError as error:
        raise ResourceError(f"{doing}: {error}") from None


def _present(doing: str, call: Callable[[], Answer]) -> Answer:
    """As `_said_plainly`, where something that is missing is an error: what the new object refers to."""
    try:
        return _said_plainly(doing, call)
    except Gone as error:
        raise ResourceError(str(error) or f"{doing}: something that it refers to does not exist") from None
