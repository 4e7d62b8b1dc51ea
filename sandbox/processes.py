"""Processes by identity: a pid together with its start time, so that a reused pid is never mistaken.

Reads /proc. Knows nothing of the processes' purpose.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Set in the environment of everything the supervisor starts, and inherited: tells our processes from all others.
MARKER = "SANDBOX_PART"


@dataclass(frozen=True)
class ProcessIdentity:
    """`started` is boot id and start time in clock ticks: no other process ever has the same pair with this pid."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        return identify(self.pid) == self


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    session: int
    start_ticks: int


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now; None if there is none, or only an unreaped zombie."""
    stat = _stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    return ProcessIdentity(pid, f"{_boot_id()}:{stat.start_ticks}")


def in_session_of(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """Live members of the session the process leads or led, itself included; none older than the process."""
    boot, _, ticks = leader.started.partition(":")
    if boot != _boot_id():
        return []
    found = []
    for pid in _pids():
        stat = _stat(pid)
        if stat and stat.session == leader.pid and stat.start_ticks >= int(ticks) and stat.state not in "ZX":
            found.append(ProcessIdentity(pid, f"{boot}:{stat.start_ticks}"))
    return found


def descendants(ancestor: int) -> list[int]:
    """Pids of the process's children and further descendants; parents before their children."""
    children: dict[int, list[int]] = {}
    for pid in _pids():
        stat = _stat(pid)
        if stat:
            children.setdefault(stat.parent, []).append(pid)
    found: list[int] = []
    following = [ancestor]
    while following:
        below = children.get(following.pop(0), [])
        found += below
        following += below
    return found


def marked(prefix: str, name: str = MARKER) -> list[ProcessIdentity]:
    """Live processes whose environment has `name` with this prefix; only root can see those of other users."""
    wanted = f"{name}={prefix}".encode()
    found = []
    for pid in _pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if any(entry.startswith(wanted) for entry in environment.split(b"\0")):
            identity = identify(pid)
            if identity and pid != os.getpid():
                found.append(identity)
    return found


def signal_process(process: ProcessIdentity, number: int) -> None:
    """Send a signal if the pid still belongs to that process."""
    if process.alive:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass  # gone between the check and the signal


def _pids() -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in parentheses, may contain anything; after its last parenthesis the format is fixed.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), start_ticks=int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
