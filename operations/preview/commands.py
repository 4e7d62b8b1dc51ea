"""The commands `comment` and `drift` of `python -m operations`: files in, files out, an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from operations.preview.comment import comment as comment_text
from operations.preview.document import Preview, read_preview
from operations.preview.drift import causes, issue_body, issue_title, needs_issue
from operations.preview.judgement import Severity, assess
from operations.preview.objections import failed_checks, violations
from operations.preview.page import page
from operations.preview.words import headline
from operations.whole_file import write_whole

# This label on a pull request permits red changes; `<label>/<stack>` permits them for one environment.
ALLOWING_LABEL = "allow-red"

PreviewFile = Annotated[Path, typer.Argument(help="What `pulumi preview --json --show-sames` printed.")]
StackName = Annotated[str, typer.Option(help="The stack that was previewed.")]
ExitCode = Annotated[int | None, typer.Option(help="The engine's exit code, if known.")]
Log = Annotated[Path | None, typer.Option(help="What the engine printed to standard error.")]
Html = Annotated[Path | None, typer.Option(help="Where to write the self-contained HTML page.")]
ReportUrl = Annotated[str | None, typer.Option(help="URL of that page, for a link.")]


def comment(
    preview_file: PreviewFile,
    stack: StackName,
    out: Annotated[Path, typer.Option(help="Where to write the Markdown.")],
    html: Html = None,
    exit_code: ExitCode = None,
    log: Log = None,
    commit: Annotated[str | None, typer.Option(help="The commit that was previewed.")] = None,
    report_url: ReportUrl = None,
    events: Annotated[
        Path | None, typer.Option(help="The engine's event log, which has the policies' findings.")
    ] = None,
    preflight: Annotated[Path | None, typer.Option(help="What `preflight --json` printed.")] = None,
    labels: Annotated[str, typer.Option(help="The pull request's labels, as a JSON list.")] = "[]",
    server_validation: Annotated[
        str, typer.Option(help="done, skipped or unknown: what `privileges --for validated-preview --check` found.")
    ] = "unknown",
    fail_on: Annotated[str, typer.Option(help="red, amber or never: the lowest severity with exit code 1.")] = "never",
) -> None:
    """Explain a preview to reviewers. Exit code: 0, or with --fail-on red or amber 1 if the preview failed, a policy or
    preflight objects, or a change has that severity and is not allowed."""
    if fail_on not in ("red", "amber", "never"):
        raise typer.BadParameter(f"{fail_on!r} is not red, amber or never", param_hint="--fail-on")
    validations = {"done": True, "skipped": False, "unknown": None}
    if server_validation not in validations:
        raise typer.BadParameter(
            f"{server_validation!r} is not done, skipped or unknown", param_hint="--server-validation"
        )
    preview = _read(preview_file, exit_code, log)
    allowed = _is_allowed(labels, stack)
    objections = (*violations(_text(events)), *(failed_checks(_text(preflight)) if preflight is not None else ()))
    text = comment_text(
        preview,
        stack=stack,
        report=report_url,
        commit=commit,
        allowed=allowed,
        validated=validations[server_validation],
        objections=objections,
    )
    _write(out, text)
    if html is not None:
        _write(html, page(preview, stack=stack, commit=commit))
    assessment = assess(preview)
    print(f"{stack}: {preview.failure if preview.failure is not None else headline(assessment)}")
    if fail_on == "never":
        return
    bad = assessment.worst <= (Severity.RED if fail_on == "red" else Severity.AMBER)
    if preview.failure is not None or any(one.binding for one in objections) or (bad and not allowed):
        raise typer.Exit(1)


def drift(
    preview_file: PreviewFile,
    stack: StackName,
    title: Annotated[Path, typer.Option(help="Where to write the issue's title.")],
    body: Annotated[
        Path, typer.Option(help="Where to write the issue's text; not written if there is nothing to report.")
    ],
    html: Html = None,
    exit_code: ExitCode = None,
    log: Log = None,
    report_url: ReportUrl = None,
) -> None:
    """Explain why a nightly preview is not empty. Exit code: 0 it is empty, 1 there is something to report."""
    preview = _read(preview_file, exit_code, log)
    if html is not None:
        _write(html, page(preview, stack=stack))
    needed = needs_issue(preview)
    if needed:
        _write(body, issue_body(preview, stack=stack, report=report_url))
    else:
        body.unlink(missing_ok=True)
    # Written last: a title without a text closes the issue.
    _write(title, issue_title(stack) + "\n")
    if not needed:
        print(f"{stack}: nothing differs")
        return
    print(f"{stack}: {preview.failure or ', '.join(cause.value for cause in causes(preview).found)}")
    raise typer.Exit(1)


def _read(file: Path, exit_code: int | None, log: Path | None) -> Preview:
    return read_preview(_text(file), exit_code=exit_code, log=_text(log))


def _text(file: Path | None) -> str:
    # A killed preview may have left no output at all, which deserves a comment too.
    return file.read_text(encoding="utf-8", errors="replace") if file is not None and file.exists() else ""


def _is_allowed(labels: str, stack: str) -> bool:
    try:
        given = json.loads(labels)
    except ValueError:
        given = None
    if not isinstance(given, list):
        raise typer.BadParameter("is no JSON list", param_hint="--labels")
    return ALLOWING_LABEL in given or f"{ALLOWING_LABEL}/{stack}" in given


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # JSON may contain unpaired surrogates, which UTF-8 cannot encode.
    write_whole(file, text.encode(errors="replace").decode())
