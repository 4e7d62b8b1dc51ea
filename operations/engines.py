"""Which processes of the engine work on a stack now, where the system can tell (Linux)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from operations.stack import short_name

# What the engine's processes are called, and the commands of theirs that hold a stack's lock.
_ENGINE = "pulumi"
_LOCKING = frozenset({"up", "update", "destroy", "refresh", "import", "down"})
_BACKEND = "PULUMI_BACKEND_URL"


def live_engines(
    processes: Path, root: Path, stack: str, environment: Mapping[str, str] = os.environ
) -> list[tuple[int, str]]:
    """Each one's id and the beginning of its command line.

    One that does not say which stack it works on, or with which backend, may well mean ours: it counts.

    processes: `/proc`, or what stands in for it.
    root: the project's directory; engines elsewhere do not count.
    environment: ours, for the backend that we would ask.
    """
    found = []
    for entry in processes.glob("[0-9]*"):
        try:
            arguments = _strings(entry / "cmdline")
            directory = (entry / "cwd").resolve()
        except OSError:
            continue  # gone, or somebody else's
        if Path(arguments[0]).name != _ENGINE or not _LOCKING.intersection(arguments[1:]):
            continue
        if directory != root.resolve() and str(root) not in arguments:
            continue
        theirs = _environment(entry)
        named = _named_stack(arguments) or theirs.get("PULUMI_STACK")
        if named and short_name(named) != short_name(stack):
            continue
        ours = environment.get(_BACKEND)
        if ours and theirs.get(_BACKEND, ours) != ours:
            continue
        found.append((int(entry.name), " ".join(arguments[:3]).strip()))
    return sorted(found)


def _strings(file: Path) -> list[str]:
    return file.read_bytes().decode("utf-8", "replace").split("\0")


def _environment(process: Path) -> dict[str, str]:
    try:
        return dict(one.split("=", 1) for one in _strings(process / "environ") if "=" in one)
    except OSError:
        return {}


def _named_stack(arguments: list[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument in ("--stack", "-s"):
            return next(iter(arguments[position + 1 :]), None)
        if argument.startswith("--stack="):
            return argument.removeprefix("--stack=")
    return None
