"""The make targets when things go wrong: the next `make up` mends a killed one, and `make down` leaves nothing.

The tests have a sandbox of their own, because they kill and remove it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT, Cache, Home
from sandbox.processes import identify, marked
from tests.engine.conftest import RunningSandbox
from tests.engine.waiting import eventually

pytestmark = pytest.mark.engine


@pytest.fixture
def doomed() -> Iterator[RunningSandbox]:
    root = Path(tempfile.mkdtemp(prefix="tag-"))
    sandbox = RunningSandbox(Home.at(root / "home"), root / "Pulumi.sandbox.yaml")
    yield sandbox
    sandbox.door("down", "--no-destroy")
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home directory of a user who has configured a cluster, an AWS account and Pulumi of their own."""
    monkeypatch.setenv("SANDBOX_CACHE", str(Cache.from_environment().root))
    home = tmp_path / "somebody"
    for name in (".kube/config", ".aws/config", ".aws/credentials", ".pulumi/credentials.json", ".config/helm/x.yaml"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"{name} is mine\n")
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


def contents(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def start_up(sandbox: RunningSandbox) -> subprocess.Popen[bytes]:
    """Starts `make up` in a session of its own, as a terminal does."""
    command = [sys.executable, "-m", "sandbox", "--home", str(sandbox.home.root)]
    command += ["--config-file", str(sandbox.configuration), "up"]
    with (sandbox.home.root.parent / "up.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # A test runner in the background ignores SIGINT, and its children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def kill_session(up: subprocess.Popen[bytes]) -> None:
    """Kills the command, the engine and its plugins with SIGKILL; the sandbox's parts have sessions of their own."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getsid(int(entry)) == up.pid:
                os.kill(int(entry), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended meanwhile
    up.wait()


def log_of(sandbox: RunningSandbox) -> str:
    return (sandbox.home.root.parent / "up.log").read_text()


def test_a_killed_up_is_mended_by_the_next_and_down_leaves_nothing(somebody: Path, doomed: RunningSandbox) -> None:
    home, theirs = doomed.home, contents(somebody)
    up = start_up(doomed)
    # Kill it first while the sandbox is starting.
    eventually((home.run / "kube-apiserver.json").exists, 180, "the API server's start")
    kill_session(up)
    assert doomed.sandbox.supervisor.running("kube-apiserver") is not None, "parts outlive the command"

    # Then kill it while the engine is making the stack.
    up = start_up(doomed)
    locks = home.state / ".pulumi" / "locks"
    eventually(lambda: any(locks.glob("**/*.json")) or up.poll() is not None, 180, "the engine's start")
    assert up.poll() is None, log_of(doomed)
    eventually(lambda: doomed.sandbox.stack.has_resources(), 120, "the first resource")
    time.sleep(3)
    kill_session(up)
    assert any(locks.glob("**/*.json")), "the killed engine left its lock"

    mended = doomed.door("up")

    assert "mending what it left" in mended.stdout
    assert "what stands now" in mended.stdout
    doomed.door("verify")

    prefix = home.run.joinpath("network.json").read_text()
    doomed.door("down")

    assert not home.root.exists()
    assert not doomed.configuration.exists()
    assert marked(f"{home.root}/") == []
    claims = [file.read_text() for file in Cache.from_environment().networks.iterdir()]
    assert str(home.root) not in claims, f"the network {prefix} is given back"
    assert contents(somebody) == theirs, "nobody's kubeconfig, profile or login is touched, and none is made"


def test_whoever_interrupts_a_start_is_told_and_down_leaves_nothing(doomed: RunningSandbox) -> None:
    home = doomed.home
    up = start_up(doomed)
    eventually((home.run / "etcd.json").exists, 180, "the first part's start")
    # To the whole process group, as a terminal does.
    os.killpg(up.pid, signal.SIGINT)
    assert up.wait(timeout=300) == 130
    assert "interrupted; the same command goes on where it stopped" in log_of(doomed)

    up = start_up(doomed)
    eventually((home.run / "cloud.json").exists, 180, "a later part's start")
    os.killpg(up.pid, signal.SIGTERM)
    assert up.wait(timeout=300) == -signal.SIGTERM

    doomed.door("down", "--no-destroy")
    assert not home.root.exists()
    assert marked(f"{home.root}/") == []


def test_two_commands_do_not_work_on_one_sandbox_at_once(doomed: RunningSandbox) -> None:
    up = start_up(doomed)
    try:
        eventually((home_is_claimed := doomed.home.root / "sandbox.json").exists, 30, "the first command's start")

        refused = doomed.door("down", check=False)

        assert refused.returncode == 1
        assert f"`up` (process {up.pid}) is at work on the sandbox in {doomed.home.root}" in refused.stderr
        assert home_is_claimed.exists()
    finally:
        kill_session(up)


def test_a_directory_that_is_somebodys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    sandbox = RunningSandbox(Home.at(tmp_path), tmp_path.parent / f"{tmp_path.name}.yaml")

    for command in ("start", "up"):
        refused = sandbox.door(command, check=False)
        assert refused.returncode == 1
        assert refused.stderr == (
            f"error: {tmp_path} is not empty and no sandbox; set SANDBOX_HOME to a new directory\n"
        )
    assert sandbox.door("down").stdout == f"nothing to do: there is no sandbox in {tmp_path}\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_an_engine_at_work_is_not_taken_for_a_dead_one(doomed: RunningSandbox, tmp_path: Path) -> None:
    """A lock stops `up` if its process is a running engine, but not if another process has that pid by now."""
    stack = doomed.sandbox.stack
    lock = doomed.home.state / ".pulumi" / "locks" / "organization" / "project" / "sandbox" / "one.json"
    lock.parent.mkdir(parents=True)
    # A process whose first argument is that of an engine. It is a Python, which is always available, and prints a line
    # once it runs.
    working = subprocess.Popen(
        [tmp_path / "pulumi", "-c", "print(flush=True); import time; time.sleep(600)"],
        executable=sys.executable,
        stdout=subprocess.PIPE,
    )
    assert working.stdout
    assert working.stdout.readline() == b"\n"
    try:
        lock.write_text(f'{{"pid": {working.pid}}}')
        with pytest.raises(Exception, match=f"process {working.pid} of the engine is at work on the stack"):
            stack.locked()
    finally:
        working.kill()
        working.wait()
    assert identify(working.pid) is None
    assert stack.locked() is True

    lock.write_text(f'{{"pid": {os.getpid()}}}')
    assert stack.locked() is True

    lock.unlink()
    assert stack.locked() is False
