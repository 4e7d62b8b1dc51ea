"""The rules of the policy pack: pure functions over a resource's inputs, or over all resources of a stack.

Owns what a rule is. What it is called with is the pack's concern (`policy/pack.py`); how strictly an environment takes
it is said in `policy/levels/`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Values that say whether a rule is kept may still be unknown in a preview; a rule that touches one is then left to the
# `up`. So a rule touches what it is about and no more: whether a key is there is known earlier than its value.
Properties = Mapping[str, Any]
# A provider's lists are JSON.
EMPTY = (None, "", "[]")


def given(properties: Properties, key: str) -> bool:
    """Whether `key` has a value, known or not. An empty one is none: the AWS plugin's state says `""` of whatever an
    instance was not told.
    """
    if key not in frozenset(properties):  # the SDK's mapping takes `in` for a look at the value
        return False
    try:
        return properties[key] not in EMPTY
    except Exception:  # the SDK's own, of which a rule knows nothing: the value is there and not known yet
        return True


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as a policy sees it: what the program asked for, secrets laid open."""

    urn: str
    type: str
    name: str
    properties: Properties = field(repr=False)
    protect: bool = False
    provider: str | None = None
    """Name of its provider; None for a provider itself and for components."""
    made_from: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """URNs of the resources that each property comes from: known before any value is."""


@dataclass(frozen=True, kw_only=True)
class ResourceRule:
    """A rule of one resource at a time."""

    name: str
    """Kebab case, unique in the pack: levels are set by it."""
    statement: str
    """What holds when the rule is kept, and whose demand it is."""
    types: frozenset[str]
    violations: Callable[[Properties], Iterator[str]]
    """What is wrong and the remedy, a sentence each; nothing for a resource that keeps the rule."""
    mandatory: bool = True
    """By default; the levels of an environment may say otherwise."""


@dataclass(frozen=True, kw_only=True)
class StackRule:
    """A rule of all resources together."""

    name: str
    statement: str
    violations: Callable[[Iterable[Resource]], Iterator[tuple[Resource, str]]]
    mandatory: bool = True


Rule = ResourceRule | StackRule
