"""What a refused configuration says: one line for each problem, with its key, value, rule and remedy.

Owns the form of the text and what of a value may be shown. Which rules there are is the models' and `relations`'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.settings.secret_texts import may_be_shown

# Longer values say nothing more and push the rule out of sight.
LONGEST_SHOWN = 60


@dataclass(frozen=True, order=True)
class Problem:
    """One refused setting. `value` is text that may be shown; None where it is secret, absent or large."""

    key: str
    rule: str
    remedy: str
    value: str | None = None

    def __str__(self) -> str:
        subject = self.rule if self.value is None else f"{self.value} {self.rule}"
        return f"{self.key}: {subject}; {self.remedy}"


class SettingsError(pulumi.RunError):
    """The configuration cannot be used. `problems` has every reason; the text has one line for each.

    A `pulumi.RunError`, so that the engine shows the text and no traceback.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        heading = f"The configuration has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n".join([heading, *(f"  {problem}" for problem in self.problems)]))


def shown(value: Any) -> str | None:
    """`value` as a reader of YAML would write it on one line, or None where it is large or looks like a credential."""
    if isinstance(value, (dict, list, tuple)):
        return {dict: "a map", list: "a list", tuple: "a list"}[type(value)]
    if value is None:
        return "null"
    # JSON's escapes keep a line break or a terminal's control character in the value from breaking the line.
    text = json.dumps(value, ensure_ascii=not str(value).isprintable())
    if not may_be_shown(text):
        return None
    return text if len(text) <= LONGEST_SHOWN else f'{text[: LONGEST_SHOWN - 4]}..."'


def shown_key(part: object) -> str:
    """A part of a key path; one that would break the line is shown as JSON."""
    text = str(part)
    return text if text.isprintable() and len(text) <= LONGEST_SHOWN and text else json.dumps(text[:LONGEST_SHOWN])


def join(*parts: object) -> str:
    """The dotted key path of `parts`; a number is an index of a list."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{shown_key(part)}" if path else shown_key(part)
    return path
