"""The engine's output is read as far as possible, and the reader knows whether the preview succeeded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operations.preview.comment import comment
from operations.preview.document import read_preview
from operations.preview.drift import issue_body
from operations.preview.markdown import LIMIT
from operations.preview.page import page
from tests.unit.preview.previews import document, recorded, step, text

pytestmark = pytest.mark.unit


def test_a_recorded_preview_is_read_whole() -> None:
    preview = recorded("renewed-authority")
    assert preview.failure is None
    assert len(preview.steps) == 44
    assert dict(preview.counts) == {"replace": 2, "same": 36, "update": 5}
    assert [step.name for step in preview.changes] == [
        "certificates-ca-1",
        "certificates-server",
        "credentials-tls",
        "access-graph-release",
        "teleport-teleport.example.com-ca",
        "teleport-teleport.example.com-release",
        "teleport-teleport.example.com-proxies",
    ]
    assert preview.configuration["teleport"]["teleport.example.com"]["hostAuthorities"]["mode"] == "file"


def test_a_refresh_is_no_change_and_leaves_what_the_state_had() -> None:
    preview = recorded("drift")
    assert len(preview.recorded) == 44
    assert [step.name for step in preview.changes] == [
        "credentials-tls",
        "access-graph-release",
        "teleport-teleport.example.com-ca",
    ]


def test_a_preview_that_the_program_refused_has_failed() -> None:
    preview = recorded("refused")
    assert preview.failure == "The preview failed."
    assert "did you mean replicas?" in preview.diagnostics[0].message


@pytest.mark.parametrize(
    ("printed", "exit_code", "log", "failure"),
    [
        ("", None, "", "The preview ended without a result."),
        ("", 255, "", "The preview ended without a result."),
        ("", 137, "", "The preview did not end by itself: it was killed. It had said nothing yet."),
        ("", -9, "", "The preview did not end by itself: signal 9 ended it. It had said nothing yet."),
        (document(), 124, "", "The preview did not end by itself: it ran out of time."),
        (
            document()[:20],
            None,
            "",
            "The preview's result is cut off: it was killed while it wrote, or the file is not its output.",
        ),
        ("[1]", None, "", "The preview ended without a result."),
        (
            '{"steps": []}',
            None,
            "",
            "The preview has no summary: it was cancelled before its end, or the file is not its output.",
        ),
        (document(), 255, "", "The preview failed with exit code 255, and gave no reason in its result."),
        (document(), 0, "", None),
        # `--expect-no-changes` with changes: the exit code from CLI 3.250 on, and before that version.
        (document(), 7, "", None),
        (document(), 1, "error: no changes were expected for preview but changes were proposed\n", None),
        (f"warning: a newer version\n{document()}\n", 0, "", None),
    ],
)
def test_it_is_known_whether_a_preview_went_through(
    printed: str, exit_code: int | None, log: str, failure: str | None
) -> None:
    assert read_preview(printed, exit_code=exit_code, log=log).failure == failure


def test_a_failed_preview_keeps_the_end_of_its_log() -> None:
    log = "\n".join(f"line {number}" for number in range(100))
    assert read_preview("", exit_code=1, log=log).log.splitlines() == [f"line {number}" for number in range(60, 100)]
    assert read_preview(document(), exit_code=0, log=log).log == ""
    # A key whose beginning lies before the part of the log that is kept is still recognised.
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", *(f"cAnArY{number:040}" for number in range(60))])
    assert "cAnArY" not in read_preview("", exit_code=1, log=f"{log}\n{key}\n-----END PRIVATE KEY-----\n").log


_KEYS = st.sampled_from(
    [
        "op",
        "urn",
        "oldState",
        "newState",
        "inputs",
        "values",
        "clusterHostCAs",
        "dependencies",
        "protect",
        "custom",
        "detailedDiff",
        "replaceReasons",
        "kind",
        "type",
        "replicaCount",
        "auth",
        "proxy",
        "highAvailability",
        "tls",
    ],
)
_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS | st.text(max_size=6), inner, max_size=5),
    max_leaves=8,
)
_TYPES = st.sampled_from(
    [
        "teleport-access-graph:index:AccessGraph$kubernetes:helm.sh/v3:Release",
        "teleport-access-graph:index:TeleportCluster$kubernetes:helm.sh/v3:Release",
        "teleport-access-graph:index:TeleportCluster$kubernetes:apps/v1:DeploymentPatch",
        "aws:rds/instance:Instance",
        "pulumi:pulumi:Stack",
        "",
    ]
)
_STEPS = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["create", "update", "replace", "delete", "same", "refresh", "import"]) | _ANYTHING,
        "urn": st.builds(lambda type_, name: f"urn:pulumi:s::p::{type_}::{name}", _TYPES, st.text(max_size=9))
        | _ANYTHING,
        "oldState": st.fixed_dictionaries({"inputs": _ANYTHING, "custom": st.just(True), "dependencies": _ANYTHING}),
        "newState": st.fixed_dictionaries({"inputs": _ANYTHING, "protect": _ANYTHING}) | _ANYTHING,
        "detailedDiff": _ANYTHING,
        "replaceReasons": _ANYTHING,
    },
)


@pytest.mark.slow
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(_STEPS, max_size=6) | _ANYTHING,
    more=st.dictionaries(st.sampled_from(["config", "diagnostics", "changeSummary", "duration"]), _ANYTHING),
)
def test_no_document_is_too_strange_for_a_comment_a_page_and_an_issue(steps: Any, more: dict[str, Any]) -> None:
    preview = read_preview(json.dumps({"steps": steps, **more}))
    assert len(comment(preview, stack="dev").encode()) <= LIMIT
    assert page(preview, stack="dev").endswith("</html>\n")
    assert issue_body(preview, stack="dev")


@pytest.mark.slow
@settings(deadline=None)
@given(st.text() | st.binary().map(lambda raw: raw.decode(errors="replace")))
def test_no_text_is_too_strange(printed: str) -> None:
    preview = read_preview(printed)
    assert preview.failure is not None
    assert comment(preview, stack="dev")


@settings(deadline=None, max_examples=30)
@given(st.integers(min_value=1, max_value=2800))
def test_a_preview_cut_anywhere_is_a_failed_one(length: int) -> None:
    whole = text("quiet").rstrip()
    assert read_preview(whole[:-length]).failure is not None


def test_a_step_knows_its_types() -> None:
    (only,) = read_preview(document(step("same", "a:b:C$d:e:F", "x::y"))).steps
    assert (only.type, only.parent_type, only.name) == ("d:e:F", "a:b:C", "y")
