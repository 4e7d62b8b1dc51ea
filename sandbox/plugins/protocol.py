"""A resource plugin as this project sees it: one class whose methods take and return plain Python values.

Owns the results and errors of those methods; the wire protocol is in `serve.py`, the values are in `values.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from sandbox.plugins.values import Properties, unwrap

DiffKind = Literal["add", "add-replace", "delete", "delete-replace", "update", "update-replace"]
Severity = Literal["debug", "info", "warning", "error"]


class ResourceError(Exception):
    """The operation failed and changed nothing that the state must record; the engine shows the text as it is."""


class InitializationFailed(Exception):
    """The object exists but did not reach the requested state: the engine keeps it and records the reasons.

    A later `up` of the same program then updates the object.
    """

    def __init__(self, id_: str, outputs: Properties, inputs: Properties, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.id = id_
        self.outputs = outputs
        self.inputs = inputs
        self.reasons = list(reasons)


@dataclass(frozen=True)
class CheckFailure:
    """`property` is a path in the inputs, or empty when the failure concerns the resource as a whole."""

    property: str
    reason: str


@dataclass(frozen=True)
class CheckResult:
    inputs: Properties
    failures: list[CheckFailure] = field(default_factory=list)


@dataclass(frozen=True)
class PropertyDiff:
    """`input_diff`: the path is one of the inputs; otherwise one of the outputs (a computed property that changes)."""

    kind: DiffKind
    input_diff: bool = True


@dataclass(frozen=True)
class DiffResult:
    """`replaces` and `diffs` are shown as reasons: property names or paths. `detailed` is keyed by paths.

    A path is written `a.b[0]["c.d"]`. Some official plugins report only names, some only paths.
    """

    changes: bool
    replaces: list[str] = field(default_factory=list)
    detailed: dict[str, PropertyDiff] = field(default_factory=dict)
    delete_before_replace: bool = False
    diffs: list[str] = field(default_factory=list)


class Log(Protocol):
    """Where a plugin's messages go. With `status`, the message is passing progress; otherwise it stays visible."""

    def __call__(self, severity: Severity, message: str, urn: str = "", status: bool = False) -> None: ...


def _log_to_stderr(severity: Severity, message: str, urn: str = "", status: bool = False) -> None:
    print(f"{severity}: {urn} {message}", file=sys.stderr)


class ResourceProvider:
    """A resource plugin. Methods are called from several threads at once.

    Methods raise `ResourceError`, or `InitializationFailed` if the object exists despite the failure. Any other
    exception is a fault in the plugin and is shown with its type.
    """

    name: str
    version: str
    log: Log = staticmethod(_log_to_stderr)

    def check_config(self, urn: str, olds: Properties, news: Properties) -> CheckResult:
        failures = [CheckFailure(key, f"the stand-in for {self.name} has no configuration {key!r}") for key in news]
        return CheckResult(news, failures)

    def diff_config(self, urn: str, olds: Properties, news: Properties) -> DiffResult:
        return DiffResult(changes=unwrap(olds) != unwrap(news))

    def configure(self, properties: Properties) -> None:
        """Called once, before any of the methods below; not called at all while a value is unknown."""

    def check(self, urn: str, type_: str, olds: Properties, news: Properties, random_seed: bytes) -> CheckResult:
        raise self.unsupported(type_)

    def diff(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: list[str],
    ) -> DiffResult:
        raise self.unsupported(type_)

    def create(self, urn: str, type_: str, inputs: Properties, timeout: float, preview: bool) -> tuple[str, Properties]:
        """`timeout` is in seconds, 0 if the program set none. The id is ignored at preview."""
        raise self.unsupported(type_)

    def read(
        self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """The live object's id, inputs and outputs; None if it is gone. On import, the given inputs and outputs are
        empty."""
        raise self.unsupported(type_)

    def update(
        self,
        urn: str,
        type_: str,
        id_: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout: float,
        preview: bool,
        ignore_changes: list[str],
    ) -> Properties:
        raise self.unsupported(type_)

    def delete(self, urn: str, type_: str, id_: str, inputs: Properties, outputs: Properties, timeout: float) -> None:
        raise self.unsupported(type_)

    def invoke(self, token: str, args: Properties) -> tuple[Properties, list[CheckFailure]]:
        raise ResourceError(f"the stand-in for {self.name} has no function {token}; install the official plugin")

    def cancel(self) -> None:
        """Asks running operations to end soon (an interrupted `up`); they then raise `ResourceError`."""

    def unsupported(self, type_: str) -> ResourceError:
        return ResourceError(
            f"the stand-in for {self.name} has no resource type {type_}; install the official {self.name} plugin"
        )
