"""A fault strikes only at its point, leaves the operation unchanged, and kills the engine with every process that it
started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.plugins import faults
from sandbox.plugins.faults import VARIABLE, Faults, Point
from sandbox.processes import identify

pytestmark = pytest.mark.unit

SECRET = "kubernetes:core/v1:Secret"
URN = f"urn:pulumi:dev::project::parent:index:Parent${SECRET}::credentials-tls"


class Story:
    """The order of events around one operation."""

    def __init__(self, directory: Path, *lines: str) -> None:
        self.file = directory / "faults"
        self.file.write_text("\n".join(lines))
        self.events: list[str] = []
        self.faults = Faults(self.file, self.events.append)

    def operate(self, operation: str = "create", urn: str = URN, seconds: float = 0) -> list[str]:
        def act() -> str:
            time.sleep(seconds)
            self.events.append("done")
            return "result"

        assert self.faults.around(urn, SECRET, operation, act) == "result"
        return self.events

    def struck(self) -> list[str]:
        return self.file.with_name("faults.struck").read_text().splitlines()


def test_without_the_variable_nothing_ever_strikes() -> None:
    assert Faults.from_environment({}).around(URN, SECRET, "create", lambda: 1) == 1


def test_a_point_is_before_or_after_the_operation_and_is_noted(tmp_path: Path) -> None:
    story = Story(tmp_path, f"{SECRET} create before", "credentials-tls create after plugin", "")
    assert story.operate() == ["engine", "done", "plugin"]
    assert story.struck() == [f"{SECRET} create before engine", "credentials-tls create after plugin"]


@pytest.mark.slow
def test_a_point_within_a_long_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "DURING_SECONDS", 0.05)
    assert Story(tmp_path, f"{SECRET} create during").operate(seconds=0.5) == ["engine", "done"]


@pytest.mark.slow
def test_an_operation_that_is_over_has_no_moment_within_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "DURING_SECONDS", 0.1)
    story = Story(tmp_path, f"{SECRET} create during")
    story.operate()
    time.sleep(0.2)
    assert story.events == ["done"]


def test_a_point_between_the_calls_of_one_operation(tmp_path: Path) -> None:
    story = Story(tmp_path, f"{SECRET} create between")

    def act() -> str:
        story.events.append("made")
        faults.between_calls()
        story.events.append("finished")
        return "result"

    assert story.faults.around(URN, SECRET, "create", act) == "result"
    assert story.events == ["made", "engine", "finished"]
    # The point is not in this thread's next operation.
    assert story.faults.around(URN, SECRET, "delete", act) == "result"
    faults.between_calls()
    assert story.events == ["made", "engine", "finished", "made", "finished"]


@pytest.mark.parametrize("line", [f"{SECRET} update after", "credentials create after", "kubernetes create before"])
def test_another_operation_or_resource_is_left_alone(tmp_path: Path, line: str) -> None:
    assert Story(tmp_path, line).operate() == ["done"]


def test_an_operation_that_fails_fails_as_ever(tmp_path: Path) -> None:
    story = Story(tmp_path, f"{SECRET} create after")

    def act() -> None:
        raise LookupError("there is no such namespace")

    with pytest.raises(LookupError):
        story.faults.around(URN, SECRET, "create", act)
    assert story.events == []


@pytest.mark.parametrize("line", ["Secret create", "Secret make before", "Secret create soon", "a create before b c"])
def test_a_point_that_is_misspelt_is_an_error(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="is no point"):
        Story(tmp_path, line)


def test_a_point_reads_as_it_is_written() -> None:
    point = Point(SECRET, "delete", "after")
    assert Point.parse(str(point)) == point


def test_the_engine_dies_with_all_that_it_started_and_cannot_see_its_plugin_go(tmp_path: Path) -> None:
    """A shell stands for the engine; it has started another program beside the plugin."""
    (tmp_path / "faults").write_text(f"{SECRET} create before\n")
    plugin = (
        "from sandbox.plugins.faults import Faults; import os; print(os.getpid(), flush=True); "
        f"Faults.from_environment().around({URN!r}, {SECRET!r}, 'create', lambda: print('made', flush=True))"
    )
    # A file, because the shell would parse a long -c text differently.
    (tmp_path / "plugin.py").write_text(plugin)
    script = f"sleep 600 & echo $!; {sys.executable} {tmp_path}/plugin.py; echo seen"
    engine = subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, VARIABLE: str(tmp_path / "faults"), "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
    )
    output, _ = engine.communicate(timeout=30)
    assert engine.returncode == -signal.SIGKILL
    other, own = output.split()
    deadline = time.monotonic() + 5
    while any(identify(int(pid)) for pid in (other, own)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [identify(int(other)), identify(int(own))] == [None, None]
    assert (tmp_path / "faults.struck").read_text() == f"{SECRET} create before engine\n"
