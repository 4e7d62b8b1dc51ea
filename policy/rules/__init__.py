"""The rules of the policy pack: pure functions over one resource's inputs, or over all resources of a stack.

Owns what a rule is. `policy/pack.py` calls the rules, and `policy/levels/` says how strictly each environment enforces
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# In a preview, values that a rule needs may be unknown. Reading one postpones the rule to the `up`, so a rule reads
# only what it is about: whether a key exists is known earlier than its value.
Properties = Mapping[str, Any]
# Values that count as missing. A provider's empty list is JSON text.
EMPTY = (None, "", "[]")


def given(properties: Properties, key: str) -> bool:
    """Whether `key` has a value, known or not. Empty counts as none: the AWS plugin's state has `""` for whatever an
    instance was not told."""
    if key not in frozenset(properties):  # the SDK's mapping treats `in` as reading the value
        return False
    try:
        return properties[key] not in EMPTY
    except Exception:  # raised by the SDK, unknown to a rule: the value exists but is not known yet
        return True


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as a policy sees it: the inputs that the program asked for, secrets in plain text."""

    urn: str
    type: str
    name: str
    properties: Properties = field(repr=False)
    protect: bool = False
    provider: str | None = None
    """Name of its provider; None for components, and for providers themselves."""
    made_from: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """URNs of the resources that each property comes from. They are known before any value is."""


@dataclass(frozen=True, kw_only=True)
class ResourceRule:
    """A rule about one resource at a time."""

    name: str
    """Kebab case, unique in the pack: levels refer to it."""
    statement: str
    """What holds when the rule is kept, and who demands it."""
    types: frozenset[str]
    violations: Callable[[Properties], Iterator[str]]
    """What is wrong and the remedy, one sentence each; empty when the resource keeps the rule."""
    mandatory: bool = True
    """The default; an environment's levels may override it."""


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """A rule about all resources together."""

    name: str
    statement: str
    violations: Callable[[Iterable[Resource]], Iterator[tuple[Resource, str]]]
    mandatory: bool = True


Rule = ResourceRule | StackRule
