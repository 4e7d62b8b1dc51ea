"""Building blocks of the models: plain types that survive YAML, rules that state themselves, fields that say why.

Owns how a rule is written, checked and stated. The rules of a concern stand beside its model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, Strict
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from components.settings.errors import shown

Item = TypeVar("Item")

# Beyond what any setting takes, and short enough that Python turns it into a number at once.
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")


class Section(BaseModel):
    """A frozen part of the configuration: camelCase keys in YAML, snake_case attributes here, no unknown key."""

    model_config = ConfigDict(
        # Defaults are validated, so that a section may be left out as a whole, and every map is frozen.
        frozen=True,
        extra="forbid",
        validate_default=True,
        alias_generator=to_camel,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
        # The whole configuration is one model, and of the sections in it few are ever asked for by themselves.
        defer_build=True,
    )


def refusal(rule: str, remedy: str, *, secret: bool = False) -> PydanticCustomError:
    """What a validator raises; the key and the value are added where the error is put into words."""
    return PydanticCustomError("refused", "{rule}", {"rule": rule, "remedy": remedy, "secret": secret})


@dataclass(frozen=True)
class Rule:
    """A check of one plain value, stated once: the same words stand in the error and in the reference."""

    statement: str
    """What the value must be, to follow "is not": "a port from 1150 to 65535"."""

    accepts: Callable[[Any], bool]
    remedy: str = ""
    because: Callable[[Any], str | None] = lambda value: None
    """A better reason than "is not <statement>" for a value that is often meant well."""

    secret: bool = False
    """Whether the value must not be shown."""

    def check(self, value: Any) -> Any:
        if self.accepts(value):
            return value
        raise refusal(
            self.because(value) or f"is not {self.statement}",
            self.remedy or f"give {self.statement}",
            secret=self.secret,
        )

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


def setting(
    default: Any = ...,
    *,
    why: str,
    example: Any = None,
    default_text: str | None = None,
) -> Any:
    """A field of a section.

    `why` is its line of the reference: what it is for, and the reason of its default. `example` is a valid value of a
    required field. `default_text` states a default that depends on the stack.
    """
    extra: dict[str, Any] = {"default_text": default_text}
    examples = None if example is None else [example]
    if default is ...:
        return Field(description=why, examples=examples, json_schema_extra=extra)
    return Field(default, description=why, examples=examples, json_schema_extra=extra)


def _whole_number(value: Any) -> Any:
    # `pulumi config set` stores what it is given as a string where it does not know better.
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    return value


def _switch(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Text = Annotated[str, Strict()]
WholeNumber = Annotated[int, Strict(), BeforeValidator(_whole_number)]
Switch = Annotated[bool, Strict(), BeforeValidator(_switch)]


def between(low: int, high: int, unit: str = "", because: Callable[[int], str | None] = lambda value: None) -> Rule:
    """A whole number in a closed range."""
    statement = f"a whole number from {low} to {high}{f' ({unit})' if unit else ''}"
    return Rule(statement, lambda value: low <= value <= high, f"set {low} to {high}", because)


def matching(
    pattern: str, statement: str, remedy: str = "", because: Callable[[str], str | None] = lambda value: None
) -> Rule:
    """Text that matches all of `pattern`."""
    compiled = re.compile(pattern, re.ASCII)
    return Rule(statement, lambda value: compiled.fullmatch(value) is not None, remedy, because)


def one_of(values: Collection[Any], statement: str = "") -> Rule:
    """One of a known list that is too long, or not text enough, for a Literal."""
    listed = ", ".join(str(value) for value in values)
    return Rule(statement or f"one of {listed}", lambda value: value in values, f"set one of {listed}")


def _distinct(values: Sequence[Any]) -> bool:
    return len(set(values)) == len(values)


def _why_not_distinct(values: Sequence[Any]) -> str:
    """What is there more than once, by its place where the item itself is long or may be secret."""
    again = next(index for index, value in enumerate(values) if value in values[:index])
    first = values.index(values[again])
    return f"has {shown(values[again]) or 'the same'} twice, as [{first}] and as [{again}]"


DISTINCT = Rule("a list without repetitions", _distinct, "remove one of the two", _why_not_distinct)


def at_least(count: int, things: str, remedy: str) -> Rule:
    return Rule(f"at least {count} {things}", lambda values: len(values) >= count, remedy, too_few(count, things))


def too_few(count: int, things: str) -> Callable[[Sequence[Any]], str]:
    """Why a list that is too short is not `at least <count> <things>`."""
    return lambda values: f"has {len(values)} and needs at least {count} {things}"


def _frozen(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


# Keeps the order in which Pulumi gives the keys, and refuses to be changed.
Frozen = AfterValidator(_frozen)
