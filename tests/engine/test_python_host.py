"""The program under the engine's official Python host, whose executor starts it, ends it and shows its errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import RunningSandbox
from tests.engine.python_host import HOST, hosted, python_host
from tests.engine.stacks import OwnStack, own_stack

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the host and its executor."""
    return python_host(tmp_path_factory.mktemp("host"))


class HostedStack(OwnStack):
    """A stack whose program the host in `directory` runs."""

    directory: Path

    def environment(self) -> dict[str, str]:
        return hosted(super().environment(), self.directory)


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox, host: Path) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "hosted"):
        stack = HostedStack(running_sandbox, "hosted")
        stack.directory = host
        said = stack.pulumi("up")
        assert f"using {HOST.name} from $PATH at {host / HOST.name}" in said.stdout + said.stderr
        yield stack


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
