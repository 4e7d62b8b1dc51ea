"""The program by itself: from the start of the interpreter to the last registration, with no engine behind it.

`program_process` starts the program as the engine's Python host does, connected to the tests' recording monitor, a
server in the caller's process. `python -m bench.alone <numbers>` prints how long a run with each number of Teleport
clusters takes once everything is loaded; there the monitor's time counts as the program's.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.measuring import Command
from sandbox.home import CHECKOUT
from sandbox.plugins.language.host import PROGRAM_RUNNER
from tests.samples import TELEPORT_CLUSTER
from tests.unit.engine_side import Recorder, engine_side
from tests.unit.monitor import PROJECT, STACK, Recording, configuration_by_key
from tests.unit.program import stack

SDKS = ("pulumi", "pulumi_aws", "pulumi_kubernetes", "pulumi_random", "pulumi_tls")


@contextmanager
def program_process(recording: Recording | None = None) -> Iterator[Command]:
    """The command that runs the program with mode rds' default configuration; `recording` gets what it registers."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        by_key = configuration_by_key(stack.configuration(directory))
        environment = os.environ | {"PULUMI_CONFIG": json.dumps(by_key), "PULUMI_CONFIG_SECRET_KEYS": "[]"}
        with engine_side(Recorder(recording or Recording(), False, stack.COMPUTED, {})) as address:
            given = {"monitor": address, "engine": address, "project": PROJECT, "stack": STACK, "pwd": temporary}
            options = [part for name, value in given.items() for part in (f"--{name}", value)]
            yield Command(
                [sys.executable, PROGRAM_RUNNER, *options, "--parallel", "16", CHECKOUT], directory, environment
            )


def run_program(clusters: int = 1, directory: Path | None = None) -> int:
    """One run with mode rds' default configuration and that many Teleports; returns how many resources it registers."""
    if directory is None:
        with tempfile.TemporaryDirectory() as temporary:
            return run_program(clusters, Path(temporary))
    config = stack.configuration(directory)
    entry = config["teleport"][TELEPORT_CLUSTER]
    for number in range(1, clusters):
        name = f"teleport-{number}.example.com"
        authority = {"mode": "inline", "certificates": [stack.host_authority(name)]}
        own = {"namespace": f"teleport-{number}", "release": f"teleport-{number}", "hostAuthorities": authority}
        own["valuesFiles"] = [stack.values_file(directory, name)]
        config["teleport"][name] = {**entry, **own}
    return len(stack.run_program(config, directory).custom())


def seconds_of(numbers: list[int]) -> list[float]:
    """Processor time of a run with each number of Teleport clusters, in a process that has loaded everything.

    Garbage is collected between runs, outside the measurement: the real program ends before that.
    """
    run_program()
    gc.disable()
    found = []
    for number in numbers:
        gc.collect()
        gc.freeze()
        began = time.process_time()
        run_program(number)
        found.append(time.process_time() - began)
    return found


def of_sdks(modules: list[str]) -> list[str]:
    return [name for name in modules if name.partition(".")[0] in SDKS]


def modules_of(program: Command) -> list[str]:
    """The modules of installed packages that a run loads, by name: the SDKs' and all other libraries'."""
    listing = replace(program, arguments=[sys.executable, CHECKOUT / "bench" / "modules.py", *program.arguments[1:]])
    found: list[str] = json.loads(listing.output())
    return found


def importing(modules: list[str]) -> Command:
    """The command that imports only those modules."""
    return Command([sys.executable, CHECKOUT / "bench" / "imports.py", json.dumps(modules)], CHECKOUT)


if __name__ == "__main__":
    print(json.dumps(seconds_of([int(argument) for argument in sys.argv[1:]])))
