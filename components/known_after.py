"""Order by data: a value that is known only after others, so that resources made from it wait for them."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, cast

import pulumi

Value = TypeVar("Value")


def known_after(value: pulumi.Input[Value], *others: pulumi.Input[Any]) -> pulumi.Output[Value]:
    """`value`, known once all `others` are, and secret if one of them is. If one of them fails, as a guard does that
    refuses this run, nothing is made from the value."""
    return pulumi.Output.all(value, *others).apply(lambda known: known[0])


def unless_refused(value: pulumi.Input[Value], allowed: pulumi.Output[Any]) -> pulumi.Output[Value]:
    """`value` once `allowed` has settled; fails if `allowed` fails. Unlike with `known_after`, the value is known even
    in previews where `allowed` is not: an unknown namespace would look like a replacement."""
    found: pulumi.Output[Value] = pulumi.Output.from_input(value)

    async def settled() -> Value:
        await allowed.future()
        return cast("Value", await found.future())

    return pulumi.Output(found.resources(), asyncio.ensure_future(settled()), found.is_known(), found.is_secret())
