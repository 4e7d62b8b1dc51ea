"""Order by data: a value that is there only after others, for what is made from it to wait for them."""

from __future__ import annotations

from typing import Any, TypeVar

import pulumi

Value = TypeVar("Value")


def known_after(value: pulumi.Input[Value], *others: pulumi.Input[Any]) -> pulumi.Output[Value]:
    """`value`, known once `others` are, and secret if one of them is. Where one of them fails, as a guard does that
    refuses this run, nothing is made from it."""
    return pulumi.Output.all(value, *others).apply(lambda known: known[0])
