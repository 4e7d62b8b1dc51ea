"""Reads the output of `pulumi preview --json`: steps, diagnostics, and whether it succeeded.

Owns the format (CLI 3.250 to 3.256: one digest at the end; unchanged resources only with `--show-sames`). Parts of an
unexpected form are left out rather than refused: a comment that lacks a line is better than none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from operations.preview.scrub import scrub, scrub_value

# Exit code of `--expect-no-changes` with changes, since CLI 3.250; before, it was 1, with this message on standard
# error.
CHANGES_NOT_EXPECTED = 7
_UNEXPECTED_CHANGES = "no changes were expected"
# Exit codes of timeout(1), and of shells after SIGINT, SIGKILL and SIGTERM.
_KILLED = {124: "it ran out of time", 130: "it was interrupted", 137: "it was killed", 143: "it was terminated"}
# How many of standard error's last lines are shown.
_LOG_LINES = 40

_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Step:
    """What will happen to one resource."""

    operation: str  # the engine's word: create, update, replace, delete, same, read, import, ...
    urn: str
    old: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] = field(default_factory=dict)
    replace_reasons: tuple[str, ...] = ()
    differences: Mapping[str, str] = field(default_factory=dict)  # property path -> add, update, update-replace, ...
    # Inputs in the state before `--refresh` read the resource. A plugin may return in plain text what the engine masks
    # there, and `old` then has the plain text.
    recorded_inputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.urn.rsplit("::", 1)[-1]

    @property
    def type_chain(self) -> tuple[str, ...]:
        """Types from the outermost component to the resource's own."""
        parts = self.urn.split("::")
        return tuple(parts[2].split("$")) if len(parts) > 3 else ("",)

    @property
    def type(self) -> str:
        return self.type_chain[-1]

    @property
    def parent_type(self) -> str:
        return self.type_chain[-2] if len(self.type_chain) > 1 else ""

    @property
    def state(self) -> Mapping[str, Any]:
        return self.new or self.old

    @property
    def old_inputs(self) -> Mapping[str, Any]:
        return _mapping(self.old.get("inputs"))

    @property
    def new_inputs(self) -> Mapping[str, Any]:
        return _mapping(self.new.get("inputs"))

    @property
    def dependencies(self) -> tuple[str, ...]:
        return _texts(self.state.get("dependencies"))

    @property
    def protected(self) -> bool:
        return self.old.get("protect") is True

    @property
    def retained(self) -> bool:
        """Whether deleting it only removes it from the state."""
        return self.old.get("retainOnDelete") is True

    @property
    def is_custom(self) -> bool:
        """Whether it exists outside the program; components do not."""
        return self.state.get("custom") is True


@dataclass(frozen=True)
class Diagnostic:
    severity: str  # error, warning, info
    message: str
    urn: str = ""


@dataclass(frozen=True)
class Preview:
    steps: tuple[Step, ...] = ()
    # Each resource's inputs in the state before `--refresh` read it; empty without `--refresh`.
    recorded: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    diagnostics: tuple[Diagnostic, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None  # why it did not succeed
    log: str = ""  # the end of standard error, if it failed

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.operation not in QUIET)

    @property
    def errors(self) -> list[str]:
        """The lines of the engine's errors, each error after the name of its resource."""
        return [
            line
            for one in self.diagnostics
            if one.severity == "error"
            for line in ([f"{one.urn.rsplit('::', 1)[-1]}:"] if one.urn else []) + one.message.splitlines()
        ]

    def of_type(self, type_: str) -> Iterator[Step]:
        return (step for step in self.steps if step.type == type_)


# Operations that change nothing.
QUIET = frozenset({"same", "read", "refresh", "read-discard", "remove-pending-replace"})


def read_preview(text: str, *, exit_code: int | None = None, log: str = "") -> Preview:
    """The preview in `text`, without secrets. Never raises: unreadable text is a failure of the preview.

    `exit_code` and `log` (standard error) are the engine's, when they are known.
    """
    document, problem = _parse(text)
    diagnostics = tuple(_diagnostics(document.get("diagnostics")))
    failure = problem or _failure(document, exit_code, diagnostics, log)
    code = exit_code or 0
    killed = _KILLED.get(code) or (f"signal {-code} ended it" if code < 0 else None)
    if killed is not None:
        failure = f"The preview did not end by itself: {killed}." + (" It had said nothing yet." if problem else "")
    refreshed, steps = _phases(_steps(document.get("steps")))
    return Preview(
        steps=steps,
        recorded=refreshed,
        configuration=_mapping(document.get("config")),
        diagnostics=diagnostics,
        counts={
            str(key): value
            for key, value in _mapping(document.get("changeSummary")).items()
            if isinstance(value, int) and not isinstance(value, bool)
        },
        failure=failure,
        log="" if failure is None else _tail(scrub(log)),
    )


def _parse(text: str) -> tuple[Mapping[str, Any], str | None]:
    begin = text.find("{")  # the CLI may print something before it
    if begin < 0:
        return _NOTHING, "The preview ended without a result."
    try:
        document, _ = json.JSONDecoder().raw_decode(text, begin)
    except (ValueError, RecursionError):
        return _NOTHING, "The preview's result is cut off: it was killed while it wrote, or the file is not its output."
    document = dict(_mapping(document))
    document["config"] = _configuration(document.get("config"))
    return _mapping(scrub_value(document)), None


def _failure(
    document: Mapping[str, Any], exit_code: int | None, diagnostics: Sequence[Diagnostic], log: str
) -> str | None:
    if any(one.severity == "error" for one in diagnostics):
        return "The preview failed."
    if "changeSummary" not in document:
        # The engine's last event brings it, even for a stack without resources.
        return "The preview has no summary: it was cancelled before its end, or the file is not its output."
    if exit_code in (None, 0, CHANGES_NOT_EXPECTED) or _UNEXPECTED_CHANGES in log:
        return None
    return f"The preview failed with exit code {exit_code}, and gave no reason in its result."


def _steps(given: Any) -> Iterator[Step]:
    for item in given if isinstance(given, list) else ():
        if not isinstance(item, Mapping) or not isinstance(item.get("urn"), str):
            continue
        yield Step(
            operation=str(item.get("op", "")),
            urn=item["urn"],
            old=_mapping(item.get("oldState")),
            new=_mapping(item.get("newState")),
            replace_reasons=_texts(item.get("replaceReasons")),
            differences={
                str(path): str(_mapping(difference).get("kind", ""))
                for path, difference in _mapping(item.get("detailedDiff")).items()
            },
        )


def _phases(steps: Iterator[Step]) -> tuple[dict[str, Mapping[str, Any]], tuple[Step, ...]]:
    """Separates the steps of `--refresh`, which come first, one per resource, with the state's old inputs."""
    recorded: dict[str, Mapping[str, Any]] = {}
    planned = []
    for step in steps:
        if step.operation == "refresh":
            recorded[step.urn] = step.old_inputs
        else:
            # With an alias, the resource has another URN than in the state.
            before = recorded.get(str(step.old.get("urn")), recorded.get(step.urn, _NOTHING))
            planned.append(replace(step, recorded_inputs=before))
    return recorded, tuple(planned)


def _diagnostics(given: Any) -> Iterator[Diagnostic]:
    for item in given if isinstance(given, list) else ():
        if isinstance(item, Mapping) and isinstance(item.get("message"), str):
            yield Diagnostic(str(item.get("severity", "info")), item["message"].strip(), str(item.get("urn") or ""))


def _configuration(given: Any) -> dict[str, Any]:
    """The stack's settings, keys without namespace; objects are given as JSON texts."""
    settings = {}
    for key, value in _mapping(given).items():
        if isinstance(value, str) and value[:1] in ("{", "["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                pass
        settings[str(key).rsplit(":", 1)[-1]] = value
    return settings


def _tail(log: str) -> str:
    return "\n".join(log.strip().splitlines()[-_LOG_LINES:])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
