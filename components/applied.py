"""Tells whether this run really applied what the settings ask of a resource. Pulumi does not say: a resource left out
by `--target` or `--exclude` stays as it was or does not exist, and `--continue-on-error` passes over one that failed.

The ledger records the settings as the state of the stack, so it must not record a run that left part of them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi

from components.known_after import known_after

Value = TypeVar("Value")


class LeftOutError(pulumi.RunError):
    """A resource is still as an earlier run left it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the settings change it, but this run leaves it as it was. The stack would record a step that it "
            "has not made: run the whole `up`, without --target and --exclude. With --continue-on-error, after another "
            "error: this waits for what failed there, so mend that one"
        )


def applied(what: str, asked: pulumi.Input[Any], found: pulumi.Input[Any]) -> pulumi.Output[bool]:
    """Resolves once `found`, an output of the resource `what`, equals `asked`.

    Fails the run with `LeftOutError` where it differs. An output that the plugin does not report counts as equal.
    """

    def check(resolved: list[Any]) -> bool:
        wanted, there = resolved
        if there is not None and there != wanted:
            raise LeftOutError(what)
        return True

    return pulumi.Output.all(asked, found).apply(check)


def made(resource: pulumi.CustomResource, output: pulumi.Output[Value]) -> pulumi.Output[Value]:
    """`output` of `resource`, unknown in a run that has not made the resource.

    For a resource left out before it was ever created, the engine returns its inputs, None for everything else, and no
    id. For one that failed it knows only the URN and the earlier id. For one that depends on a failed one, engines
    later than 3.250 return what a preview would know. So `output` must be one that no preview of a change knows, or
    `resource` must take an input from everything that it depends on.
    """
    return known_after(output, resource.id)


def unless_left_out(resource: pulumi.CustomResource, what: str) -> pulumi.Output[pulumi.Resource]:
    """`resource`, for the `depends_on` of a resource that the engine imports. The engine (3.250) imports that one even
    in a run that leaves it out, under a parent that it does not record, which breaks the state. Fails the run with
    `LeftOutError` where `resource`, a child of the same parent, is left out before it was ever created, or waits for a
    resource that failed."""

    async def checked() -> pulumi.Resource:
        if not pulumi.runtime.is_dry_run() and not await resource.id.is_known():
            raise LeftOutError(what)
        return resource

    return pulumi.Output.from_input(checked())


def or_recorded(value: Any, recorded: pulumi.Output[Any]) -> Any:
    """`value` for an export, or the `recorded` one where this run has not made the resource behind `value`: the engine
    would store a placeholder instead. In previews such a value stays unknown."""
    if pulumi.runtime.is_dry_run():
        return value
    if isinstance(value, Mapping):
        return {key: or_recorded(item, _member(recorded, key)) for key, item in value.items()}
    if not isinstance(value, pulumi.Output):
        return value
    output: pulumi.Output[Any] = value

    async def chosen() -> pulumi.Output[Any]:
        return output if await output.is_known() else recorded

    choice = asyncio.ensure_future(chosen())

    async def content() -> Any:
        return await (await choice).future()

    async def known() -> bool:
        await choice
        return True

    async def secret() -> bool:
        return await (await choice).is_secret()

    return pulumi.Output(
        output.resources(),
        asyncio.ensure_future(content()),
        asyncio.ensure_future(known()),
        asyncio.ensure_future(secret()),
    )


def _member(recorded: pulumi.Output[Any], key: str) -> pulumi.Output[Any]:
    return recorded.apply(lambda found: found.get(key) if isinstance(found, Mapping) else None)
