"""What a pod's program receives from outside: the root of its file system, its address, its image, its timing.

Reads the environment that the kubelet sets. Real containers need none of it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sandbox.workloads.journal import StartRefused


def inside(path: str) -> Path:
    """A path of the container's own file system as a path of this machine; one that already is, is kept."""
    root = os.environ.get("SANDBOX_ROOT", "")
    if not path.startswith("/") or not root or path == root or path.startswith(root + "/"):
        return Path(path)
    return Path(root + path)


def bind_address() -> str:
    """The pod's own loopback address: every pod listens on the same ports."""
    return os.environ.get("POD_BIND_ADDRESS", "127.0.0.1")


def image_version(default: str) -> str:
    """The tag of the container's image."""
    name = os.environ.get("SANDBOX_IMAGE", "").partition("@")[0].rpartition("/")[2]
    return name.rpartition(":")[2] or default if ":" in name else default


def image_repository() -> str:
    """The last part of the image's repository, such as `teleport-ent-distroless`."""
    return os.environ.get("SANDBOX_IMAGE", "").partition("@")[0].rpartition("/")[2].partition(":")[0]


def seconds(variable: str, default: float) -> float:
    """A duration of the real program that tests may shorten."""
    return float(os.environ.get(variable, default))


def listening_address(address: str, default_port: int) -> tuple[str, int]:
    """`host:port`, `:port` or `` as an address to bind. A wildcard means the pod's own address, as on a real node."""
    host, colon, port = address.rpartition(":")
    if not colon:
        host, port = address, str(default_port)
    host = host.strip("[]")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise StartRefused(f"listen address {address!r}: port must be 1 to 65535")
    return (bind_address() if host in ("", "0.0.0.0", "::") else host, int(port))
