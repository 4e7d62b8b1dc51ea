"""Settings whose value may be another stack's output: how such a reference is written, and what rule it follows.

Owns the form. The outputs are read, and checked as literals are, by `components/stack_references.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from components.settings.rules import Rule

PREFIX = "stack:"
FORM = f"{PREFIX}<organization>/<project>/<stack>#<output>"

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_REFERENCE = re.compile(
    rf"{PREFIX}(?P<stack>{_NAME}/{_NAME}/{_NAME})#(?P<output>[A-Za-z_][\w-]*(\.[A-Za-z_][\w-]*)*)", re.ASCII
)


@dataclass(frozen=True)
class StackOutput:
    """One output of another stack."""

    stack: str
    """`organization/project/stack`; the organization is `organization` in backends without any."""
    output: str
    """Name of the output; dots lead into an object."""


def stack_output(value: str) -> StackOutput | None:
    """The reference that `value` is, or None for a literal."""
    match = _REFERENCE.fullmatch(value)
    return None if match is None else StackOutput(match["stack"], match["output"])


def or_stack_output(rule: Rule) -> Rule:
    """`rule` for a literal; a reference is checked by the same rule once its value is known."""

    def accepts(value: str) -> bool:
        return stack_output(value) is not None or rule.accepts(value)

    def because(value: str) -> str | None:
        if value.startswith(PREFIX):
            return f"begins with {PREFIX} and is not of the form {FORM}"
        return rule.because(value)

    return Rule(f"{rule.statement}, or another stack's output as {FORM}", accepts, rule.remedy, because, rule.secret)
