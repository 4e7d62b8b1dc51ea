"""What every test may count on."""

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

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A gate lets through what it let through before: new examples are looked for where a person sees what they find.
settings.register_profile("repeatable", settings.get_profile("here"), derandomize=True, database=None)
settings.load_profile("repeatable" if os.environ.get("REPEATABLE") else "here")


def pytest_configure() -> None:
    seeds.settle()


def pytest_report_header() -> str:
    return f"kills at random: {seeds.VARIABLE}={seeds.seed()} repeats them"


UNIT = Path(__file__).parent / "unit"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stands in `tests/unit` is a unit test, whether its module says so or not: `-m unit` is to leave none out.

    Modules that wait for processes come first, the longer the earlier: beside each other, they end together."""
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
    """What is loaded by now stays until the end: the collector need not walk the SDKs again for every few tests.

    And the SDK sends the engine the lines of code that a resource was made by: under a test runner these are many, a
    fifth of a program's time, and no test looks at them.
    """
    gc.collect()
    gc.freeze()
    resource._get_stack_trace = source_pb2.StackTrace


@pytest.fixture(autouse=True)
def _current_event_loop() -> Iterator[None]:
    """Pulumi's SDK asks for a current event loop; `asyncio.run` in an earlier test leaves none.

    What a test left behind for nobody to await ends with it, or the interpreter would complain of each at its own end.
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
