"""The random resource types as a plugin: checks, replacement, creation and import.

Owns the rules that span properties; single properties are in `schemas.py`, the values in `generate.py`.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from sandbox.plugins.protocol import CheckFailure, CheckResult, DiffResult, ResourceError
from sandbox.plugins.random import schemas
from sandbox.plugins.random.generate import bcrypt_hash, id_outputs, random_string, url_base64
from sandbox.plugins.values import Properties, contains_unknown, unwrap
from sandbox.plugins.values_schema import ResourceSchema, StateOnlyProvider


class RandomProvider(StateOnlyProvider):
    """Nothing exists outside the state: read returns what it is given, delete does nothing, most changes replace."""

    name = "random"
    version = "4.21.4"
    types = schemas.SCHEMAS

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        schema = self.schema(type_)
        result = schema.check(news)
        if type_ in (schemas.STRING, schemas.PASSWORD) and not result.failures:
            wanted = _same_number(schema.planned(result.inputs, preview=False), result.inputs)
            result.failures.extend(_character_failures(unwrap(wanted), unwrap(result.inputs)))
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
        schema = self.schema(type_)
        if "numeric" in schema.inputs:
            news = {**news, **_number(news)}
        return schema.difference(old_outputs, news, ignore_changes)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        schema = self.schema(type_)
        if preview:
            return "", _same_number(schema.planned(inputs, preview=True), inputs)
        wanted = unwrap(_same_number(schema.planned(inputs, preview=False), inputs))
        if type_ == schemas.ID:
            raw = secrets.token_bytes(wanted["byteLength"])
            return _finished(schema, inputs, url_base64(raw), id_outputs(raw, wanted.get("prefix", "")))
        if type_ == schemas.BYTES:
            raw = secrets.token_bytes(wanted["length"])
            return _bytes(schema, inputs, raw)
        text = random_string(wanted)
        return _text(schema, inputs, text)

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
        """Called only when keepers without a value come or go."""
        kept = {name: value for name, value in old_outputs.items() if name != "keepers"}
        return {**kept, **({"keepers": news["keepers"]} if "keepers" in news else {})}

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        schema = self.schema(type_)
        if outputs:
            return id_, inputs, outputs
        # On import, the id that the user gives is the value.
        if type_ == schemas.ID:
            prefix, _, encoded = id_.rpartition(",")
            raw = _decoded(encoded, urlsafe=True)
            inputs = {"byteLength": len(raw), **({"prefix": prefix} if prefix else {})}
            found, outputs = _finished(schema, inputs, encoded, id_outputs(raw, prefix))
        elif type_ == schemas.BYTES:
            raw = _decoded(id_, urlsafe=False)
            inputs = {"length": len(raw)}
            found, outputs = _bytes(schema, inputs, raw)
        else:
            inputs = {"length": len(id_)}
            found, outputs = _text(schema, inputs, id_)
        return found, inputs, outputs


def _number(inputs: Properties) -> Properties:
    """`numeric` and `number` as they end up: whichever is given, otherwise true."""
    for name in ("numeric", "number"):
        if inputs.get(name) is not None:
            return {"numeric": inputs[name], "number": inputs[name]}
    return {}


def _same_number(outputs: Properties, inputs: Properties) -> Properties:
    return {**outputs, **_number(inputs)} if "numeric" in outputs else outputs


def _character_failures(wanted: Properties, given: Properties) -> list[CheckFailure]:
    failures = []
    if None not in (given.get("number"), given.get("numeric")) and given["number"] != given["numeric"]:
        failures.append(CheckFailure("numeric", "'number' and 'numeric' are one setting and must be equal"))
    kinds = ("upper", "lower", "numeric", "special")
    minimums = ("minUpper", "minLower", "minNumeric", "minSpecial")
    if not contains_unknown([wanted[kind] for kind in kinds]) and not any(wanted[kind] for kind in kinds):
        failures.append(CheckFailure("", f"at least one of {', '.join(kinds)} must be true"))
    numbers = [wanted["length"], *(wanted[minimum] for minimum in minimums)]
    if not contains_unknown(numbers) and numbers[0] < sum(numbers[1:]):
        failures.append(CheckFailure("length", f"'length': {numbers[0]} is less than the sum of {', '.join(minimums)}"))
    return failures


def _finished(schema: ResourceSchema, inputs: Properties, id_: str, computed: Properties) -> tuple[str, Properties]:
    outputs = _same_number(schema.finished(inputs, computed), inputs)
    return id_, {**outputs, "id": id_} if schema.identified else outputs


def _bytes(schema: ResourceSchema, inputs: Properties, raw: bytes) -> tuple[str, Properties]:
    encoded = base64.b64encode(raw).decode()
    # As in the official plugin, the id is the value in plain text. Users who need a secret choose a password.
    return _finished(schema, inputs, encoded, {"base64": encoded, "hex": raw.hex()})


def _text(schema: ResourceSchema, inputs: Properties, text: str) -> tuple[str, Properties]:
    if schema.type == schemas.PASSWORD:
        return _finished(schema, inputs, "none", {"result": text, "bcryptHash": bcrypt_hash(text)})
    return _finished(schema, inputs, text, {"result": text})


def _decoded(encoded: str, *, urlsafe: bool) -> bytes:
    padded = encoded + "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(padded, altchars=b"-_" if urlsafe else None, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ResourceError(f"cannot import: {encoded!r} is no base64: {error}") from error
