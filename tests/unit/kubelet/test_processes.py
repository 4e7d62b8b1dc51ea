"""Containers as processes: logs, exit codes, and that nothing of a container is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT
from sandbox.kubelet.probes import Prober, ProbeTarget, attempt
from sandbox.kubelet.processes import ContainerProcess, StartFailed, run_command
from sandbox.kubelet.reaper import POD_MARKER
from sandbox.kubelet.settings import KubeletSettings
from sandbox.processes import marked

pytestmark = pytest.mark.unit


@pytest.fixture
def environment():
    return {"PATH": os.environ["PATH"], POD_MARKER: f"/test/{uuid.uuid4()}/:uid/c/"}


def run(script, environment, directory: Path):
    async def main():
        log = directory / "log"
        process = await ContainerProcess.start(["/bin/sh", "-c", script], environment, directory, log)
        result = await asyncio.wait_for(process.wait(), 10)
        return result, [line.split(" ", 3)[1:] for line in log.read_text().splitlines()]

    return asyncio.run(main())


def test_what_is_printed_is_in_the_log_in_order(tmp_path, environment):
    result, lines = run("echo one; echo two >&2; printf three; exit 3", environment, tmp_path)
    assert result == (3, 0)
    assert lines == [["stdout", "F", "one"], ["stdout", "F", "two"], ["stdout", "F", "three"]]


def test_a_signal_is_128_and_its_number(tmp_path, environment):
    assert run("kill -TERM $$", environment, tmp_path)[0] == (143, 15)


def test_a_program_that_is_not_there_cannot_start(tmp_path, environment):
    with pytest.raises(StartFailed, match="No such file"):
        asyncio.run(ContainerProcess.start(["/no/such"], environment, tmp_path, tmp_path / "log"))


def test_children_in_other_sessions_end_with_the_container_and_do_not_hold_it_up(tmp_path, environment):
    began = time.monotonic()
    result, _ = run("sleep 60 & setsid sleep 60 & echo up; exit 0", environment, tmp_path)
    assert result == (0, 0)
    assert time.monotonic() - began < 5
    assert marked(environment[POD_MARKER], POD_MARKER) == []


@pytest.mark.slow
def test_a_command_that_takes_too_long_is_ended(tmp_path, environment):
    began = time.monotonic()
    code, text = asyncio.run(run_command(["/bin/sh", "-c", "sleep 60"], environment, tmp_path, 0.3))
    assert (code, text) == (-1, "command timed out after 0.3s")
    assert time.monotonic() - began < 5
    assert asyncio.run(run_command(["/bin/sh", "-c", "echo no; exit 4"], environment, tmp_path, 5)) == (4, "no")


@pytest.mark.slow
def test_the_reaper_ends_every_marked_process_when_its_kubelet_is_gone(tmp_path):
    home = f"/test/{uuid.uuid4()}"
    reaper = subprocess.Popen(
        [sys.executable, "-m", "sandbox.kubelet.reaper", home],
        stdin=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        start_new_session=True,
    )
    mark = {**os.environ, POD_MARKER: f"{home}/:uid/c/"}
    orphan = subprocess.Popen(["/bin/sh", "-c", "sleep 60"], env=mark, start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], env={**os.environ, POD_MARKER: f"{home}-other/:uid/c/"})
    try:
        while not ignores(reaper.pid, signal.SIGTERM):
            time.sleep(0.01)
        reaper.send_signal(signal.SIGTERM)
        assert orphan.poll() is None
        assert reaper.stdin is not None
        reaper.stdin.close()
        assert reaper.wait(15) == 0
        assert orphan.wait(5) == -signal.SIGKILL
        assert other.poll() is None, "another home's pods are not ours"
    finally:
        for process in (reaper, orphan, other):
            process.kill()
            process.wait()


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return bool(mask >> (number - 1) & 1)


async def _no_exec(command, timeout):
    return 1, "not ready"


def target(port: int) -> ProbeTarget:
    return ProbeTarget("127.0.0.1", {"grpc": port}, _no_exec)


def test_probes_succeed_and_say_why_they_fail():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert asyncio.run(attempt({"tcpSocket": {"port": "grpc"}}, target(port), 5)) == ""
    assert "Connect call failed" in asyncio.run(attempt({"tcpSocket": {"port": port}}, target(port), 5))
    assert asyncio.run(attempt({"exec": {"command": ["x"]}}, target(1), 5)) == "command failed with 1: not ready"
    assert "couldn't find port 'web'" in asyncio.run(attempt({"tcpSocket": {"port": "web"}}, target(1), 5))
    assert "does not have" in asyncio.run(attempt({"grpc": {"port": 1}}, target(1), 5))


@pytest.mark.parametrize(("status", "answer"), [(200, ""), (302, ""), (503, "HTTP probe failed with statuscode: 503")])
def test_an_http_probe_reads_the_status(status, answer):
    async def main():
        async def serve(reader, writer):
            assert (await reader.readline()) == b"GET /readyz HTTP/1.1\r\n"
            writer.write(f"HTTP/1.1 {status} X\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await attempt({"httpGet": {"path": "/readyz", "port": port}}, target(port), 5)

    assert asyncio.run(main()) == answer


def test_thresholds_are_counted_in_a_row():
    results = iter(["no", "no", "", "no", "no", "no"])
    seen: list[object] = []

    async def execute(command, timeout):
        answer = next(results, None)
        if answer is None:
            raise asyncio.CancelledError
        return (0, "") if answer == "" else (1, answer)

    async def main():
        probe = {"exec": {"command": ["x"]}, "failureThreshold": 3, "periodSeconds": 0.001}
        prober = Prober("p", probe, ProbeTarget("127.0.0.1", {}, execute), KubeletSettings(), lambda: False)
        await prober.run(lambda: seen.append("passed"), lambda error, past: seen.append(past))

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert seen == [False, False, "passed", False, False, True]


def test_settings_come_from_the_environment():
    assert KubeletSettings.from_environment({"SANDBOX_KUBELET_BACKOFF_FIRST": "0.1"}).backoff_first == 0.1
    assert KubeletSettings.from_environment({}) == KubeletSettings()
