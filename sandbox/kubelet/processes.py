"""Runs one container as a session of local processes and captures what it prints.

Owns starting, signalling and logs. When to start, and what a result means, is the pod's.
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

_PR_SET_PDEATHSIG = 1
_LINE_LIMIT = 1024 * 1024
# What a process that has ended may still have in its pipe arrives within this.
_DRAIN_SECONDS = 1.0

_library = ctypes.CDLL(None, use_errno=True)


class StartFailed(Exception):
    """The command cannot be run; a real runtime says StartError."""


class ContainerProcess:
    """One run of a container, from its start to its exit code."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._capture = asyncio.create_task(self._copy_output())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], directory: Path, log: Path
    ) -> ContainerProcess:
        """Raises StartFailed."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=dict(environment),
                cwd=directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LINE_LIMIT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise StartFailed(f"exec: {command[0]!r}: {error.strerror or error}") from None
        return cls(process, log)

    async def wait(self) -> tuple[int, int]:
        """(exit code as a runtime reports it, signal). Nothing of the session is left afterwards."""
        code = await self._process.wait()
        self.signal(signal.SIGKILL)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._capture, _DRAIN_SECONDS)
        return (code, 0) if code >= 0 else (128 - code, -code)

    def signal(self, number: int) -> None:
        """To the whole session's first process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _copy_output(self) -> None:
        """One line of the log for each line printed, in the form of container runtimes: time, stream, F, text."""
        assert self._process.stdout is not None
        with self._log.open("ab", buffering=0) as file:
            while True:
                try:
                    line = await self._process.stdout.readline()
                except ValueError:  # longer than the limit: what was read so far is dropped
                    continue
                if not line:
                    return
                now = datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
                file.write(f"{now} stdout F ".encode() + line.rstrip(b"\n") + b"\n")


async def run_command(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, timeout: float
) -> tuple[int, str]:
    """Exit code and output of a command in a container (probe, hook); -1 when it took too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=dict(environment),
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror or error}"
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout)
        return process.returncode or 0, output.decode(errors="replace").strip()
    except asyncio.TimeoutError:
        return -1, f"command timed out after {timeout:g}s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _die_with_parent() -> None:
    # A kubelet that is killed leaves no container behind; what a container started itself is the reaper's.
    _library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
