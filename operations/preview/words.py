"""The words that comment and page use for the engine's operations, and the summary of a preview."""

from __future__ import annotations

from collections.abc import Mapping

from operations.preview.document import Preview
from operations.preview.judgement import Assessment, Severity

# The engine's operation -> (what it does to the resource, sign).
_OPERATIONS: Mapping[str, tuple[str, str]] = {
    "create": ("create", "+"),
    "import": ("import", "="),
    "update": ("update", "~"),
    "replace": ("replace", "±"),
    "create-replacement": ("create its replacement", "+"),
    "delete-replaced": ("delete the replaced one", "−"),
    "import-replacement": ("import its replacement", "="),
    "delete": ("delete", "−"),
    "discard": ("forget", "−"),
    "discard-replaced": ("forget the replaced one", "−"),
    "read-replacement": ("read its replacement", "="),
    "same": ("unchanged", "·"),
    "read": ("read", "·"),
}
_COUNTED = ("delete", "replace", "update", "import", "create", "same")
_MARKS = {Severity.RED: "🔴", Severity.AMBER: "🟠", Severity.GREEN: "🟢", Severity.PLAIN: "⚪"}


def verb(operation: str) -> str:
    return _OPERATIONS.get(operation, (operation, "?"))[0]


def sign(operation: str) -> str:
    return _OPERATIONS.get(operation, (operation, "?"))[1]


def mark(severity: Severity) -> str:
    return _MARKS[severity]


def counted(preview: Preview) -> str:
    """`1 to replace, 3 to update, 38 unchanged`."""
    counts = dict(preview.counts)
    for operation in ("create-replacement", "delete-replaced", "read"):
        counts.pop(operation, None)
    words = [
        f"{counts.pop(operation)} {'unchanged' if operation == 'same' else f'to {operation}'}"
        for operation in _COUNTED
        if counts.get(operation)
    ]
    return ", ".join(words + [f"{count} {operation}" for operation, count in sorted(counts.items()) if count])


def headline(assessment: Assessment) -> str:
    """The worst of the preview in a few words."""
    red, green = assessment.of(Severity.RED), assessment.of(Severity.GREEN)
    amber = [one for one in assessment.of(Severity.AMBER) if not one.reason.startswith("restarts ")]
    said = []
    if red:
        said.append(f"{len(red)} thing{'s' if len(red) > 1 else ''} that cannot be undone")
    if assessment.restarts:
        said.append(f"restarts of {_joined(list(dict.fromkeys(one.role for one in assessment.restarts)))}")
    if amber:
        said.append(f"{len(amber)} to look at")
    if green:
        said.append(f"{len(green)} certificate{'s' if len(green) > 1 else ''} due")
    if not assessment.judgements:
        return "nothing changes"
    return ", ".join(said) if said else "nothing restarts, nothing is lost"


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
