"""Processes by identity: a pid together with when it started, so that a pid that was used again is never mistaken.

Reads /proc. Knows nothing of what the processes are for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# In every environment of what the supervisor starts, and inherited: tells our own from everything else.
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
    """Who has this pid now; None if no one, or only a zombie that nobody has reaped."""
    stat = _stat(pid)
    if stat is None or stat.state in "ZX":
        return None
    return ProcessIdentity(pid, f"{_boot_id()}:{stat.start_ticks}")


def in_session_of(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """Live members of the session the process leads or led, itself included; none that is older than it."""
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
    """Pids of what the process started, and of what those started; parents before their children."""
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
    """Live processes whose environment has `name` with this prefix; those of other users are seen by root only."""
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
    """Send a signal if it is still that process."""
    if process.alive:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            pass  # gone between the look and the signal


def _pids() -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command's name, in parentheses, may hold anything; what follows the last one is fixed.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), session=int(fields[3]), start_ticks=int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
