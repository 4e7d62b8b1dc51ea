"""The kubelet's own log: one timestamped line per event on stdout, which the supervisor keeps."""

from __future__ import annotations

import time


def say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}", flush=True)


def timestamp() -> str:
    """Now, as Kubernetes writes times in objects (RFC 3339, seconds, UTC)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
