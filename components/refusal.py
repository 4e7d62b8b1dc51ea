"""How a run ends that the program refuses: with its one error, and nothing of the engine's own after it.

For `__main__.py` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pulumi

# By this code a program tells the engine's Python host that the error has been shown. By any other the engine adds that
# an unhandled error occurred, which is neither true nor of use. Of the host's and its executor's source, since 2018.
ALREADY_SHOWN = 32

Program = Callable[[], Awaitable[None]]


def refusing(program: Program) -> Program:
    """`program`, ended by a RunError as by any error, and shown once."""

    async def run() -> None:
        try:
            await program()
        except pulumi.RunError as error:
            pulumi.log.error(str(error))
            raise SystemExit(ALREADY_SHOWN) from error

    return run
