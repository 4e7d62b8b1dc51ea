"""Starts and stops the sandbox's long-running parts, each in its own session, identified by pid and start time.

Owns pid files, logs and readiness waits. Whoever describes a part says what it is and when it is ready.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sandbox.home import Home
from sandbox.processes import MARKER, ProcessIdentity, identify, in_session_of, marked, signal_process
from sandbox.toolchain.diagnosis import log_tail

_POLL_SECONDS = 0.05
# Allows for PostgreSQL's fast shutdown and the pods' own grace; after that the part is killed.
_STOP_SECONDS = 20.0


class SandboxError(Exception):
    """Something in the sandbox does not work. The text is complete: what, why, the remedy."""


class NotReady(Exception):
    """Raised by a part's readiness probe, with what is still missing."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One long-running process. `ready` returns once the part serves and raises NotReady (or OSError) until then.

    `environment` is the complete environment; empty means the caller's.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], None]
    timeout: float
    environment: Mapping[str, str] = field(default_factory=dict)
    # Removed before a start, so that an old file is not mistaken for the new one.
    ready_file: Path | None = None


@dataclass(frozen=True)
class _Record:
    """The contents of a pid file."""

    part: str
    pid: int
    started: str
    command: list[str]

    @property
    def process(self) -> ProcessIdentity:
        return ProcessIdentity(self.pid, self.started)


class Supervisor:
    """The parts of one home."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def pid_file(self, name: str) -> Path:
        return self._home.run / f"{name}.json"

    def log(self, name: str) -> Path:
        return self._home.logs / f"{name}.log"

    def running(self, name: str) -> ProcessIdentity | None:
        """The live process of that part, if we started it and it is still the same one."""
        record = self._record(name)
        return record.process if record and record.process.alive else None

    def launch(self, part: Part) -> bool:
        """Start the part unless it already runs with the same command. True if started; does not wait for readiness."""
        record = self._record(part.name)
        if record and record.process.alive:
            if record.command == list(part.command):
                return False
            self.stop(part.name)
        if part.ready_file:
            part.ready_file.unlink(missing_ok=True)
        pid_file = self.pid_file(part.name)
        environment = {**(part.environment or os.environ), MARKER: self._marker(part.name)}
        with self.log(part.name).open("ab") as output:
            output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} {part.name}\n".encode())
            output.flush()
            try:
                # The child writes its own pid file before it becomes the program, so whenever a `make up` is killed,
                # the next one finds every process it left.
                subprocess.Popen(
                    part.command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    cwd=self._home.root,
                    start_new_session=True,
                    preexec_fn=lambda: _write_pid_file(pid_file, part.name, part.command),
                )
            except OSError as error:
                raise SandboxError(f"could not start {part.name}: {error}; command: {part.command[0]}") from error
        return True

    def await_ready(self, part: Part) -> None:
        """Wait until the part serves. Raises SandboxError with the end of its log."""
        deadline = time.monotonic() + part.timeout
        while True:
            try:
                part.ready()
                return
            except (NotReady, OSError) as error:
                missing = str(error)
            if self.running(part.name) is None:
                raise SandboxError(self._failure(part, "ended before it was ready"))
            if time.monotonic() > deadline:
                raise SandboxError(self._failure(part, f"was not ready after {part.timeout:.0f} s ({missing})"))
            time.sleep(_POLL_SECONDS)

    def start(self, part: Part) -> bool:
        """Launch and wait. True if it was started now."""
        started = self.launch(part)
        self.await_ready(part)
        return started

    def stop(self, name: str) -> None:
        """Ask the part and its processes to end, wait, then kill what is left of them."""
        record = self._record(name)
        if record:
            leader = record.process
            signal_process(leader, signal.SIGTERM)
            if not _wait_for(lambda: not leader.alive, _STOP_SECONDS):
                signal_process(leader, signal.SIGKILL)
            _end([leader, *in_session_of(leader)])
        _end(marked(self._marker(name)))
        self.pid_file(name).unlink(missing_ok=True)
        (self._home.run / f"{name}.ready.json").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Kill everything that the home's parts started and that outlived them."""
        _end(marked(f"{self._home.root}/"))

    def _marker(self, name: str) -> str:
        # Home first, so that it is a prefix of all its parts' marks; the slash excludes homes whose names begin alike.
        return f"{self._home.root}/:{name}"

    def _record(self, name: str) -> _Record | None:
        try:
            return _Record(**json.loads(self.pid_file(name).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None  # no file, or its writer died midway and so started nothing

    def _failure(self, part: Part, what: str) -> str:
        log = self.log(part.name)
        tail = [f"  | {line}" for line in log_tail(log, 4000).splitlines()[-12:]]
        remedy = "`make down`, then `make up` begins afresh; if it stays, the log says why"
        return "\n".join([f"{part.name} {what}.", f"  remedy: {remedy}", f"  log: {log}", *tail])


@contextlib.contextmanager
def exclusive(lock_file: Path, home: Home, what: str) -> Iterator[None]:
    """Only one command works on a home at a time; a second one is refused instead of interfering.

    The file is outside the home, which comes and goes. The lock ends with the process.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another command"
            raise SandboxError(f"{holder} is at work on the sandbox in {home.root}; wait for it to end") from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"`{what}` (process {os.getpid()})")
        lock.flush()
        yield


def ready_file_probe(path: Path) -> Callable[[], None]:
    """Ready once the part has written its facts."""

    def probe() -> None:
        try:
            json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            raise NotReady(f"{path.name} is not there yet") from None

    return probe


def _write_pid_file(path: Path, name: str, command: tuple[str, ...]) -> None:
    me = identify(os.getpid())
    assert me is not None
    record = _Record(name, me.pid, me.started, list(command))
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(path)


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _end(processes: list[ProcessIdentity]) -> None:
    """TERM, a short wait, KILL: for processes that should have ended with their part."""
    for process in processes:
        signal_process(process, signal.SIGTERM)
    if not _wait_for(lambda: not any(process.alive for process in processes), 5.0):
        for process in processes:
            signal_process(process, signal.SIGKILL)
        _wait_for(lambda: not any(process.alive for process in processes), 5.0)
