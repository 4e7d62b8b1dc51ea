"""Recover: a running engine is never disturbed, whoever started it and wherever it runs; a plugin whose engine is gone
is ended first."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from components.settings.names import PROJECT
from operations.engines import EngineProcess, abandoned_plugins, end_plugin, engine_processes, live_engines
from operations.recover import Recovery
from operations.stack import StackError
from tests.unit.operations.kubernetes_api import KubernetesApi
from tests.unit.operations.recover_world import (
    Programs,
    invoke,
)
from tests.unit.operations.world import settings


def process(number: int, directory: Path | None, command: str, **environment: str) -> EngineProcess:
    program, *arguments = command.split()
    return EngineProcess(number, program, [f"/usr/bin/{program}", *arguments], directory, environment)


def numbers(found: list[EngineProcess]) -> list[int]:
    return [one.number for one in found]


def test_a_running_engine_is_never_disturbed(tmp_path: Path, api: KubernetesApi, programs: Programs) -> None:
    project = tmp_path / "project"
    processes = [
        process(1, project, "pulumi up --yes"),
        process(2, tmp_path, "pulumi up --yes"),
        process(3, project, "pulumi stack output"),
        process(4, project, "pulumi-language-python up"),
    ]
    assert numbers(live_engines(processes, project, "test")) == [1]
    recovery = Recovery(settings=settings(tmp_path), stack="test", processes=lambda: processes, root=project)
    with pytest.raises(StackError, match=r"the engine is at work \(process 1: /usr/bin/pulumi up --yes\)"):
        next(iter(recovery.steps()))


def test_an_engine_counts_unless_it_names_another_stack_or_backend(tmp_path: Path) -> None:
    ours, theirs = "s3://ours", "s3://theirs"
    commands: list[tuple[str, dict[str, str]]] = [
        ("pulumi up --stack prod", {}),
        (f"pulumi up -s acme/{PROJECT}/prod", {}),
        ("pulumi up --stack=prod", {"PULUMI_STACK": "test"}),
        ("pulumi destroy", {"PULUMI_STACK": "prod"}),
        ("pulumi up --stack test", {"PULUMI_BACKEND_URL": theirs}),
        ("pulumi up --stack test", {"PULUMI_STACK": "prod"}),
        (f"pulumi up -s acme/{PROJECT}/test", {"PULUMI_BACKEND_URL": ours}),
        ("pulumi up", {"PULUMI_STACK": "test"}),
        ("pulumi up", {}),
        ("pulumi up --stack", {}),
    ]
    processes = [
        process(number, tmp_path, command, **environment) for number, (command, environment) in enumerate(commands, 1)
    ]
    assert numbers(live_engines(processes, tmp_path, "test", {"PULUMI_BACKEND_URL": ours})) == [6, 7, 8, 9, 10]
    assert numbers(live_engines(processes, tmp_path, "acme/graph/test", {})) == [5, 6, 7, 8, 9, 10]


def test_an_engine_in_another_checkout_counts_if_it_names_the_stack(tmp_path: Path) -> None:
    """As in the second workspace of a CI runner. A stack of another project may have the same name."""
    here, there, others = (tmp_path / name for name in ("here", "there", "others"))
    for directory, name in ((here, PROJECT), (there, PROJECT), (others, "website")):
        (directory / "deeper").mkdir(parents=True)
        (directory / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
    ours, theirs = {"PULUMI_BACKEND_URL": "s3://ours"}, {"PULUMI_BACKEND_URL": "s3://theirs"}
    commands = [
        (there, "pulumi up --stack test", ours),
        (there / "deeper", "pulumi destroy", {"PULUMI_STACK": "test"}),
        (tmp_path, f"pulumi up -s acme/{PROJECT}/test", ours),
        (tmp_path, "pulumi up -s test", {}),
        (there, "pulumi up --stack test", theirs),
        (there, "pulumi up --stack prod", ours),
        (there, "pulumi up", ours),
        (others, "pulumi up --stack test", ours),
        (tmp_path, "pulumi up -s acme/website/test", ours),
        (there, "pulumi preview --stack test", ours),
    ]
    processes = [
        process(number, directory, command, **environment)
        for number, (directory, command, environment) in enumerate(commands, 1)
    ]
    assert numbers(live_engines(processes, here, "test", ours)) == [1, 2, 3, 4]


def test_another_users_engine_that_cannot_be_looked_at_is_said(
    tmp_path: Path, api: KubernetesApi, programs: Programs
) -> None:
    commands = ("pulumi up --yes", "pulumi up --stack test", "pulumi up --stack prod", "pulumi whoami")
    processes = [
        *(process(number, None, command) for number, command in enumerate(commands, 1)),
        process(5, tmp_path, "pulumi up"),
        # The system may hide the command lines of other users' processes, as macOS does.
        EngineProcess(6, "pulumi", None, None),
    ]
    assert live_engines(processes, tmp_path / "elsewhere", "test", {}) == []
    recovery = Recovery(settings=settings(tmp_path), stack="test", processes=lambda: processes, root=tmp_path)
    assert recovery.notes() == [
        f"process {number} of another user ({shown}) cannot be looked at; make sure that it works on another stack"
        for number, shown in ((1, "/usr/bin/pulumi up --yes"), (2, "/usr/bin/pulumi up --stack"), (6, "pulumi"))
    ]


def test_the_note_is_in_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = process(1, None, "pulumi up --yes")
    monkeypatch.setattr("operations.recover.hidden_engines", lambda *_: [hidden])
    result = invoke(monkeypatch, tmp_path, [])
    assert result.exit_code == 0
    assert "note: process 1 of another user (/usr/bin/pulumi up --yes) cannot be looked at" in result.output


KUBERNETES = "pulumi-resource-kubernetes 127.0.0.1:46135"


def test_a_plugin_that_has_lost_its_engine_may_still_be_at_work(tmp_path: Path) -> None:
    here = tmp_path / "here"
    processes = [
        process(2, here, "pulumi preview"),
        dataclasses.replace(process(3, here, KUBERNETES), has_engine=True),
        process(4, here, KUBERNETES),
        process(5, tmp_path, KUBERNETES),  # another project's
        process(6, here, KUBERNETES, PULUMI_STACK="prod"),
        process(7, here, KUBERNETES, PULUMI_BACKEND_URL="s3://theirs"),
        process(8, here, KUBERNETES, PULUMI_STACK="test"),
    ]
    assert numbers(abandoned_plugins(processes, here, "test", {"PULUMI_BACKEND_URL": "s3://ours"})) == [4, 8]


def test_the_machines_engines_and_plugins_are_found_with_what_tells_whose_they_are(tmp_path: Path) -> None:
    """The processes are an engine, its plugin, a plugin whose engine is gone, and one that has ended but has not been
    reaped."""
    # As when Nix wraps programs: the process name differs from the name in the command line.
    engine, plugin = tmp_path / ".pulumi-wrapped", tmp_path / "pulumi-resource-kubernetes"
    plugin.symlink_to(str(shutil.which("sleep")))
    shutil.copy(str(shutil.which("bash")), engine)
    environment = {"PULUMI_STACK": "test", "PATH": os.environ["PATH"]}
    parent = subprocess.Popen(
        ["/usr/bin/pulumi", "-c", f"{plugin} 60 & wait", "up", "--yes"],
        executable=engine,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    orphan = subprocess.Popen([plugin, "61"], cwd=tmp_path, env=environment)
    ended = subprocess.Popen([plugin, "0"], cwd=tmp_path, env=environment)
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        deadline = time.monotonic() + 10
        while True:
            found = [one for one in engine_processes() if one.directory == tmp_path]
            if sorted(one.name for one in found) == ["pulumi", plugin.name, plugin.name]:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        by_number = {one.number: one for one in found}
        assert by_number[parent.pid].holds_lock
        assert by_number[parent.pid].environment["PULUMI_STACK"] == "test"
        assert by_number[orphan.pid].arguments == [str(plugin), "61"]
        assert not by_number[orphan.pid].has_engine
        (child,) = by_number.keys() - {parent.pid, orphan.pid}
        assert by_number[child].has_engine
        assert numbers(live_engines(found, tmp_path, "test", {})) == [parent.pid]
        assert numbers(abandoned_plugins(found, tmp_path, "test", {})) == [orphan.pid]
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        orphan.kill()
        for one in (parent, orphan, ended):
            one.wait()


@contextmanager
def abandoned(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has a plugin's name, works in `directory`, and was started by no engine."""
    program = directory / "pulumi-resource-kubernetes"
    shutil.copy(str(shutil.which("sleep")), program)
    # An empty environment: PULUMI_STACK from a sandbox's shell (`make env`) would make the process belong to another
    # stack.
    process = subprocess.Popen([program, "60"], cwd=directory, env={})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_recover_ends_such_a_plugin_before_it_looks_at_anything(
    tmp_path: Path, api: KubernetesApi, programs: Programs
) -> None:
    """Otherwise the plugin would go on changing what recover works on: a release that it rolls back, an object that it
    deletes."""
    with abandoned(tmp_path) as plugin:
        recovery = Recovery(settings=settings(tmp_path), stack="test", root=tmp_path)
        step = next(iter(recovery.steps()))
        assert step.problem.startswith(f"process {plugin.pid} ({tmp_path}/pulumi-resource-kubernetes 60) has outlived")
        assert step.act is not None
        assert plugin.poll() is None
        # Nobody reaps the process meanwhile, so it stays a zombie without a command line.
        assert step.act() == "ended"
        assert plugin.wait() == -signal.SIGTERM
        assert end_plugin(plugin.pid) == "ended"


def test_recover_does_nothing_beside_a_plugin_that_is_left(
    tmp_path: Path, api: KubernetesApi, programs: Programs
) -> None:
    with abandoned(tmp_path) as plugin:
        recovery = Recovery(settings=settings(tmp_path), stack="test", root=tmp_path)
        assert [step.problem.split()[1] for step in recovery.steps()] == [str(plugin.pid)]
        assert plugin.poll() is None


def test_a_plugin_that_does_not_end_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operations.engines._ENDED_TIMEOUT", 0.0)
    with abandoned(tmp_path) as plugin, monkeypatch.context() as deaf:
        deaf.setattr("psutil.Process.terminate", lambda *_: None)
        with pytest.raises(StackError, match=rf"`kill -9 {plugin.pid}`, then recover"):
            end_plugin(plugin.pid)


def test_another_users_plugin_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr("psutil.Process.terminate", refuse)
    with (
        abandoned(tmp_path) as plugin,
        pytest.raises(StackError, match=f"process {plugin.pid} is another user's; have"),
    ):
        end_plugin(plugin.pid)


@pytest.mark.parametrize("command", ["up", "update", "destroy", "down", "refresh", "import"])
def test_every_command_that_holds_the_lock_is_known(command: str) -> None:
    engine = EngineProcess(number=1, name="pulumi", arguments=["pulumi", command, "--yes"], directory=None)
    assert engine.holds_lock
    assert not dataclasses.replace(engine, arguments=["pulumi", "stack", "output"]).holds_lock
