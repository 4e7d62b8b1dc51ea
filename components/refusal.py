"""How the program is run, and how a run ends that it refuses: with its one error, and nothing of the engine's own after
it.

For `__main__.py` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pulumi
from pulumi.runtime.sync_await import _sync_await

# By this code a program tells the engine's Python host that the error has been shown. By any other the engine adds that
# an unhandled error occurred, which is neither true nor of use. Of the host's and its executor's source, since 2018.
ALREADY_SHOWN = 32

Program = Callable[[], Awaitable[None]]


def run(program: Program) -> None:
    """Return when `program` has ended; what it registers is sent meanwhile. A RunError ends the run as any error does,
    shown once.

    Not by `pulumi.run`: that is for the engine's host alone, and refuses the mocks of unit tests (3.272). By the SDK's
    own way to wait in a program, as its functions do that look something up.
    """
    try:
        _sync_await(program())
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        raise SystemExit(ALREADY_SHOWN) from error
