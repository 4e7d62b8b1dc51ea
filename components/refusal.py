"""How the program is run, and how a run ends that it refuses: with its one error, and nothing of the engine's own after
it.

For `__main__.py` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pulumi
from pulumi.runtime import stack as sdk
from pulumi.runtime.sync_await import _sync_await

# By this code a program tells the engine's Python host that the error has been shown. By any other the engine adds that
# an unhandled error occurred, which is neither true nor of use. Of the host's and its executor's source, since 2018.
ALREADY_SHOWN = 32

Program = Callable[[], Awaitable[None]]


def run(program: Program) -> None:
    """Return when `program` has ended; what it registers is sent meanwhile. A RunError ends the run as any error does,
    shown once: one of the program's own, and one in what it has made.

    Not by `pulumi.run`: that is for the engine's host alone, and refuses the mocks of unit tests (3.272). By the SDK's
    own way to wait in a program, as its functions do that look something up.
    """
    with _shown_once():
        _sync_await(program())
    _watch_the_rest()


@contextmanager
def _shown_once() -> Iterator[None]:
    try:
        yield
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        raise SystemExit(ALREADY_SHOWN) from error


def _watch_the_rest() -> None:
    """What is refused once a value is known, as by the ledger, fails where the SDK (3.272) waits for all that a program
    has left it to do, right after the program. That one wait is watched, and the next program's is the SDK's own."""
    wait = sdk.wait_for_rpcs

    async def watched(await_all_outstanding_tasks: bool = True) -> None:
        setattr(sdk, "wait_for_rpcs", wait)  # noqa: B010 - a function of a module has no other way for a type checker
        with _shown_once():
            await wait(await_all_outstanding_tasks)

    setattr(sdk, "wait_for_rpcs", watched)  # noqa: B010 - as above
