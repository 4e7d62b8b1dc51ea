"""What the program may cost: modules loaded, calls made, memory and time, with some room for honest growth.

Counts and memory are nearly the same in every run. Time is processor time relative to the machine's own imports, and
the best of a few runs, so that other load on the machine does not fail a test.
"""

from __future__ import annotations

import cProfile
import runpy
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.alone import importing, modules_of, of_sdks, program_process
from bench.flat_program import write
from bench.measuring import Command, python
from components.short_run import SDK_DEBUG_VARIABLE, stack_without_text
from sandbox.home import CHECKOUT
from tests.unit.bench.states import exported
from tests.unit.monitor import PROJECT, Recording, record
from tests.unit.program.stack import COMPUTED, configuration, run_program

pytestmark = pytest.mark.unit

# Measured 1.33 (time) and 1.39 (memory) when the limits were set.
TIME_TO_IMPORTS = 1.7
MEMORY_TO_IMPORTS = 1.45
# Measured 1.6: what components and settings add to a flat program with the same resources.
CALLS_TO_FLAT = 2.0
# Modules of the four SDKs: 343 when the limit was set.
SDK_MODULES = 370
TRIES = 4


@pytest.fixture(scope="module")
def program() -> Iterator[Command]:
    with program_process() as found:
        yield found


@pytest.fixture(scope="module")
def modules(program: Command) -> list[str]:
    return of_sdks(modules_of(program))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budget")


@pytest.fixture(scope="module")
def stack(directory: Path) -> Recording:
    return run_program(configuration(directory), directory)


def test_the_default_stack_has_these_many_resources(stack: Recording) -> None:
    components = [item for item in stack.registrations if not item.custom]
    providers = [item for item in stack.registrations if item.type.startswith("pulumi:providers:")]
    assert (len(stack.custom()), len(components), len(providers)) == (34, 8, 2)


@pytest.mark.slow
def test_no_module_of_the_sdks_is_loaded_for_nothing(modules: list[str]) -> None:
    resources = [name for name in modules if not name.startswith("pulumi.")]
    assert [name for name in resources if name.startswith("pulumi_aws.ec2")] == []
    assert len(resources) <= SDK_MODULES


@pytest.mark.slow
def test_the_program_takes_little_more_than_its_imports(program: Command, modules: list[str]) -> None:
    imports = importing(modules)
    ours, theirs = [program.usage()], [imports.usage()]
    while min(ours)[0] > TIME_TO_IMPORTS * min(theirs)[0] and len(ours) < TRIES:
        ours.append(program.usage())
        theirs.append(imports.usage())
    assert min(ours)[0] <= TIME_TO_IMPORTS * min(theirs)[0], (ours, theirs)
    assert min(memory for _, memory in ours) <= MEMORY_TO_IMPORTS * min(memory for _, memory in theirs)


# Runs the program in a process of its own and prints three things: whether the database's modules were already loaded
# when AWS's provider was registered, how many of the program's own files had their text read, and how many objects were
# frozen, hidden from the garbage collector, at the end. Exit handlers run in reverse order, so the one registered first
# sees the end.
START_AND_END = """
import atexit, gc, linecache, sys, tempfile
from pathlib import Path
from tests.unit.program import stack

# An entry of one item is a file that was not read yet.
read = lambda: [file for file, entry in linecache.cache.items() if len(entry) > 1 and "/components/" in file]
atexit.register(lambda: print(len(read()), gc.get_freeze_count()))
seen = {"seen": lambda _: print("components.rds_assembly" in sys.modules)}
computed = {**stack.COMPUTED, "pulumi:providers:aws": seen}
with tempfile.TemporaryDirectory() as directory:
    stack.run_program(stack.configuration(Path(directory)), Path(directory), computed=computed)
"""


@pytest.mark.slow
def test_the_engine_hears_of_the_providers_while_the_rest_is_loaded_and_the_end_walks_no_objects() -> None:
    loaded, files_read, frozen = python(CHECKOUT, "-c", START_AND_END).output().split()
    assert loaded == "False"
    assert files_read == "0"
    assert int(frozen) > 100_000


def test_a_stack_without_text_is_that_of_the_standard_library() -> None:
    ours, theirs = stack_without_text(), traceback.extract_stack()
    assert ours[:-1] == theirs[:-1]
    assert [frame.line for frame in ours[-3:]] == [frame.line for frame in theirs[-3:]]
    assert stack_without_text(limit=1)[0].name == theirs[-1].name


# Each case runs the program in a process of its own, against a server that counts messages: once as a user runs it,
# once with the debug messages asked for.
@pytest.mark.slow
@pytest.mark.parametrize(("asked", "messages"), [({}, 0), ({SDK_DEBUG_VARIABLE: "true"}, 4)])
def test_the_sdks_debug_messages_are_sent_to_who_asks_for_them(asked: dict[str, str], messages: int) -> None:
    recording = Recording()
    with program_process(recording) as program:
        replace(program, environment={**program.environment, **asked}).output()
    debug = [text for text in recording.said if text not in (*recording.notices, *recording.warnings)]
    assert len(recording.custom()) > 30
    # The stack itself is registered before the program begins, and that sends one message.
    assert len(debug) >= messages * len(recording.custom()) if asked else len(debug) <= 1


@pytest.mark.slow
def test_components_and_settings_add_little_to_a_flat_program(stack: Recording, directory: Path) -> None:
    write(exported(stack)["deployment"], PROJECT, directory / ".venv", directory)
    flat = calls(lambda: record(lambda: runpy.run_path(str(directory / "__main__.py")) and None, computed=COMPUTED))
    ours = calls(lambda: run_program(configuration(directory), directory))
    assert ours <= CALLS_TO_FLAT * flat


def calls(action: Callable[[], object]) -> int:
    """The number of function calls of an action. A first run loads the modules, so that only the second is counted."""
    action()
    profile = cProfile.Profile()
    profile.enable()
    try:
        action()
    finally:
        profile.disable()
    return sum(entry.callcount for entry in profile.getstats())
