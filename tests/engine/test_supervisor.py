"""The sandbox's parts as processes: found again, never mistaken for others, ended with everything that they started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.home import Home
from sandbox.processes import MARKER, identify, marked
from sandbox.supervisor import NotReady, Part, SandboxError, Supervisor, exclusive, ready_file_probe

pytestmark = pytest.mark.engine


def part(script: str, home: Home, *, timeout: float = 10, name: str = "part") -> Part:
    ready = home.run / f"{name}.ready.json"
    return Part(
        name=name,
        command=("/bin/sh", "-c", script),
        ready=ready_file_probe(ready),
        ready_file=ready,
        timeout=timeout,
    )


def serving(home: Home, name: str = "part") -> Part:
    """A part that reports that it is ready and has a child process."""
    return part(f"echo '{{}}' > {home.run}/{name}.ready.json; sleep 600 & wait", home, name=name)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home.at(tmp_path / "home")
    home.create()
    yield home
    Supervisor(home).sweep()


def test_a_second_start_finds_the_first_ones_process(home: Home) -> None:
    assert Supervisor(home).start(serving(home)) is True
    first = Supervisor(home).running("part")

    assert Supervisor(home).start(serving(home)) is False
    assert Supervisor(home).running("part") == first is not None


def test_another_command_replaces_the_process(home: Home) -> None:
    supervisor = Supervisor(home)
    supervisor.start(serving(home))
    first = supervisor.running("part")
    changed = part(f"echo '{{}}' > {home.run}/part.ready.json; exec sleep 601", home)

    assert supervisor.start(changed) is True
    assert first is not None
    assert not first.alive


def test_stopping_ends_what_the_part_started(home: Home) -> None:
    supervisor = Supervisor(home)
    supervisor.start(serving(home))
    assert len(marked(f"{home.root}/")) == 2, "the shell and its sleep"

    supervisor.stop("part")

    assert marked(f"{home.root}/") == []
    assert supervisor.running("part") is None
    assert not supervisor.pid_file("part").exists()


def test_a_part_that_ignores_its_end_is_killed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.supervisor._STOP_SECONDS", 0.3)
    supervisor = Supervisor(home)
    supervisor.start(part(f"trap '' TERM; echo '{{}}' > {home.run}/part.ready.json; while :; do sleep 1; done", home))

    supervisor.stop("part")

    assert marked(f"{home.root}/") == []


def test_what_outlived_its_killed_part_is_found_and_ended(home: Home) -> None:
    """The part was killed with SIGKILL. Its child has a session of its own, as pods and databases do."""
    supervisor = Supervisor(home)
    supervisor.start(part(f"setsid sleep 600 & echo '{{}}' > {home.run}/part.ready.json; wait", home))
    leader = supervisor.running("part")
    assert leader is not None
    os.kill(leader.pid, signal.SIGKILL)

    supervisor.sweep()

    assert marked(f"{home.root}/") == []


def test_the_process_that_has_a_dead_parts_pid_now_is_left_alone(home: Home) -> None:
    supervisor = Supervisor(home)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        identity = identify(stranger.pid)
        assert identity is not None
        boot, _, ticks = identity.started.partition(":")
        record = {"part": "part", "pid": stranger.pid, "started": f"{boot}:{int(ticks) - 1}", "command": ["x"]}
        supervisor.pid_file("part").write_text(json.dumps(record))

        assert supervisor.running("part") is None
        supervisor.stop("part")

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_part_of_another_home_is_left_alone(home: Home, tmp_path: Path) -> None:
    """Even if the path of that home begins with the path of this one."""
    other = Home.at(tmp_path / "home-2")
    other.create()
    Supervisor(other).start(serving(other))
    try:
        Supervisor(home).sweep()

        assert Supervisor(other).running("part") is not None
    finally:
        Supervisor(other).sweep()


def test_a_part_that_ends_at_once_is_reported_with_its_last_words(home: Home) -> None:
    with pytest.raises(SandboxError) as raised:
        Supervisor(home).start(part("echo the port is taken >&2; exit 3", home))

    text = str(raised.value)
    assert text.startswith("part ended before it was ready.")
    assert "  | the port is taken" in text
    assert f"log: {home.logs}/part.log" in text
    assert "`make down`, then `make up`" in text


def test_a_part_that_never_gets_ready_is_reported_with_what_is_missing(home: Home) -> None:
    def never() -> None:
        raise NotReady("/readyz answers 500")

    slow = Part(name="part", command=("sleep", "600"), ready=never, timeout=0.2)

    with pytest.raises(SandboxError, match=r"was not ready after 0 s \(/readyz answers 500\)"):
        Supervisor(home).start(slow)


def test_an_old_ready_file_is_not_taken_for_the_new_processs(home: Home) -> None:
    (home.run / "part.ready.json").write_text("{}")

    with pytest.raises(SandboxError, match="was not ready"):
        Supervisor(home).start(part("exec sleep 600", home, timeout=0.3))


def test_a_part_launched_by_a_command_that_was_killed_is_found_again(home: Home) -> None:
    script = (
        "import os, sys; from pathlib import Path; from sandbox.home import Home; from sandbox.supervisor import *\n"
        "home = Home.at(sys.argv[1]); s = Supervisor(home)\n"
        "s.launch(Part(name='part', command=('sleep', '600'), ready=lambda: None, timeout=1))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(home.root)])
    assert killed.returncode == -signal.SIGKILL

    running = Supervisor(home).running("part")

    assert running is not None
    assert Path(f"/proc/{running.pid}/environ").read_bytes().count(f"{MARKER}={home.root}/:part".encode()) == 1


def test_one_command_at_a_time_works_on_a_home(home: Home, tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    refused = pytest.raises(SandboxError, match=rf"`up` \(process {os.getpid()}\) is at work on the sandbox in")
    with exclusive(lock, home, "up"), refused, exclusive(lock, home, "down"):
        pass

    with exclusive(lock, home, "down"):
        pass


def test_readiness_is_seen_within_a_moment(home: Home) -> None:
    began = time.monotonic()
    Supervisor(home).start(serving(home))

    assert time.monotonic() - began < 2
