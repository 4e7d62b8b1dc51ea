"""Whether a resource is what this run asked for: one that `--target` or `--exclude` leaves out stays as it was, and the
engine says so nowhere.

What the stack remembers of a run (`ledger`) is taken from the settings, so that nothing may be remembered of a run that
left out what they say.
"""

from typing import Any

import pulumi


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
