"""`make bench`: measures every row on a sandbox of its own and writes results.json and results.svg beside this file."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import figures
from bench.measuring import BenchError, Figure
from bench.results import write_results
from sandbox.home import CHECKOUT, Cache
from sandbox.plugins.download import plugin_caches
from sandbox.plugins.install import install_plugins
from tests.engine.conftest import EngineFailed, RunningSandbox

HERE = Path(__file__).resolve().parent
GROUPS = {
    "alone": "program alone",
    "clusters": "clusters",
    "deployed": "deployed stack",
    "terraform": "terraform",
    "set-up": "set-up",
    "nothing": "from nothing",
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The speed figures, as ratios.")
    parser.add_argument("--runs", type=at_least_one, default=7, help="measurements of each side (default: 7)")
    parser.add_argument(
        "--cold-runs", type=at_least_one, default=3, help="the same for what takes a sandbox each (default: 3)"
    )
    parser.add_argument("--only", choices=GROUPS, help="that group, and the other rows stay")
    parser.add_argument("--output", type=Path, default=HERE, help="where results.json and results.svg go")
    options = parser.parse_args(arguments)
    plugins: list[dict[str, str]] = []

    def measure(group: str, rows: Callable[[], list[Figure]]) -> None:
        """Write each group as it ends: later groups take long and may fail."""
        if options.only not in (None, group):
            return
        print(GROUPS[group], flush=True)
        began = time.monotonic()
        found = rows()
        for figure in found:
            sign = "reached" if figure.reached else "MISSED"
            print(f"  {figure.ratio:7.3f}  {sign:<7} (reach {figure.reach:g})  {figure.name}", flush=True)
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
        write_results(options.output, found, plugins)

    def deployed() -> list[Figure]:
        with figures.measured_sandbox() as running:
            plugins.extend(_plugins(running))
            running.pulumi("up")
            rows = figures.unchanged_stack(running, options.runs)
            rows += figures.writes_of_nothing(running)
            rows += figures.replicas_changed(running, options.cold_runs)
            return rows + figures.environments_at_once(running, options.cold_runs)

    def terraform() -> list[Figure]:
        with figures.measured_sandbox() as running:
            running.pulumi("up")
            return figures.against_terraform(running, options.runs, options.cold_runs)

    try:
        measure("alone", lambda: figures.program_alone(options.runs))
        measure("clusters", lambda: figures.clusters_on_one_access_graph(options.runs))
        measure("deployed", deployed)
        measure("terraform", terraform)
        measure("set-up", figures.set_up)
        measure("nothing", lambda: figures.from_nothing(options.cold_runs, lambda line: print(line, flush=True)))
    except (BenchError, EngineFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1: there would be no median")
    return number


def _plugins(running: RunningSandbox) -> list[dict[str, str]]:
    """As the sandbox chose them: choosing again changes nothing."""
    caches = plugin_caches(Cache.from_environment().root)
    chosen = install_plugins(running.home.root, Path(sys.executable), CHECKOUT, caches)
    return [{"name": one.name, "version": one.version, "source": one.source} for one in chosen]


if __name__ == "__main__":
    sys.exit(main())
