"""`python -m operations fleet` on the real engine: several environments of one sandbox, one of them refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT
from tests.engine.conftest import COMMAND_SECONDS, Finished, RunningSandbox
from tests.engine.stacks import OwnStack, Settings, own_stack

pytestmark = pytest.mark.engine

PARALLEL = 4


@contextmanager
def environments(sandbox: RunningSandbox, names: Sequence[str]) -> Iterator[dict[str, OwnStack]]:
    """Configured stacks of which nothing is deployed, with namespaces and databases of their own."""
    with ExitStack() as stacks:
        yield {name: stacks.enter_context(own_stack(sandbox, name)) for name in names}


def fleet(
    sandbox: RunningSandbox, stacks: dict[str, OwnStack], directory: Path, *arguments: str, code: int = 0
) -> Finished:
    """Runs `operations fleet` on configurations in one directory, as they lie beside a program."""
    configurations = directory / "configurations"
    configurations.mkdir(exist_ok=True)
    for name, stack in stacks.items():
        shutil.copy(stack.configuration, configurations / f"Pulumi.{name}.yaml")
    options = ["--all", "--config-directory", str(configurations), "--logs", str(directory / "logs")]
    environment = {name: value for name, value in sandbox.environment().items() if name != "PULUMI_STACK"}
    done = subprocess.run(
        [sys.executable, "-m", "operations", "fleet", *arguments, *options],
        cwd=CHECKOUT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def selections(sandbox: RunningSandbox) -> dict[str, str]:
    """The selected stack of each program, as the engine records it."""
    return {file.name: file.read_text() for file in (sandbox.home.pulumi / "workspaces").glob("*.json")}


def test_one_environment_that_is_refused_stops_no_other(running_sandbox: RunningSandbox, tmp_path: Path) -> None:
    def misspelt(settings: Settings) -> None:
        settings["accessGraph"]["replica"] = 3

    with environments(running_sandbox, ["fleet-a", "fleet-b", "fleet-c"]) as stacks:
        stacks["fleet-b"].change(misspelt)
        selected = selections(running_sandbox)
        done = fleet(running_sandbox, stacks, tmp_path, "preview", "--parallel", str(PARALLEL), code=1)
        lines = done.stdout.splitlines()
        status = {line.split()[0]: line.split()[1] for line in lines[:3]}
        assert status == {"fleet-a": "ok", "fleet-b": "FAILED", "fleet-c": "ok"}
        for line in lines[:3]:
            assert line.startswith("fleet-b") or line.endswith(" create"), line
        assert lines[3] == "2 of 3 went well"
        assert lines[4] == "fleet-b: accessGraph.replica: is not a setting; did you mean replicas?"
        log = tmp_path / "logs" / "fleet-b.log"
        assert lines[5:] == [f"  log: {log}"]
        assert "accessGraph.replica: is not a setting; did you mean replicas?" in log.read_text()
        # Previewing many stacks has made nothing, and has selected no other stack.
        assert selections(running_sandbox) == selected
        assert running_sandbox.get("namespace", stacks["fleet-a"].namespace, "--ignore-not-found") == {}
