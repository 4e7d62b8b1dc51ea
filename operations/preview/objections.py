"""Objections to a change beside its preview: policies that it violates, and what the live world would refuse.

Reads the engine's events (`--event-log`; `--json` does not report policies, CLI 3.250) and the JSON of `preflight`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from operations.findings import Outcome
from operations.preview.scrub import scrub

_COLOUR = re.compile(r"<\{%[^%]*%\}>|\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Objection:
    source: str
    """`policy` or `preflight`."""
    rule: str
    """Name of the policy or the check."""
    subject: str
    """The resource's name, or what the check claims."""
    reason: str
    binding: bool
    """Whether it blocks the change; otherwise it is a hint."""


def violations(events: str) -> tuple[Objection, ...]:
    """Policy violations in the engine's events (one JSON object a line), each once; other lines are ignored."""
    found: dict[Objection, None] = {}
    for event in _documents(events.splitlines()):
        said = event.get("policyEvent")
        if not isinstance(said, Mapping):
            continue
        message = _COLOUR.sub("", str(said.get("message", ""))).strip()
        objection = Objection(
            source="policy",
            rule=str(said.get("policyName", "")),
            subject=str(said.get("resourceUrn", "")).rsplit("::", 1)[-1],
            reason=scrub(" ".join(line.strip() for line in message.splitlines() if line.strip())),
            binding=said.get("enforcementLevel") == "mandatory",
        )
        found[objection] = None
    return tuple(found)


def failed_checks(findings: str) -> tuple[Objection, ...]:
    """The failed checks of `preflight --json`. Without a result nothing is known, which is worse than a failure."""
    document = next(_documents([findings]), None)
    listed = None if document is None else document.get("findings")
    if not isinstance(listed, list):
        reason = "it ended without a result; its log says why"
        return (Objection("preflight", "preflight", "the live world was asked", reason, binding=True),)
    return tuple(
        Objection(
            source="preflight",
            rule=str(one.get("check")),
            subject=str(one.get("statement")),
            reason=scrub(str(one.get("reason"))),
            binding=True,
        )
        for one in listed
        if isinstance(one, Mapping) and one.get("outcome") == Outcome.FAIL.value
    )


def _documents(texts: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for text in texts:
        try:
            document = json.loads(text)
        except ValueError:
            # The log was cut off in the middle of a line.
            continue
        if isinstance(document, Mapping):
            yield document
