"""Whether a resource is what this run asked for: one that `--target` or `--exclude` leaves out stays as it was, or is
not there at all, and one that failed is passed over by `--continue-on-error`. The engine says so nowhere.

What the stack remembers of a run (`ledger`) is taken from the settings, so that nothing may be remembered of a run that
left out what they say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi

from components.known_after import known_after

Value = TypeVar("Value")


class LeftOutError(pulumi.RunError):
    """Something is still as a run before left it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: this run leaves it as it was, and the settings have changed it. Without it the stack would "
            "remember a step that it has not made: run the whole `up`, without --target and --exclude"
        )


def applied(what: str, asked: pulumi.Input[Any], found: pulumi.Input[Any]) -> pulumi.Output[bool]:
    """Resolves once `found`, which is an output of `what`, is as it was `asked` for.

    Fails the run with `LeftOutError` where it is not. What a plugin does not tell counts as done.
    """

    def check(resolved: list[Any]) -> bool:
        wanted, there = resolved
        if there is not None and there != wanted:
            raise LeftOutError(what)
        return True

    return pulumi.Output.all(asked, found).apply(check)


def made(resource: pulumi.CustomResource, output: pulumi.Output[Value]) -> pulumi.Output[Value]:
    """`output` of `resource`, not known in a run that has not made it.

    Of what is left out before it ever was made the engine gives back the inputs, and None for all the rest, but no id.
    Of what failed it knows nothing but the URN, and the id of before; of what waits for that, engines later than 3.250
    what a preview would know. So `output` is one that no preview of a change knows, or `resource` takes as an input
    something of all that it waits for.
    """
    return known_after(output, resource.id)


def unless_left_out(resource: pulumi.CustomResource, what: str) -> pulumi.Output[pulumi.Resource]:
    """`resource`, for `depends_on` of something that the engine imports: it does so in a run that leaves that out too,
    beneath a parent that it then does not record, and the state is broken (3.250). Fails the run with `LeftOutError`
    where `resource`, of the same parent, is left out before it ever was made."""

    async def checked() -> pulumi.Resource:
        if not pulumi.runtime.is_dry_run() and not await resource.id.is_known():
            raise LeftOutError(what)
        return resource

    return pulumi.Output.from_input(checked())


def or_recorded(value: Any, recorded: pulumi.Output[Any]) -> Any:
    """`value` to export, or what is `recorded` of it where a run has not made what it is of: the engine would keep a
    placeholder in its place. Previews say that it is not known."""
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
