"""Which processes of the engine work on a stack now, and which plugins have outlived their engine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml

from components.settings.names import PROJECT
from operations.stack import StackError, short_name

# Program names of the engine's processes, and the engine's commands that hold a stack's lock.
_ENGINE = "pulumi"
_PLUGIN = "pulumi-resource-"
_LOCKING = frozenset({"up", "update", "destroy", "refresh", "import", "down"})
_BACKEND = "PULUMI_BACKEND_URL"
# Seconds. A plugin has nothing to do before it ends.
_ENDED_TIMEOUT = 10.0
_POLL = 0.1


@dataclass(frozen=True)
class EngineProcess:
    """An engine or one of its plugins, as far as this user may examine it."""

    number: int
    name: str
    """The program's name, without directory."""
    arguments: Sequence[str] | None
    """Its command line, with the program; None for another user's process when the system hides it."""
    directory: Path | None
    """Its working directory; None for another user's process."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Empty for another user's process."""
    has_engine: bool = False
    """Whether its parent is an engine that runs; a plugin whose engine died has another parent."""

    @property
    def shown(self) -> str:
        """The beginning of the command line."""
        return " ".join((self.arguments or [self.name])[:3]).strip()

    @property
    def holds_lock(self) -> bool:
        """Whether it is an engine that holds a stack's lock, or may hold it."""
        return self.name == _ENGINE and (self.arguments is None or bool(_LOCKING.intersection(self.arguments[1:])))

    @property
    def stack(self) -> str | None:
        """The stack that the command line names."""
        arguments = self.arguments or ()
        for position, argument in enumerate(arguments):
            if argument in ("--stack", "-s"):
                return next(iter(arguments[position + 1 :]), None)
            if argument.startswith("--stack="):
                return argument.removeprefix("--stack=")
        return None


def engine_processes() -> list[EngineProcess]:
    """This machine's engines and plugins, by process number."""
    found = []
    for process in psutil.process_iter(["pid", "name", "status", "cmdline", "cwd", "environ"]):
        seen = process.info
        arguments = seen["cmdline"] or None
        name = _program(arguments, seen["name"])
        if seen["status"] == psutil.STATUS_ZOMBIE or (name != _ENGINE and not name.startswith(_PLUGIN)):
            continue
        found.append(
            EngineProcess(
                number=seen["pid"],
                name=name,
                arguments=arguments,
                directory=Path(seen["cwd"]) if seen["cwd"] else None,
                environment=seen["environ"] or {},
                has_engine=_has_engine(process),
            )
        )
    return sorted(found, key=lambda process: process.number)


def live_engines(
    processes: Iterable[EngineProcess], root: Path, stack: str, environment: Mapping[str, str] = os.environ
) -> list[EngineProcess]:
    """Engines that hold the stack's lock, or may hold it.

    An engine in the project's directory counts if it does not tell its stack or its backend: it may well be ours. So
    does one elsewhere that names the stack: it may be a second checkout of the project, as CI runners have.

    root: the project's directory.
    environment: ours, for the backend that we would ask.
    """
    return [process for process in processes if process.holds_lock and _is_of(process, root, stack, environment)]


def abandoned_plugins(
    processes: Iterable[EngineProcess], root: Path, stack: str, environment: Mapping[str, str] = os.environ
) -> list[EngineProcess]:
    """Plugins of the stack, as in `live_engines`, whose engine was killed. Each runs in a process group of its own and
    goes on with what the engine asked of it, such as a Helm upgrade."""
    return [
        process
        for process in processes
        if process.name.startswith(_PLUGIN) and not process.has_engine and _is_of(process, root, stack, environment)
    ]


def hidden_engines(processes: Iterable[EngineProcess], stack: str) -> list[EngineProcess]:
    """Other users' engines that may work on the stack: we may not read their directory and environment."""
    return [
        process
        for process in processes
        if process.holds_lock and process.directory is None and short_name(process.stack or stack) == short_name(stack)
    ]


def end_plugin(number: int) -> str:
    """End the process. Raises `StackError` when it cannot be ended."""
    try:
        process = psutil.Process(number)
        process.terminate()
        deadline = time.monotonic() + _ENDED_TIMEOUT
        while time.monotonic() < deadline:
            # A dead process stays a zombie until its parent, or the one that adopted it, waits for it.
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return "ended"
            time.sleep(_POLL)
    except psutil.NoSuchProcess:
        return "ended"
    except psutil.AccessDenied:
        raise StackError(f"process {number} is another user's; have it ended, then recover") from None
    raise StackError(f"process {number} does not end; `kill -9 {number}`, then recover")


def _is_of(process: EngineProcess, root: Path, stack: str, environment: Mapping[str, str]) -> bool:
    """Whether it works on the stack, or may; see `live_engines`."""
    directory = process.directory.resolve() if process.directory else None
    is_here = directory == root.resolve() or str(root) in (process.arguments or ())
    named = process.stack or process.environment.get("PULUMI_STACK")
    if named and short_name(named) != short_name(stack):
        return False
    if not is_here and (not named or directory is None or _project(named, directory) not in (None, PROJECT)):
        return False  # a stack of that name in another project, or one for `hidden_engines`
    backend = environment.get(_BACKEND)
    return not backend or process.environment.get(_BACKEND, backend) == backend


def _program(arguments: Sequence[str] | None, name: str | None) -> str:
    """Name from the command line when it is readable: for a wrapped program the system reports another name."""
    return Path(arguments[0] if arguments else name or "").name.removesuffix(".exe")


def _has_engine(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        seen = {} if parent is None else parent.as_dict(["cmdline", "name"])
        return bool(seen) and _program(seen["cmdline"], seen["name"]) == _ENGINE
    except psutil.Error:
        return False


def _project(named: str, directory: Path) -> str | None:
    """A stack's project, from its full name or else from Pulumi.yaml in or above the directory; None when neither
    tells."""
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
