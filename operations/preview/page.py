"""A standalone HTML page of a preview: what matters, the graph, every property that changes.

No scripts and nothing from the network, and a Content-Security-Policy that forbids both: texts from a preview are not
trusted. Light or dark as the reader's system is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from operations.preview.document import QUIET, Preview, Step
from operations.preview.drawing import Node, draw
from operations.preview.judgement import Assessment, Judgement, Severity, assess
from operations.preview.markup import escape
from operations.preview.property_paths import Change, changes
from operations.preview.style import STYLE
from operations.preview.trusted_authorities import trust_change
from operations.preview.words import counted, headline, mark, sign, verb

# Up to this many resources, the whole graph can be read at a glance. Larger graphs first show only changes and their
# neighbours.
_GLANCE = 60
_COLOURS = {Severity.RED: "red", Severity.AMBER: "amber", Severity.GREEN: "green", Severity.PLAIN: "plain"}
_WORDS = {
    Severity.RED: "cannot be undone",
    Severity.AMBER: "to look at",
    Severity.GREEN: "due",
    Severity.PLAIN: "changes",
}


def page(preview: Preview, *, stack: str, commit: str | None = None) -> str:
    """The whole document."""
    assessment = assess(preview)
    summary = preview.failure if preview.failure is not None else headline(assessment)
    title = f"Preview of {stack}: {summary}"
    icon = "⛔" if preview.failure is not None else mark(assessment.worst)
    body = "\n".join(
        [
            '<a class="skip" href="#changes">Skip the graph</a>',
            f'<header><p class="stack">{escape(stack)}{_of_commit(commit)}</p>'
            f'<h1><span aria-hidden="true">{icon}</span> {escape(_sentence(summary))}</h1>'
            f"<p>{escape(counted(preview))}</p></header>",
            "<main>",
            *_failure(preview),
            *_worst(preview, assessment),
            *_graph(preview, assessment),
            *_changes(assessment),
            *_diagnostics(preview),
            "</main>",
            "<footer><p>Secrets are masked. Made from the output of <code>pulumi preview --json</code>.</p></footer>",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _failure(preview: Preview) -> Iterator[str]:
    if preview.failure is None:
        return
    yield '<section class="failure"><h2>Why it failed</h2>'
    for one in preview.diagnostics:
        if one.severity == "error":
            where = f"<p><code>{escape(one.urn.rsplit('::', 1)[-1])}</code></p>" if one.urn else ""
            yield f"{where}<pre>{escape(one.message)}</pre>"
    if preview.log:
        yield f"<details><summary>The end of its log</summary><pre>{escape(preview.log)}</pre></details>"
    yield "<p>What stands below is what it had found until then, which is not all.</p></section>"


def _worst(preview: Preview, assessment: Assessment) -> Iterator[str]:
    for severity, title in (
        (Severity.RED, "Cannot be undone"),
        (Severity.AMBER, "Restarts and what else to look at"),
        (Severity.GREEN, "Due, and nobody's change"),
    ):
        judged = assessment.of(severity)
        if judged:
            yield f'<section><h2><span aria-hidden="true">{mark(severity)}</span> {escape(title)}</h2>'
            yield _table(("what", "resource", "what it means"), [_row(one) for one in judged], _COLOURS[severity])
            yield "</section>"
    if assessment.restarts:
        items = "".join(
            f"<li><strong>{escape(str(one))}</strong>{': ' if one.note else ''}{escape(one.note)}</li>"
            for one in assessment.restarts
        )
        yield f"<section><h2>Restarts, in this order</h2><ol>{items}</ol></section>"
    trust = trust_change(preview)
    rows = [
        (what, escape(one.subject), f"<code>{one.fingerprint}</code>", escape(one.not_after))
        for what, authorities in (("comes", trust.comes), ("<strong>goes</strong>", trust.goes))
        for one in authorities
    ]
    if rows:
        yield "<section><h2>Host CAs of Teleport</h2>"
        yield _table(("what", "subject", "SHA-256", "until"), rows)
        yield "".join(f'<p class="warning">⚠ {escape(warning)}</p>' for warning in trust.warnings)
        yield "</section>"


def _row(one: Judgement) -> tuple[str, ...]:
    name = f'<a href="#{_anchor(one.step)}">{escape(one.step.name)}</a>'
    return (f"{sign(one.step.operation)} {escape(verb(one.step.operation))}", name, escape(one.reason))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], colour: str = "") -> str:
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table class="{colour}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _graph(preview: Preview, assessment: Assessment) -> Iterator[str]:
    nodes = graph_nodes(preview, assessment)
    if not nodes:
        return
    yield '<section><h2 id="graph">What depends on what</h2>'
    yield _legend()
    changed = {node.key for node in nodes if node.colour != "same"}
    if len(nodes) <= _GLANCE or not changed:
        yield _scrolled(draw(nodes, "Dependencies between all resources"), "all")
    else:
        near = [
            node
            for node in nodes
            if node.key in changed
            or changed.intersection(node.dependencies)
            or any(node.key in other.dependencies for other in nodes if other.key in changed)
        ]
        if len(near) < len(nodes):
            yield f"<p>{len(near)} of {len(nodes)} resources: what changes, and what it touches.</p>"
            yield _scrolled(draw(near, "Dependencies of what changes"), "near")
            yield f"<details><summary>All {len(nodes)} resources</summary>"
        yield _scrolled(draw(nodes, "Dependencies between all resources"), "all")
        if len(near) < len(nodes):
            yield "</details>"
    yield "</section>"


def graph_nodes(preview: Preview, assessment: Assessment) -> list[Node]:
    """A node for everything outside the program; providers and references only when they change."""
    severities: dict[str, Severity] = {}
    for one in assessment.judgements:
        severities[one.step.urn] = min(one.severity, severities.get(one.step.urn, Severity.PLAIN))
    nodes: dict[str, Node] = {}
    for step in preview.steps:
        quiet = step.operation in QUIET and step.urn not in severities
        if not step.is_custom or (quiet and step.type.startswith("pulumi:")):
            continue
        if step.urn in nodes and quiet:
            continue
        severity = severities.get(step.urn, Severity.PLAIN)
        said = "unchanged" if quiet else f"{verb(step.operation)}, {_WORDS[severity]}"
        nodes[step.urn] = Node(
            key=step.urn,
            name=step.name,
            kind=step.type.rsplit(":", 1)[-1] if step.type else "",
            sign=sign("same" if quiet else step.operation),
            colour="same" if quiet else _COLOURS[severity],
            anchor="graph" if quiet else _anchor(step),
            label=f"{step.name}: {said}",
            dependencies=[one for one in step.dependencies if one != step.urn],
        )
    return list(nodes.values())


def _legend() -> str:
    entries = (
        ("red", "cannot be undone"),
        ("amber", "restarts, or to look at"),
        ("green", "a certificate that is due"),
        ("plain", "another change"),
        ("same", "unchanged"),
    )
    items = "".join(f'<li><span class="swatch {colour}"></span>{text}</li>' for colour, text in entries)
    signs = "+ create, ~ update, ± replace, − delete, = import, · unchanged"
    return f'<ul class="legend" aria-label="Colours">{items}<li>{signs}</li></ul>'


def _scrolled(drawing: str, which: str) -> str:
    # Focusable, so that the keyboard can scroll it.
    return f'<div class="scroll graph" tabindex="0" role="region" aria-label="Graph, {which}">{drawing}</div>'


def _changes(assessment: Assessment) -> Iterator[str]:
    yield '<section><h2 id="changes">Everything that changes</h2>'
    if not assessment.judgements:
        yield "<p>Nothing.</p>"
    for one in assessment.judgements:
        step = one.step
        yield (
            f'<details class="change {_COLOURS[one.severity]}"><summary>'
            f'<span class="what">{sign(step.operation)} {escape(verb(step.operation))}</span> '
            f"<strong>{escape(step.name)}</strong> <small>{escape(step.type)}</small></summary>"
            f'<div id="{_anchor(step)}">'
        )
        if one.reason:
            yield f"<p>{escape(_sentence(one.reason))}.</p>"
        rows = [_property(change) for change in changes(step)]
        yield _table(("property", "before", "after"), rows) if rows else "<p>No property differs.</p>"
        yield f"<p><small>{escape(step.urn)}</small></p></div></details>"
    yield "</section>"


def _property(change: Change) -> tuple[str, ...]:
    path = f"<code>{escape(change.path)}</code>" + (" <small>(replaces it)</small>" if change.replaces else "")
    if change.before is None and change.after is None:
        return path, "<em>masked, or known later</em>", "<em>masked, or known later</em>"
    return path, _value(change.before, "del"), _value(change.after, "ins")


def _value(value: str | None, element: str) -> str:
    return "<em>absent</em>" if value is None else f"<{element}><pre>{escape(value)}</pre></{element}>"


def _diagnostics(preview: Preview) -> Iterator[str]:
    others = [one for one in preview.diagnostics if one.severity != "error"]
    if others:
        yield f"<section><details><summary>{len(others)} messages of the program</summary>"
        yield "".join(f"<pre>{escape(one.severity)}: {escape(one.message)}</pre>" for one in others)
        yield "</details></section>"


def _anchor(step: Step) -> str:
    # A resource that is imported and then updated has two steps with this anchor; links lead to the first, which
    # matters.
    return "r-" + "".join(letter if letter.isalnum() else "-" for letter in step.urn.split("::", 2)[-1])


def _of_commit(commit: str | None) -> str:
    return f" · <code>{escape(commit[:12])}</code>" if commit else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
