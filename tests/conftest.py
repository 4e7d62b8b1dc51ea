"""What every test may rely on."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pulumi.runtime import resource
from pulumi.runtime.proto import source_pb2

from tests import seeds

# The duration of an example says more about the rest of the machine's load than about the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A gate must give the same verdict each time: new examples are sought only where a person sees what they find.
settings.register_profile("repeatable", settings.get_profile("here"), derandomize=True, database=None)
settings.load_profile("repeatable" if os.environ.get("REPEATABLE") else "here")


def pytest_configure() -> None:
    seeds.settle()


def pytest_report_header() -> str:
    return f"kills at random: {seeds.VARIABLE}={seeds.seed()} repeats them"


UNIT = Path(__file__).parent / "unit"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test in `tests/unit` as a unit test, even if its module does not, so that `-m unit` leaves none out.

    Modules that wait for processes come first, longest first, so that parallel workers finish together.
    """
    for item in items:
        if UNIT in item.path.parents:
            item.add_marker(pytest.mark.unit)
    sizes = {path: path.stat().st_size for path in {item.path for item in items}}
    items.sort(
        key=lambda item: (
            item.get_closest_marker("engine") is None,
            item.get_closest_marker("long") is None,
            -sizes[item.path],
        )
    )


def pytest_collection_finish() -> None:
    """Freezes what is loaded by now, so that the collector need not walk the SDKs again every few tests.

    Also skips the source lines that the SDK sends to the engine with each resource: under a test runner these take a
    fifth of a program's time, and no test looks at them.
    """
    gc.collect()
    gc.freeze()
    resource._get_stack_trace = source_pb2.StackTrace


@pytest.fixture(autouse=True)
def _current_event_loop() -> Iterator[None]:
    """Pulumi's SDK needs a current event loop; `asyncio.run` in an earlier test leaves none.

    Anything a test left unawaited ends with the loop; the interpreter would otherwise complain of each at exit.
    """
    try:
        asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
    yield
    try:
        loop = asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        return
    left = [] if loop.is_closed() else asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
