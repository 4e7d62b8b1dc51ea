"""The program under the engine's official Python host, whose executor starts it, ends it and shows its errors.

The host is of 2023, the newest in a Go module. The executor, with which the program itself deals, is current.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.home import Cache
from sandbox.toolchain.tools import GoProgram
from tests.engine.conftest import RunningSandbox
from tests.engine.go_programs import built
from tests.engine.stacks import OwnStack, own_stack
from tests.published import PYTHON_EXECUTOR, fetched

pytestmark = pytest.mark.engine

HOST = GoProgram(
    name="pulumi-language-python",
    title="Pulumi's Python host",
    version="3.68.0",
    module="github.com/pulumi/pulumi/sdk/v3",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    expected_seconds=60,
    workspace="python-host",
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the host and its executor."""
    program = built(Cache.from_environment(), HOST)
    directory = tmp_path_factory.mktemp("host")
    # Copies, because the host looks for its executor beside its own file, even if it is started by a link.
    for source in (program, fetched(PYTHON_EXECUTOR) / f"{HOST.name}-exec"):
        shutil.copyfile(source, directory / source.name)
        (directory / source.name).chmod(0o755)
    return directory


class HostedStack(OwnStack):
    """A stack whose program the host in `directory` runs."""

    directory: Path

    def environment(self) -> dict[str, str]:
        environment = super().environment()
        return {**environment, "PATH": f"{self.directory}{os.pathsep}{environment['PATH']}"}


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox, host: Path) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "hosted"):
        hosted = HostedStack(running_sandbox, "hosted")
        hosted.directory = host
        said = hosted.pulumi("up")
        assert f"using {HOST.name} from $PATH at {host / HOST.name}" in said.stdout + said.stderr
        yield hosted


def test_what_it_made_is_unchanged_in_the_next_run(stack: OwnStack) -> None:
    stack.pulumi("preview", "--expect-no-changes")
    stack.pulumi("up", "--expect-no-changes")
    assert stack.outputs()["endpoint"].startswith(f"teleport-access-graph.{stack.namespace}.")


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("replicas", 2, "many"),
        # A refusal because of the ledger, which is known only after the first resources are registered.
        ("createNamespace", True, False),
    ],
)
def test_a_refusal_is_one_error_without_a_traceback(stack: OwnStack, key: str, good: Any, bad: Any) -> None:
    stack.change(lambda settings: settings["accessGraph"].update({key: bad}))
    failed = stack.pulumi("preview", check=False)
    stack.change(lambda settings: settings["accessGraph"].update({key: good}))
    assert failed.returncode != 0
    _, _, diagnostics = failed.stdout.partition("Diagnostics:")
    assert f"accessGraph.{key}" in diagnostics
    assert "Traceback" not in failed.stdout + failed.stderr
    assert diagnostics.count("error:") == 1
