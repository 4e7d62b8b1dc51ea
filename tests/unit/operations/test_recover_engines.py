"""Recover: an engine that is at work is never disturbed, whoever's and wherever it is, and a plugin that has lost its
own is ended first."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.settings.names import PROJECT
from operations.engines import abandoned_plugins, end_plugin, hidden_engines, live_engines
from operations.recover import Recovery
from operations.stack import StackError
from tests.unit.operations.kubernetes_api import KubernetesApi
from tests.unit.operations.recover_world import (
    Programs,
    invoke,
)
from tests.unit.operations.world import settings


def put_process(processes: Path, number: int, directory: Path, command: str, **environment: str) -> None:
    process = processes / str(number)
    process.mkdir(parents=True)
    (process / "cmdline").write_text("\0".join([f"/usr/bin/{command.split()[0]}", *command.split()[1:]]))
    (process / "environ").write_text("\0".join(f"{name}={value}" for name, value in environment.items()))
    (process / "cwd").symlink_to(directory)


def test_a_running_engine_is_never_disturbed(tmp_path: Path, api: KubernetesApi, programs: Programs) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for number, (directory, command) in enumerate(
        (
            (project, "pulumi up --yes"),
            (tmp_path, "pulumi up --yes"),
            (project, "pulumi stack output"),
            (project, "vi pulumi up"),
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, directory, command)
    assert live_engines(tmp_path / "proc", project, "test") == [(1, "/usr/bin/pulumi up --yes")]
    recovery = Recovery(settings=settings(tmp_path), stack="test", processes=tmp_path / "proc", root=project)
    with pytest.raises(StackError, match=r"the engine is at work \(process 1"):
        next(iter(recovery.steps()))


def test_an_engine_counts_unless_it_names_another_stack_or_backend(tmp_path: Path) -> None:
    ours, theirs = "s3://ours", "s3://theirs"
    for number, (command, environment) in enumerate(
        (
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
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, tmp_path, command, **environment)
    # Of another user, whose environment cannot be read.
    put_process(tmp_path / "proc", 11, tmp_path, "pulumi up --yes")
    (tmp_path / "proc/11/environ").unlink()
    found = live_engines(tmp_path / "proc", tmp_path, "test", {"PULUMI_BACKEND_URL": ours})
    assert [number for number, _ in found] == [6, 7, 8, 9, 10, 11]
    found = live_engines(tmp_path / "proc", tmp_path, "acme/graph/test", {})
    assert [number for number, _ in found] == [5, 6, 7, 8, 9, 10, 11]


def test_an_engine_in_another_checkout_counts_if_it_names_the_stack(tmp_path: Path) -> None:
    """As the second workspace of a runner of CI; another project's stack may have the same name."""
    here, there, others = (tmp_path / name for name in ("here", "there", "others"))
    for directory, name in ((here, PROJECT), (there, PROJECT), (others, "website")):
        (directory / "deeper").mkdir(parents=True)
        (directory / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
    ours, theirs = {"PULUMI_BACKEND_URL": "s3://ours"}, {"PULUMI_BACKEND_URL": "s3://theirs"}
    for number, (directory, command, environment) in enumerate(
        (
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
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, directory, command, **environment)
    found = live_engines(tmp_path / "proc", here, "test", ours)
    assert [number for number, _ in found] == [1, 2, 3, 4]


def test_another_users_engine_that_cannot_be_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ("pulumi up --yes", "pulumi up --stack test", "pulumi up --stack prod", "vi pulumi up", "pulumi whoami")
    for number, said in enumerate(commands, 1):
        put_process(tmp_path / "proc", number, tmp_path, said)
        (tmp_path / f"proc/{number}/cwd").unlink()
        (tmp_path / f"proc/{number}/environ").unlink()
    put_process(tmp_path / "proc", 6, tmp_path, "pulumi up")
    assert hidden_engines(tmp_path / "proc", "test") == [
        (1, "/usr/bin/pulumi up --yes"),
        (2, "/usr/bin/pulumi up --stack"),
    ]
    assert live_engines(tmp_path / "proc", tmp_path / "elsewhere", "test", {}) == []
    monkeypatch.setattr("operations.recover.hidden_engines", lambda *_: [(1, "/usr/bin/pulumi up --yes")])
    result = invoke(monkeypatch, tmp_path, [])
    assert result.exit_code == 0
    assert (
        "note: process 1 of another user (/usr/bin/pulumi up --yes) cannot be looked at; make sure that it works on "
        "another stack\n"
    ) in result.output


def test_a_system_that_does_not_tell_its_processes_is_said(tmp_path: Path) -> None:
    """macOS, say: an engine at work there would have its lock cleared."""
    recovery = Recovery(settings=settings(tmp_path), stack="test", processes=tmp_path / "nowhere", root=tmp_path)
    assert recovery.notes() == [
        "this system does not tell which engines are at work; make sure that none works on test before its lock is "
        "cleared"
    ]
    (tmp_path / "nowhere").mkdir()
    assert recovery.notes() == []


KUBERNETES = "pulumi-resource-kubernetes 127.0.0.1:46135"


def put_plugin(processes: Path, number: int, directory: Path, parent: int, **environment: str) -> None:
    put_process(processes, number, directory, KUBERNETES, **environment)
    (processes / str(number) / "stat").write_text(f"{number} (pulumi-resource) (x)) S {parent} {number} 0 -1")


def test_a_plugin_that_has_lost_its_engine_may_still_be_at_work(tmp_path: Path) -> None:
    processes, here = tmp_path / "proc", tmp_path / "here"
    here.mkdir()
    put_process(processes, 1, tmp_path, "init")
    put_process(processes, 2, here, "pulumi preview")
    put_plugin(processes, 3, here, 2)  # its engine is there
    put_plugin(processes, 4, here, 1)
    put_plugin(processes, 5, here, 99)  # whose parent has just gone
    put_plugin(processes, 6, tmp_path, 1)  # another project's
    put_plugin(processes, 7, here, 1, PULUMI_STACK="prod")
    put_plugin(processes, 8, here, 1, PULUMI_BACKEND_URL="s3://theirs")
    put_plugin(processes, 9, here, 1, PULUMI_STACK="test")
    found = abandoned_plugins(processes, here, "test", {"PULUMI_BACKEND_URL": "s3://ours"})
    assert found == [(number, f"/usr/bin/{KUBERNETES}") for number in (4, 5, 9)]


@contextmanager
def abandoned(directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called like a plugin, works in `directory`, and that no engine has started."""
    program = directory / "pulumi-resource-kubernetes"
    shutil.copy(str(shutil.which("sleep")), program)
    process = subprocess.Popen([program, "60"], cwd=directory)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_recover_ends_such_a_plugin_before_it_looks_at_anything(
    tmp_path: Path, api: KubernetesApi, programs: Programs
) -> None:
    """What it is at would change meanwhile: a release that recover rolls back, an object that it deletes."""
    with abandoned(tmp_path) as plugin:
        recovery = Recovery(settings=settings(tmp_path), stack="test", root=tmp_path)
        step = next(iter(recovery.steps()))
        assert step.problem.startswith(f"process {plugin.pid} ({tmp_path}/pulumi-resource-kubernetes 60) has outlived")
        assert step.act is not None
        assert plugin.poll() is None
        # Nobody asks for it meanwhile: so ended it stays, without a command line.
        assert step.act() == "ended"
        assert plugin.wait() == -signal.SIGTERM
        assert end_plugin(Path("/proc"), plugin.pid) == "ended"


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
        deaf.setattr("os.kill", lambda *_: None)
        with pytest.raises(StackError, match=rf"`kill -9 {plugin.pid}`, then recover"):
            end_plugin(Path("/proc"), plugin.pid)


def test_another_users_plugin_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.kill", refuse)
    with pytest.raises(StackError, match="process 7 is another user's; have it ended"):
        end_plugin(tmp_path, 7)
