"""A nightly preview that is not empty means drift, a due renewal, a stale host CA or a missed deployment; the report
says which."""

from __future__ import annotations

import pytest

from operations.preview.document import read_preview
from operations.preview.drift import Cause, causes, issue_body, issue_title, needs_issue
from operations.preview.markdown import LIMIT
from tests.unit.preview.previews import (
    GRAPH_RELEASE,
    LEAF,
    SECRET,
    TELEPORT_RELEASE,
    document,
    preview_of,
    recorded,
    step,
    urn,
)

pytestmark = pytest.mark.unit

ALL = {
    "renewed-authority": {Cause.RENEWAL: 7},
    "other-host-authority": {Cause.STALE_HOST_AUTHORITY: 1},
    "replaced-database": {Cause.UNDEPLOYED: 6},
    "replicas": {Cause.UNDEPLOYED: 1},
    "drift": {Cause.STALE_HOST_AUTHORITY: 1, Cause.DRIFT: 2},
    "conflict": {Cause.STALE_HOST_AUTHORITY: 1, Cause.DRIFT: 2},
    "quiet": {},
}


@pytest.mark.parametrize("name", ALL)
def test_each_change_has_its_cause(name: str) -> None:
    found = causes(recorded(name))
    assert {cause: len(found.of(cause)) for cause in found.found} == ALL[name]
    assert needs_issue(recorded(name)) is bool(ALL[name]), "somebody is told of every one, and of nothing else"


def test_what_somebody_deleted_by_hand_is_drift() -> None:
    found = causes(recorded("drift"))
    assert [step.name for step in found.of(Cause.DRIFT)] == ["credentials-tls", "teleport-teleport.example.com-ca"]
    assert [step.name for step in found.of(Cause.STALE_HOST_AUTHORITY)] == ["access-graph-release"]


def test_a_renewal_is_the_cause_of_what_follows_from_it_and_of_nothing_else() -> None:
    renewed = step("replace", LEAF, "certificates-server", reasons=["readyForRenewal"])
    follows = step("update", SECRET, "credentials-tls", old={"a": "1"}, new={"a": "2"}, dependencies=[renewed["urn"]])
    further = step("update", GRAPH_RELEASE, "r", old={"x": "1"}, new={"x": "2"}, dependencies=[follows["urn"]])
    beside = step("update", SECRET, "other", old={"a": "1"}, new={"a": "2"}, dependencies=[urn(SECRET, "gone")])
    found = causes(preview_of(renewed, follows, further, beside))
    assert [one.name for one in found.of(Cause.RENEWAL)] == ["certificates-server", "credentials-tls", "r"]
    assert [one.name for one in found.of(Cause.UNDEPLOYED)] == ["other"]


def test_the_world_moved_when_the_program_asks_for_what_the_state_had() -> None:
    refreshed = step("refresh", SECRET, "x", old={"a": "1"}, new={"a": "1"})
    taken_back = step("update", SECRET, "x", old={"a": "by hand"}, new={"a": "1"})
    assert causes(preview_of(refreshed, taken_back)).found == [Cause.DRIFT]
    asked_for = step("update", SECRET, "x", old={"a": "1"}, new={"a": "2"})
    assert causes(preview_of(refreshed, asked_for)).found == [Cause.UNDEPLOYED]


def test_a_host_authority_beside_another_change_is_no_stale_one() -> None:
    both = step(
        "update",
        GRAPH_RELEASE,
        "access-graph-release",
        paths=["values.clusterHostCAs[0]", "values.log.level"],
    )
    assert causes(preview_of(both)).found == [Cause.UNDEPLOYED]


@pytest.mark.parametrize(("operation", "type_"), [("replace", GRAPH_RELEASE), ("update", TELEPORT_RELEASE)])
def test_only_an_access_graph_that_stays_has_a_stale_host_authority(operation: str, type_: str) -> None:
    other = step(operation, type_, "x-release", paths=["values.clusterHostCAs[0]"])
    assert causes(preview_of(other)).found == [Cause.UNDEPLOYED]


def test_the_issue_says_what_it_is_and_what_to_do() -> None:
    body = issue_body(recorded("drift"), stack="prod", report="https://example.com/report")
    assert issue_title("prod") == "The stack prod is not what it should be"
    assert "found: **stale host CA, drift**." in body
    assert "`could not find host CA`" in body
    assert "- create `credentials-tls`" in body.splitlines()
    assert "451d4d56" in body
    assert "[The graph and the whole diff](https://example.com/report)" in body


def test_a_preview_that_failed_is_an_issue_that_claims_nothing() -> None:
    preview = recorded("conflict")
    assert needs_issue(preview)
    body = issue_body(preview, stack="prod")
    assert body.startswith("⛔ The preview failed. So it is not known whether `prod` is what it should be.")
    assert 'conflict with "kubectl-patch"' in body
    taken_back = "`pulumi up --refresh --skip-preview` takes it back."
    assert taken_back in body
    another = read_preview("", exit_code=1, log='error: Apply failed: conflict with "their-controller": .data.uri')
    assert taken_back not in issue_body(another, stack="prod"), "an up does not take that over"


def test_a_quiet_night_is_no_issue() -> None:
    assert not needs_issue(recorded("quiet"))


LONG = {
    "many small": document(
        *(step("update", SECRET, f"r{n}", old={"a": "é" * 900}, new={"a": "y"}) for n in range(3000))
    ),
    "both sides": document(
        *(step("update", SECRET, f"r{n}", old={"a": "x" * 900}, new={"a": "y" * 900}) for n in range(100))
    ),
    "one release": document(
        step(
            "update",
            TELEPORT_RELEASE,
            "r",
            old={"values": {f"k{n}": "x" * 400 for n in range(160)}},
            new={"values": {f"k{n}": "y" * 400 for n in range(160)}},
        )
    ),
    "one error": document(diagnostics=[{"severity": "error", "message": f"refused: {'z' * 70_000}\nbecause of quota"}]),
    "long paths": document(step("update", SECRET, "r", old={"k" * 70_000: "1"}, new={"k" * 70_000: "2"})),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_an_issue_stays_below_githubs_limit_and_is_whole(name: str) -> None:
    body = issue_body(read_preview(LONG[name]), stack="dev", report="https://example.com/report")
    assert len(body.encode()) <= LIMIT
    assert body.count("<details>") == body.count("</details>")
    assert body.count("`````") % 2 == 0
    assert "[The graph and the whole diff](https://example.com/report)" in body
    assert ("- and 2950 more" in body) is (name == "many small")


def test_one_long_line_takes_nothing_from_what_follows_it() -> None:
    failed = read_preview("", exit_code=1, log=f"error: update failed: {'z' * 70_000}\nbecause of quota")
    for body in (issue_body(failed, stack="dev"), issue_body(read_preview(LONG["one error"]), stack="dev")):
        assert "zzz… (70" in body
        assert "because of quota" in body.splitlines()
