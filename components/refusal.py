"""Runs the program, and ends a refused run with its one error and no further message of the engine.

For `__main__.py` alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pulumi
from pulumi.runtime import stack as sdk
from pulumi.runtime.sync_await import _sync_await

# With this exit code a program tells the engine's Python host that its error has been shown. After any other code the
# engine reports an unhandled error as well, which would be untrue. From the source of the host and its executor, since
# 2018.
ALREADY_SHOWN = 32

Program = Callable[[], Awaitable[None]]


def run(program: Program) -> None:
    """Return when `program` has ended; its registrations are sent meanwhile. A RunError ends the run, shown once,
    whether the program raises it or an Output that the program has made.

    `pulumi.run` is not used: it is for the engine's host alone, and refuses the mocks of unit tests (3.272). This waits
    as the SDK's own lookup functions do inside a program.
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
    """A refusal that depends on a value, such as the ledger's, fails where the SDK (3.272) waits for outstanding work
    right after the program. Only that one wait is watched; the next program gets the SDK's own function."""
    wait = sdk.wait_for_rpcs

    async def watched(await_all_outstanding_tasks: bool = True) -> None:
        setattr(sdk, "wait_for_rpcs", wait)  # noqa: B010 - a function of a module has no other way for a type checker
        with _shown_once():
            await wait(await_all_outstanding_tasks)

    setattr(sdk, "wait_for_rpcs", watched)  # noqa: B010 - as above
