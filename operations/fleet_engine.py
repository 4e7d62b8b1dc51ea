"""What `fleet` does to one environment: a preview or an `up` of the program beside it, by Pulumi's Automation API.

Owns the calls of the engine and how its output becomes a log and one error. Which environments, and how many at a time,
is `fleet`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pulumi import automation

from operations.fleet import FleetError, FleetOperation

_ERROR = "error: "


class _Workspace(automation.LocalWorkspace):
    """Finds a stack without selecting it: which one plain `pulumi` commands mean is the user's, and would be whichever
    environment came last."""

    def select_stack(self, stack_name: str) -> None:
        self.pulumi_command.run(["stack", "--stack", stack_name], self.work_dir, dict(self.env_vars))


@dataclass(frozen=True, kw_only=True)
class EngineRun:
    """A `fleet.Run`. `configuration` says where an environment's file is, when it is not beside the program."""

    operation: FleetOperation
    root: Path
    configuration: Callable[[str], Path] | None = None
    command: automation.PulumiCommand

    def __call__(self, stack: str, log: Path) -> Mapping[str, int]:
        log.parent.mkdir(parents=True, exist_ok=True)
        # The engine masks what it knows to be secret; nobody else on this machine needs the rest.
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:

            def write(line: str) -> None:
                print(line, file=file, flush=True)

            try:
                return self._run(stack, write)
            except automation.CommandError as error:
                raise FleetError(engine_error(str(error))) from None
            except RuntimeError as error:
                # The SDK's word for an engine that ended without a summary, killed say.
                raise FleetError(f"the engine said nothing of how it ended: {error}") from None

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
    """The first thing that the engine calls an error, without what the SDK puts around it; else its last line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for line in lines:
        _, marker, text = line.partition(_ERROR)
        if marker and text:
            return text
    return lines[-1] if lines else "it failed without a word"
