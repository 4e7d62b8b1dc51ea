"""What each check found, one line each, for people or as JSON; and the exit code of a run."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from components.printable import printable

# How an object of the stack's is restored after somebody changed it. An `up` takes over fields that kubectl wrote, but
# its preview reports them as a conflict. Source: pulumi-kubernetes, provider/pkg/await/await.go, fixCSAFieldManagers.
WRITTEN_BACK: Final = "`up --refresh`, and with `--skip-preview` where kubectl wrote it"


class Outcome(str, Enum):
    PASS = "pass"
    FAIL = "fail"
    NOT_PROVEN = "not proven"  # could not be examined from here; nothing is known against it


@dataclass(frozen=True)
class Finding:
    """One check's outcome."""

    check: str  # stable name, `part.statement`
    outcome: Outcome
    statement: str  # what is claimed
    reason: str  # what was seen, or why the claim does not hold, and the remedy


def passed(check: str, statement: str, reason: str) -> Finding:
    return Finding(check, Outcome.PASS, statement, reason)


def failed(check: str, statement: str, reason: str) -> Finding:
    return Finding(check, Outcome.FAIL, statement, reason)


def not_proven(check: str, statement: str, reason: str) -> Finding:
    return Finding(check, Outcome.NOT_PROVEN, statement, reason)


def exit_code(findings: Sequence[Finding], *, allow_unproven: bool = False) -> int:
    """0: everything passed. 1: something failed, or nothing was checked. 3: nothing failed, but not all was proven."""
    outcomes = {finding.outcome for finding in findings}
    if Outcome.FAIL in outcomes or not outcomes:
        return 1
    if Outcome.NOT_PROVEN in outcomes and not allow_unproven:
        return 3
    return 0


_STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.NOT_PROVEN: "yellow"}


def print_findings(findings: Sequence[Finding], *, as_json: bool, stream: TextIO | None = None) -> None:
    stream = stream or sys.stdout
    if as_json:
        counts = {one.value: sum(finding.outcome is one for finding in findings) for one in Outcome}
        json.dump({"findings": [asdict(finding) for finding in findings], "counts": counts}, stream, indent=2)
        stream.write("\n")
        return
    # Terminals and logs both get these lines. They are never wrapped, so that a check stays one line whatever it
    # quotes.
    console = Console(file=stream, soft_wrap=True, highlight=False)
    for finding in findings:
        console.print(
            Text(f"{finding.outcome.value:<10}", style=_STYLES[finding.outcome]),
            Text(f" {printable(f'{finding.statement}: {finding.reason}')}"),
            sep="",
        )
    failures = sum(finding.outcome is Outcome.FAIL for finding in findings)
    unproven = sum(finding.outcome is Outcome.NOT_PROVEN for finding in findings)
    console.print(f"{len(findings)} checks, {failures} failed, {unproven} not proven")
