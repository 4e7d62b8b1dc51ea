"""The program by itself: from the start of the interpreter to the last registration, with no engine behind it.

`python -m bench.alone program` runs it before the tests' recording monitor, `modules` prints which of the SDKs' modules
that loaded, and `imports` only imports those. `clusters <numbers>` prints what a run with that many Teleport clusters
takes once everything is loaded. What the monitor does counts as the program's.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

SDKS = ("pulumi", "pulumi_aws", "pulumi_kubernetes", "pulumi_random", "pulumi_tls")


def run_program(clusters: int = 1, directory: Path | None = None) -> int:
    """One run with the default configuration of mode rds and that many Teleports; how many resources it registers."""
    # Only here: `imports` does without.
    from tests.samples import TELEPORT_CLUSTER
    from tests.unit.program import stack

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
    """Processor time of a run with each number of Teleport clusters, in a process that has loaded everything."""
    run_program()
    gc.collect()
    gc.freeze()
    found = []
    for number in numbers:
        began = time.process_time()
        run_program(number)
        found.append(time.process_time() - began)
    return found


def loaded_modules() -> list[str]:
    """The SDKs' modules that are loaded now. One that waits for its first use is of another type until then."""
    return sorted(
        name for name, module in sys.modules.items() if name.partition(".")[0] in SDKS and type(module) is ModuleType
    )


def main(arguments: list[str]) -> None:
    what = arguments[0]
    if what == "program":
        run_program()
    elif what == "modules":
        run_program()
        print(json.dumps(loaded_modules()))
    elif what == "imports":
        for name in json.loads(arguments[1]):
            importlib.import_module(name)
        # The program does it too: neither side's row is of the interpreter's end.
        gc.freeze()
    elif what == "clusters":
        print(json.dumps(seconds_of([int(argument) for argument in arguments[1:]])))
    else:
        raise SystemExit(f"{what} is none of program, modules, imports, clusters")


if __name__ == "__main__":
    main(sys.argv[1:])
