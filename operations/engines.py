"""Which processes of the engine work on a stack now, and which plugins go on without one, where the system can tell
(Linux)."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

from components.settings.names import PROJECT
from operations.stack import StackError, short_name

# What the engine's processes are called, and the commands of theirs that hold a stack's lock.
_ENGINE = "pulumi"
_PLUGIN = "pulumi-resource-"
_LOCKING = frozenset({"up", "update", "destroy", "refresh", "import", "down"})
_BACKEND = "PULUMI_BACKEND_URL"
# Seconds. A plugin has nothing to do at its end.
_ENDED_TIMEOUT = 10.0
_POLL = 0.1


def live_engines(
    processes: Path, root: Path, stack: str, environment: Mapping[str, str] = os.environ
) -> list[tuple[int, str]]:
    """Each one's id and the beginning of its command line.

    One in the project's directory that does not say which stack it works on, or with which backend, may well mean ours:
    it counts. So does one elsewhere that names the stack: a second checkout of the project, as a runner of CI has it.

    processes: `/proc`, or what stands in for it.
    root: the project's directory.
    environment: ours, for the backend that we would ask.
    """
    return _of_stack(_engines(processes), processes, root, stack, environment)


def abandoned_plugins(
    processes: Path, root: Path, stack: str, environment: Mapping[str, str] = os.environ
) -> list[tuple[int, str]]:
    """Plugins whose engine was killed, as `live_engines`: the engine has each in a process group of its own, and they
    go on with what it had asked of them, a Helm upgrade say."""
    plugins = [
        (number, arguments)
        for number, arguments in _processes(processes)
        if Path(arguments[0]).name.startswith(_PLUGIN) and not _has_engine(processes, number)
    ]
    return _of_stack(plugins, processes, root, stack, environment)


def end_plugin(processes: Path, number: int) -> str:
    """Raises `StackError` where it cannot be ended."""
    try:
        os.kill(number, signal.SIGTERM)
    except ProcessLookupError:
        return "ended"
    except PermissionError:
        raise StackError(f"process {number} is another user's; have it ended, then recover") from None
    deadline = time.monotonic() + _ENDED_TIMEOUT
    while time.monotonic() < deadline:
        try:
            # One that has ended and that nobody has asked for has no command line any more.
            if not _strings(processes / str(number) / "cmdline")[0]:
                return "ended"
        except OSError:
            return "ended"
        time.sleep(_POLL)
    raise StackError(f"process {number} does not end; `kill -9 {number}`, then recover")


def _of_stack(
    found: Iterable[tuple[int, list[str]]], processes: Path, root: Path, stack: str, environment: Mapping[str, str]
) -> list[tuple[int, str]]:
    """Those that work on the stack, or may; see `live_engines`."""
    ours = []
    for number, arguments in found:
        directory = _directory(processes / str(number))
        is_here = directory == root.resolve() or str(root) in arguments
        theirs = _environment(processes / str(number))
        named = _named_stack(arguments) or theirs.get("PULUMI_STACK")
        if named and short_name(named) != short_name(stack):
            continue
        if not is_here and (not named or directory is None or _project(named, directory) not in (None, PROJECT)):
            continue  # a stack of that name in another project, or see `hidden_engines`
        backend = environment.get(_BACKEND)
        if backend and theirs.get(_BACKEND, backend) != backend:
            continue
        ours.append((number, _shown(arguments)))
    return ours


def hidden_engines(processes: Path, stack: str) -> list[tuple[int, str]]:
    """Those of other users that may work on the stack: their directory and environment are not ours to read."""
    return [
        (number, _shown(arguments))
        for number, arguments in _engines(processes)
        if _directory(processes / str(number)) is None
        and short_name(_named_stack(arguments) or stack) == short_name(stack)
    ]


def _engines(processes: Path) -> Iterator[tuple[int, list[str]]]:
    """Id and command line of each engine that holds a stack's lock, by id."""
    for number, arguments in _processes(processes):
        if Path(arguments[0]).name == _ENGINE and _LOCKING.intersection(arguments[1:]):
            yield number, arguments


def _processes(processes: Path) -> Iterator[tuple[int, list[str]]]:
    for entry in sorted(processes.glob("[0-9]*"), key=lambda process: int(process.name)):
        try:
            yield int(entry.name), _strings(entry / "cmdline")
        except OSError:
            continue  # gone


def _has_engine(processes: Path, number: int) -> bool:
    """Whether an engine started it and is there: who has none is the child of another process."""
    try:
        # The name in parentheses may have anything in it; the parent's id is the second field after it.
        parent = (processes / str(number) / "stat").read_text().rpartition(")")[2].split()[1]
        return Path(_strings(processes / parent / "cmdline")[0]).name == _ENGINE
    except OSError:
        return False


def _shown(arguments: list[str]) -> str:
    return " ".join(arguments[:3]).strip()


def _directory(process: Path) -> Path | None:
    """Where it works; None of somebody else's, which only its user can ask."""
    try:
        return Path(os.readlink(process / "cwd")).resolve()
    except OSError:
        return None


def _project(named: str, directory: Path) -> str | None:
    """The project of a stack, by its full name or else by what stands in the directory; None where neither tells."""
    if named.count("/") == 2:
        return named.split("/")[1]
    for place in (directory, *directory.parents):
        try:
            document = yaml.safe_load((place / "Pulumi.yaml").read_text(encoding="utf-8"))
            return str(document["name"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
            return None
    return None


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
