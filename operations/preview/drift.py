"""Why a nightly `preview --refresh --expect-no-changes` is not empty: drift, a due renewal, a stale host CA, or a merge
that was never deployed.

Pure functions from a preview to causes, and from causes to the text of one issue. `publish` files it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from operations.preview.comment import difference
from operations.preview.document import Preview, Step
from operations.preview.judgement import Judgement, Severity, is_renewal
from operations.preview.markdown import END_FENCE, Block, code, fenced, fit, folded
from operations.preview.property_paths import RELEASE, changed_paths
from operations.preview.restarts import ACCESS_GRAPH
from operations.preview.trusted_authorities import trust_change
from operations.preview.words import verb

_HOST_AUTHORITIES = "values.clusterHostCAs"
# People read the issue; the page has the rest.
_DIFF_LINES = 300
_LISTED = 50


class Cause(str, Enum):
    """Most urgent first."""

    STALE_HOST_AUTHORITY = "stale host CA"
    DRIFT = "drift"
    RENEWAL = "due renewal"
    UNDEPLOYED = "not deployed"


_MEANING: Mapping[Cause, tuple[str, str]] = {
    Cause.STALE_HOST_AUTHORITY: (
        "Teleport's host CA is another one than the access graph was told of. Teleport's auth may be refused right "
        "now (`could not find host CA`), while every pod looks healthy.",
        "Compare the fingerprints with `tctl get cert_authorities`, then deploy.",
    ),
    Cause.DRIFT: (
        "Something changed these outside of the stack; the program still says what it said.",
        "Find out who did it, and either put it into the program, or take it back with `pulumi up --refresh`: a plain "
        "`up`, as a deployment runs, does not look.",
    ),
    Cause.RENEWAL: (
        "A certificate is in the last part of its validity. Nobody changed anything.",
        "Deploy within the window; what restarts is in the preview.",
    ),
    Cause.UNDEPLOYED: (
        "The program or its configuration says something else than what was deployed last.",
        "Deploy what was merged, or find out why its deployment failed.",
    ),
}


# The API server's error, with the manager names of kubectl (`kubectl-edit`, `kubectl-patch`, `kubectl-label`).
_KUBECTL_WROTE = 'with "kubectl'
_KUBECTL = (
    "Somebody changed with kubectl what the program says. A preview takes that for a conflict, an `up` takes it over: "
    "`pulumi up --refresh --skip-preview` takes it back."
)


@dataclass(frozen=True)
class Causes:
    """Each change with its one cause."""

    by_urn: Mapping[str, Cause]
    steps: tuple[Step, ...]

    def of(self, cause: Cause) -> list[Step]:
        return [step for step in self.steps if self.by_urn[step.urn] is cause]

    @property
    def found(self) -> list[Cause]:
        return [cause for cause in Cause if self.of(cause)]


def causes(preview: Preview) -> Causes:
    """Each step's own cause, else the most urgent one of its dependencies."""
    steps = {step.urn: step for step in preview.changes}
    known = {urn: own for urn, step in steps.items() if (own := _own_cause(step, preview)) is not None}
    for urn in steps:
        known.setdefault(urn, _inherited(urn, steps, dict(known)) or Cause.UNDEPLOYED)
    return Causes({urn: known[urn] for urn in steps}, tuple(steps.values()))


def _own_cause(step: Step, preview: Preview) -> Cause | None:
    if is_renewal(step):
        return Cause.RENEWAL
    if step.type == RELEASE and step.parent_type == ACCESS_GRAPH and step.operation == "update":
        paths = changed_paths(step)
        if paths and all(path.startswith(_HOST_AUTHORITIES) for path in paths):
            return Cause.STALE_HOST_AUTHORITY
    recorded = preview.recorded.get(step.urn)
    # The program asks for what the state held before the refresh, so it is the world that changed.
    if recorded is not None and step.new and recorded == step.new_inputs:
        return Cause.DRIFT
    return None


def _inherited(urn: str, steps: Mapping[str, Step], known: Mapping[str, Cause]) -> Cause | None:
    """The most urgent cause of the nearest changed dependencies that have one."""
    seen, level = {urn}, [urn]
    while level:
        below = [one for at in level if at in steps for one in steps[at].dependencies if one not in seen]
        seen.update(below)
        found = [known[one] for one in below if one in known]
        if found:
            return min(found, key=list(Cause).index)
        level = [one for one in below if one in steps]
    return None


def needs_issue(preview: Preview) -> bool:
    return preview.failure is not None or bool(preview.changes)


def issue_title(stack: str) -> str:
    """The title by which a stack's one open issue is found."""
    return f"The stack {stack} is not what it should be"


def issue_body(preview: Preview, *, stack: str, report: str | None = None) -> str:
    """Markdown, within GitHub's limit."""
    footer = ["<sub>This issue is edited by every run, and closed by the first that finds nothing.</sub>"]
    if report:
        footer = [f"[The graph and the whole diff]({report})", "", *footer]
    return fit([*_blocks(preview, stack)], footer)


def _blocks(preview: Preview, stack: str) -> Iterator[Block]:
    if preview.failure is not None:
        yield Block([f"⛔ {preview.failure} So it is not known whether {code(stack)} is what it should be.", ""])
        said = [*preview.errors, *preview.log.splitlines()][:_DIFF_LINES]
        if said:
            yield fenced(said, closing=[""])
        if any(_KUBECTL_WROTE in line for line in said):
            yield Block([_KUBECTL, ""])
    found = causes(preview)
    if found.found:
        listed = ", ".join(one.value for one in found.found)
        yield Block([f"The nightly preview of {code(stack)} found: **{listed}**.", ""])
    for cause in found.found:
        meaning, remedy = _MEANING[cause]
        lines = [f"- {verb(step.operation)} {code(step.name)}" for step in found.of(cause)]
        if len(lines) > _LISTED:
            lines[_LISTED:] = [f"- and {len(lines) - _LISTED} more"]
        title = f"### {cause.value[0].upper()}{cause.value[1:]}"
        yield Block(lines, opening=[title, "", meaning, "", f"*What to do:* {remedy}", ""], closing=[""])
    trust = trust_change(preview)
    authorities = [("comes", one) for one in trust.comes] + [("goes", one) for one in trust.goes]
    if authorities:
        yield Block([f"- host CA {what}: {code(one.subject)} {code(one.fingerprint)}" for what, one in authorities])
    differences = [line for step in found.steps for line in difference(Judgement(step, Severity.PLAIN, ""))]
    if differences:
        yield Block(
            differences[:_DIFF_LINES],
            opening=["", *folded("What differs", fence="diff")],
            closing=END_FENCE,
        )
        if len(differences) > _DIFF_LINES:
            yield Block([f"{len(differences) - _DIFF_LINES} more lines are in the report.", ""])
