"""Order by data: a value that is there only after others, for what is made from it to wait for them."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar, cast

import pulumi

Value = TypeVar("Value")


def known_after(value: pulumi.Input[Value], *others: pulumi.Input[Any]) -> pulumi.Output[Value]:
    """`value`, known once `others` are, and secret if one of them is. Where one of them fails, as a guard does that
    refuses this run, nothing is made from it."""
    return pulumi.Output.all(value, *others).apply(lambda known: known[0])


def unless_refused(value: pulumi.Input[Value], allowed: pulumi.Output[Any]) -> pulumi.Output[Value]:
    """`value` once `allowed` is settled, failing as it does. Unlike `known_after`, known in previews that do not know
    `allowed` yet: a namespace that is not known would look like a replacement."""
    found: pulumi.Output[Value] = pulumi.Output.from_input(value)

    async def settled() -> Value:
        await allowed.future()
        return cast("Value", await found.future())

    return pulumi.Output(found.resources(), asyncio.ensure_future(settled()), found.is_known(), found.is_secret())
