"""Runs one container as a session of local processes and captures its output.

Owns starting, signalling and logs. The container decides when to start and what a result means.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from sandbox.kubelet.reaper import POD_MARKER
from sandbox.processes import marked, signal_process

_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 1024 * 1024
# Output that an ended process left in its pipe arrives within this time.
_DRAIN_SECONDS = 1.0
_KILL_ROUNDS = 50
_KILL_PAUSE_SECONDS = 0.02

_library = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """The command cannot be run; a real runtime reports StartError."""


class ContainerProcess:
    """One run of a container, from its start to its exit code."""

    def __init__(self, spawned: _Spawned, marker: str, log: Path) -> None:
        self._spawned = spawned
        self._marker = marker
        self._log = log
        self._capture = asyncio.create_task(self._copy_output())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path
    ) -> ContainerProcess:
        """`environment` carries the container's mark. Raises StartFailed."""
        try:
            spawned = await _Spawned.start(command, environment, directory)
        except OSError as error:
            raise StartFailed(f"exec: {command[0]!r}: {error.strerror or error}") from None
        return cls(spawned, environment[POD_MARKER], log)

    async def wait(self) -> tuple[int, int]:
        """Returns (exit code as a runtime reports it, signal). Leaves nothing of the container running, in whatever
        session: a real node has a process namespace, this one kills by the mark in the environment."""
        code = await self._spawned.process.wait()
        await kill_marked(self._marker)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._capture, _DRAIN_SECONDS)
        self._spawned.close()
        return (code, 0) if code >= 0 else (128 - code, -code)

    def signal(self, number: int) -> None:
        """Signals the container's first process, as a runtime does."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._spawned.process.pid, number)

    async def _copy_output(self) -> None:
        """Writes one log line per printed line, in the form of container runtimes: time, stream, F, text."""
        with self._log.open("ab", buffering=0) as file:
            while True:
                try:
                    line = await self._spawned.output.readline()
                except ValueError:  # longer than the limit: what has been read so far is dropped
                    continue
                if not line:
                    return
                now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
                file.write(f"{now} stdout F ".encode() + line.rstrip(b"\n") + b"\n")


async def run_command(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, timeout: float
) -> tuple[int, str]:
    """Exit code and output of a command in a container (probe, hook); -1 if it took too long."""
    try:
        spawned = await _Spawned.start(command, environment, directory)
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror or error}"
    reading = asyncio.create_task(spawned.output.read())
    try:
        code = await asyncio.wait_for(spawned.process.wait(), timeout)
    except asyncio.TimeoutError:
        return -1, f"command timed out after {timeout:g}s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(spawned.process.pid, signal.SIGKILL)
        await spawned.process.wait()
        await asyncio.wait({reading}, timeout=_DRAIN_SECONDS)
        spawned.close()
        reading.cancel()
    output = reading.result() if reading.done() and not reading.cancelled() else b""
    return code, output.decode(errors="replace").strip()


async def kill_marked(marker: str) -> None:
    """Kill every process that carries exactly this mark; repeated until none is found, as they may be forking."""
    for _ in range(_KILL_ROUNDS):
        found = marked(marker, POD_MARKER)
        if not found:
            return
        for process in found:
            signal_process(process, signal.SIGKILL)
        await asyncio.sleep(_KILL_PAUSE_SECONDS)


class _Spawned:
    """A process and its output pipe. The pipe is our own: with asyncio's, waiting for the process would also wait for
    everyone who holds the other end, such as a background child."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, transport: asyncio.ReadTransport
    ) -> None:
        self.process = process
        self.output = output
        self._transport = transport

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], directory: Path) -> _Spawned:
        """Raises OSError."""
        reading, writing = os.pipe()
        source = os.fdopen(reading, "rb", 0)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                cwd=directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except BaseException:
            source.close()
            raise
        finally:
            os.close(writing)
        output = asyncio.StreamReader(limit=_LINE_LIMIT)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), source
        )
        return cls(process, output, transport)

    def close(self) -> None:
        self._transport.close()


def _die_with_parent() -> None:
    # If the kubelet is killed, its containers die too; the reaper kills what the containers started.
    _library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
