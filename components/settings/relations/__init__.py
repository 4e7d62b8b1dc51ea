"""What settings mean together: rules that read more than one key, or the project's files.

Each rule is a function of a draft and finds what is wrong in it. A rule that reads a key which is itself refused is not
heard: its finding would be about a placeholder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.settings.configuration import Configuration
from components.settings.errors import Problem, shown


@dataclass(frozen=True)
class Draft:
    """A configuration whose single values are valid, and what else rules read."""

    configuration: Configuration
    secrets: Collection[str]
    """Names of the secret keys that are set."""

    root: Path
    """Directory of Pulumi.yaml."""


@dataclass(frozen=True)
class Finding:
    problem: Problem
    about: tuple[str, ...]
    """Every key the rule has read, the problem's own among them."""


def finding(key: str, value: Any, rule: str, remedy: str, *about: str) -> Finding:
    """A finding at `key`; `value` is Ellipsis where there is none to show."""
    return Finding(Problem(key, rule, remedy, None if value is ... else shown(value)), (key, *about))


Findings = Iterator[Finding]
