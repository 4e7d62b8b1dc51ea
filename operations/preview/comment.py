"""One Markdown comment for a preview: worst first, long parts folded, cut at GitHub's limit.

The first line is the stack's marker, by which the comment is found and edited. `markdown` confines texts from the
preview, and keeps the whole within GitHub's limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from operations.preview.document import Preview
from operations.preview.judgement import Assessment, Judgement, Severity, assess
from operations.preview.markdown import END_FENCE, Block, cell, code, fenced, fit, folded, in_line, marker
from operations.preview.objections import Objection
from operations.preview.property_paths import changes
from operations.preview.trusted_authorities import TrustChange, TrustedAuthority, trust_change
from operations.preview.words import counted, headline, mark, sign, verb

_VALUE_LIMIT = 300
# The plugin then compares by itself, and does not say so.
NOT_VALIDATED = (
    "Server validation was skipped: this preview's identity may not ask the API server for dry runs, so that what it "
    "would refuse or fill in is not in here."
)


def comment(
    preview: Preview,
    *,
    stack: str,
    report: str | None = None,
    commit: str | None = None,
    allowed: bool = False,
    validated: bool | None = None,
    objections: Sequence[Objection] = (),
) -> str:
    """The comment, at most `LIMIT` bytes.

    `report` is the page's URL; `allowed` tells whether somebody permitted red changes; `validated` whether the API
    server was asked what it would do, None when that is unknown.
    """
    footer = _footer(report, commit)
    blocks = [Block([marker(stack)])]
    if preview.failure is not None:
        blocks += _failed(preview, stack, objections)
    else:
        blocks += _succeeded(preview, stack, allowed, validated, objections)
    return fit(blocks, footer)


def _succeeded(
    preview: Preview, stack: str, allowed: bool, validated: bool | None, objections: Sequence[Objection]
) -> Iterator[Block]:
    assessment = assess(preview)
    trust = trust_change(preview)
    yield Block([f"### {mark(assessment.worst)} {code(stack)}: {headline(assessment)}", "", counted(preview), ""])
    if validated is False:
        yield Block([NOT_VALIDATED, ""])
    yield from _objections(objections)
    # Before the long parts, because the end is cut first.
    if assessment.of(Severity.RED):
        yield Block(["A label allows what is red." if allowed else "**This check fails until a label allows it.**", ""])
    yield from _judged(preview, assessment, trust)


def _objections(objections: Sequence[Objection]) -> Iterator[Block]:
    binding = [one for one in objections if one.binding]
    if binding:
        yield Block(
            [f"| {code(one.rule)} | {code(one.subject)} | {cell(one.reason)} |" for one in binding],
            opening=["#### ⛔ Stands against it, whatever the labels", "", "| rule | what | |", "| --- | --- | --- |"],
            closing=[""],
        )
    hints = [one for one in objections if not one.binding]
    if hints:
        yield Block(
            [in_line(f"{one.rule}: {one.subject}: {one.reason}") for one in hints],
            opening=folded(f"{len(hints)} hint{'s' if len(hints) > 1 else ''} of policies", fence="text"),
            closing=END_FENCE,
        )


def _judged(preview: Preview, assessment: Assessment, trust: TrustChange) -> Iterator[Block]:
    yield from _table("🔴 Cannot be undone", assessment.of(Severity.RED))
    yield from _trust(trust)
    if assessment.restarts:
        yield Block(
            [
                f"{position}. {code(str(restart))}" + (f": {restart.note}" if restart.note else "")
                for position, restart in enumerate(assessment.restarts, 1)
            ],
            opening=["#### 🟠 Restarts, in this order", ""],
            closing=[""],
        )
    # Restarts are listed above already, by what restarts.
    felt = [one for one in assessment.of(Severity.AMBER) if not one.reason.startswith("restarts ")]
    yield from _table("🟠 To look at", felt)
    yield from _table("🟢 Due, and nobody's change", assessment.of(Severity.GREEN))
    yield from _diagnostics(preview)
    known = {id(one) for severity in (Severity.RED, Severity.GREEN) for one in assessment.of(severity)}
    others = [one for one in assessment.judgements if id(one) not in known and one not in felt]
    if others:
        yield Block(
            [f"{sign(one.step.operation)} {in_line(one.step.name)} ({verb(one.step.operation)})" for one in others],
            opening=folded(f"{len(others)} other change{'s' if len(others) > 1 else ''}", fence="text"),
            closing=END_FENCE,
        )
    lines = [line for one in assessment.judgements for line in difference(one)]
    if lines:
        yield Block(lines, opening=folded("What changes, property by property", fence="diff"), closing=END_FENCE)


def _failed(preview: Preview, stack: str, objections: Sequence[Objection]) -> Iterator[Block]:
    yield Block([f"### ⛔ {code(stack)}: {preview.failure}", ""])
    yield from _objections(objections)
    if preview.errors:
        yield fenced(preview.errors, closing=[""])
    if preview.log:
        log = preview.log.splitlines()
        yield fenced(
            log, opening=["<details><summary>The end of its log</summary>", ""], closing=["", "</details>", ""]
        )
    if preview.changes:
        assessment = assess(preview)
        yield Block(
            [
                f"What it had found until then, **which is not all**: {headline(assessment)}.",
                "",
            ]
        )
        yield from _judged(
            Preview(steps=preview.steps, configuration=preview.configuration), assessment, trust_change(preview)
        )


def _table(title: str, judgements: Sequence[Judgement]) -> Iterator[Block]:
    if judgements:
        yield Block(
            [f"| {verb(one.step.operation)} | {code(one.step.name)} | {cell(one.reason)} |" for one in judgements],
            opening=[f"#### {title}", "", "| | resource | |", "| --- | --- | --- |"],
            closing=[""],
        )


def _trust(trust: TrustChange) -> Iterator[Block]:
    rows = [_trust_row("comes", one) for one in trust.comes] + [_trust_row("**goes**", one) for one in trust.goes]
    if rows:
        yield Block(
            rows,
            opening=["#### Host CAs of Teleport", "", "| | subject | SHA-256 | until |", "| --- | --- | --- | --- |"],
            closing=[""],
        )
    if trust.warnings:
        yield Block([f"> ⚠️ {cell(warning)}" for warning in trust.warnings], closing=[""])


def _trust_row(what: str, one: TrustedAuthority) -> str:
    return f"| {what} | {code(one.subject)} | {code(one.fingerprint)} | {one.not_after} |"


def _diagnostics(preview: Preview) -> Iterator[Block]:
    warnings = [one for one in preview.diagnostics if one.severity == "warning"]
    lines = [line for one in warnings for line in one.message.splitlines()]
    if lines:
        title = f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}"
        yield Block([in_line(line) for line in lines], opening=folded(title, fence="text"), closing=END_FENCE)


def difference(judgement: Judgement) -> list[str]:
    """Lines of a diff; a resource that is created or deleted as a whole gets one line."""
    step = judgement.step
    lines = [f"@@ {verb(step.operation)} {in_line(step.name)} ({in_line(step.type)}) @@"]
    if step.operation not in ("create", "delete", "import", "discard"):
        for change in changes(step):
            note = "  (replaces it)" if change.replaces else ""
            if change.before is None and change.after is None:
                lines.append(f"! {in_line(change.path)}: changes; the engine masks it or knows it later{note}")
            if change.before is not None:
                lines.append(f"- {in_line(change.path)}: {_value(change.before)}{note}")
            if change.after is not None:
                lines.append(f"+ {in_line(change.path)}: {_value(change.after)}{note}")
    return lines


def _footer(report: str | None, commit: str | None) -> list[str]:
    said = ["Secrets are masked."]
    if commit:
        said.insert(0, f"Of {code(commit[:12])}.")
    if report:
        said.append(f"[The graph and the whole diff]({report})")
    return [f"<sub>{' '.join(said)}</sub>"]


def _value(text: str) -> str:
    line = in_line(text)
    return line if len(line) <= _VALUE_LIMIT else f"{line[:_VALUE_LIMIT]}… ({len(text)} characters)"
