"""Gives each home a loopback /16 of its own, so that two sandboxes on one machine never meet.

Owns the choice and its record (`<home>/run/network.json`). The parts decide which addresses in it they use.
"""

from __future__ import annotations

import fcntl
import json
import socket
import zlib
from pathlib import Path

from sandbox.home import Cache, Home
from sandbox.supervisor import SandboxError

# 127.0 is shared by everybody, people pick low numbers by hand, and 127.255 contains the broadcast address.
FIRST, LAST = 64, 250


def loopback_prefix(home: Home, cache: Cache) -> str:
    """The home's prefix, such as `127.93`; chosen at the first call and kept. Raises SandboxError if none is free."""
    record = home.run / "network.json"
    known = _recorded_prefix(record)
    if known:
        return known
    cache.networks.mkdir(parents=True, exist_ok=True)
    with (cache.networks / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        count = LAST - FIRST + 1
        start = zlib.crc32(str(home.root).encode()) % count
        used = _listening_seconds()
        for step in range(count):
            second = FIRST + (start + step) % count
            claim = cache.networks / str(second)
            if second in used or _claimed_by_another(claim, home, f"127.{second}"):
                continue
            claim.write_text(str(home.root))
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps({"prefix": f"127.{second}"}) + "\n")
            return f"127.{second}"
    raise SandboxError(f"no loopback network from 127.{FIRST} to 127.{LAST} is free; stop a sandbox with `make down`")


def release(home: Home, cache: Cache) -> None:
    """Give the home's network back."""
    prefix = _recorded_prefix(home.run / "network.json")
    if prefix:
        claim = cache.networks / prefix.partition(".")[2]
        if claim.exists() and claim.read_text() == str(home.root):
            claim.unlink()


def free_port(taken: set[int], first: int, end: int) -> int:
    """A free port of 127.0.0.1, from `first` to below `end`; adds it to `taken`."""
    for port in range(first, end):
        if port not in taken and is_free(port):
            taken.add(port)
            return port
    raise SandboxError(f"no free port on 127.0.0.1 from {first} to {end - 1}; end what listens there")


def is_free(port: int) -> bool:
    """Whether a server could take this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do, so that lingering connections of an earlier run do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _recorded_prefix(record: Path) -> str | None:
    try:
        prefix = json.loads(record.read_text())["prefix"]
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return str(prefix)


def _claimed_by_another(claim: Path, home: Home, prefix: str) -> bool:
    if not claim.exists():
        return False
    owner = Home.at(claim.read_text())
    # A home that was removed by hand leaves its claim behind.
    return owner != home and _recorded_prefix(owner.run / "network.json") == prefix


def _listening_seconds() -> set[int]:
    """Second octets of the 127/8 addresses in use by any listener (another user's sandbox has another cache)."""
    seconds = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local = line.split()[1]
        # Little-endian hex: 0100007F is 127.0.0.1.
        if local[6:8] == "7F":
            seconds.add(int(local[4:6], 16))
    return seconds
