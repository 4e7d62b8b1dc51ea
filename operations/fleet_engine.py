"""What `fleet` does to one environment: a preview or an `up` of this program through Pulumi's Automation API.

Owns the calls of the engine, and turns its output into a log and one error. `fleet` decides which environments, and how
many at a time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pulumi import automation

from operations.fleet import FleetError, FleetOperation, changes_in_words
from operations.stack import StackError

_ERROR = "error: "
# The SDK's additions to the engine's output.
_CODE = re.compile(r"\s*code: (-?\d+)\n")
_AROUND = re.compile(r"(?m)^ ?(?:code: -?\d+$|(?:stdout|stderr):)")
# The heading above a list of errors, even of a single one: the Kubernetes plugin's, and the program's own when it
# refuses a configuration ("The configuration has 1 problem:").
_HEADING = re.compile(r"\d+ errors? occurred:|.* has \d+ problems?:")
# Errors of the stack as a whole, whatever failed in it.
_OF_THE_WHOLE = ("update failed", "preview failed")


class EngineCommand(automation.PulumiCommand):
    """The CLI in a session of its own, so that Ctrl-C in a terminal reaches the fleet but no engine.

    Raises `StackError` when there is no CLI, or none of a usable version.
    """

    def __init__(self) -> None:
        try:
            super().__init__()
        except FileNotFoundError:
            raise StackError("pulumi: is not on PATH; install it") from None
        except (automation.InvalidVersionError, subprocess.CalledProcessError, OSError, ValueError) as error:
            raise StackError(f"pulumi: its version cannot be used: {error}") from None
        self._running: set[subprocess.Popen[str]] = set()

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Callable[[str], object] | None = None,
        on_error: Callable[[str], object] | None = None,
    ) -> automation.CommandResult:
        """Like the SDK's own method, which has no option for how to start the process."""
        with subprocess.Popen(
            [self.command, "--non-interactive", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            self._running.add(process)
            try:
                said: list[str] = []
                complained: list[str] = []
                reader = threading.Thread(target=_keep, args=(process.stderr, on_error, complained))
                reader.start()
                _keep(process.stdout or (), on_output, said)
                reader.join()
                code = process.wait()
            finally:
                self._running.discard(process)
        result = automation.CommandResult(stdout="\n".join(said), stderr="\n".join(complained), code=code)
        if code:
            raise automation.CommandError(result)
        return result

    def interrupt(self) -> None:
        """Like Ctrl-C: the engines finish what they have begun and begin nothing else. A second interrupt breaks them
        off."""
        for process in tuple(self._running):
            process.send_signal(signal.SIGINT)


def _keep(stream: Iterable[str], tell: Callable[[str], object] | None, lines: list[str]) -> None:
    for line in map(str.rstrip, stream):
        if tell is not None:
            tell(line)
        lines.append(line)


class _Workspace(automation.LocalWorkspace):
    """Finds a stack without selecting it. The user decides which stack plain `pulumi` commands act on; otherwise it
    would be whichever environment came last."""

    def select_stack(self, stack_name: str) -> None:
        self.pulumi_command.run(["stack", "--stack", stack_name], self.work_dir, dict(self.env_vars))


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """A `fleet.Run`. `configuration` gives the path of an environment's file when it is not beside the program."""

    operation: FleetOperation
    root: Path
    configuration: Callable[[str], Path] | None = None
    command: automation.PulumiCommand

    def __call__(self, stack: str, log: Path) -> Mapping[str, int]:
        log.parent.mkdir(parents=True, exist_ok=True)
        # The engine masks secrets that it knows of; no other user of this machine needs the rest.
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
            lost: list[OSError] = []

            def write(line: str) -> None:
                if lost:
                    return
                try:
                    file.write(f"{line}\n".encode(errors="replace"))
                except OSError as error:
                    # A full disk, say. Keep reading: an engine whose output nobody reads would stop in the middle of
                    # its work.
                    lost.append(error)

            try:
                changes = self._run(stack, write)
            except automation.CommandError as error:
                raise FleetError(engine_error(str(error))) from None
            except RuntimeError as error:
                # The SDK's error for an engine that ended without a summary, such as a killed one.
                raise FleetError(f"the engine said nothing of how it ended: {error}") from None
        if lost:
            said = changes_in_words(changes)
            raise FleetError(f"it went well ({said}), but its log could not be written: {lost[0].strerror}")
        return changes

    def _run(self, stack: str, write: Callable[[str], None]) -> Mapping[str, int]:
        workspace = _Workspace(work_dir=str(self.root), pulumi_command=self.command)
        selected = automation.Stack.select(stack, workspace)
        file = None if self.configuration is None else str(self.configuration(stack))
        if self.operation is FleetOperation.preview:
            previewed = selected.preview(color="never", on_output=write, on_error=write, config_file=file)
            return {str(getattr(kind, "value", kind)): count for kind, count in previewed.change_summary.items()}
        done = selected.up(
            color="never", on_output=write, on_error=write, config_file=file, suppress_outputs=True, show_secrets=False
        )
        changes = done.summary.resource_changes or {}
        return {str(getattr(kind, "value", kind)): count for kind, count in changes.items()}


def engine_error(said: str) -> str:
    """The engine's first telling error, without the SDK's additions; else the signal that ended it, or its last
    line."""
    code = _CODE.match(said)
    lines = [line for line in _AROUND.sub("", said).splitlines() if line.strip()]
    errors = []
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        before, marker, text = line.strip().partition(_ERROR)
        if _HEADING.fullmatch(text):
            # A progress line may end with the heading too, but has no text below it.
            below = not before and _depth(following) > _depth(line)
            text = following.strip().removeprefix("* ") if below else ""
        if marker and text:
            errors.append(text)
    telling = [text for text in errors if text not in _OF_THE_WHOLE]
    if not errors and code is not None and (ended_by := _signal(int(code.group(1)))):
        return f"killed by signal {ended_by}"
    wordless = "it failed without a word" + (f", with exit code {code.group(1)}" if code is not None else "")
    return next(iter([*telling, *errors, *(line.strip() for line in lines[-1:])]), wordless)


def _depth(line: str) -> int:
    """How far a line is indented, in columns."""
    line = line.expandtabs()
    return len(line) - len(line.lstrip())


def _signal(code: int) -> int | None:
    """The signal behind an exit code: negative in Python, above 128 in a shell."""
    if code < 0:
        return -code
    return code - 128 if 128 < code < 160 else None
