"""Objections to a change beside its preview (broken policies and failed checks), in the comment and in the exit
code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.preview.comment import comment
from operations.preview.objections import Objection, failed_checks, violations
from tests.unit.preview.previews import INSTANCE, RECORDINGS, recorded, urn

pytestmark = pytest.mark.unit


def event(**changes: Any) -> str:
    """An event as the engine logs it (pulumi/sdk 3.250, go/common/apitype/events.go)."""
    said = {
        "resourceUrn": urn(INSTANCE, "database-instance"),
        "message": "<{%fg 1%}>The instance has a standby in another zone (RDS.5).<{%reset%}>\nmultiAz is not true\n",
        "color": "raw",
        "policyName": "database-has-a-standby",
        "policyPackName": "teleport-access-graph",
        "policyPackVersion": "",
        "policyPackVersionTag": "",
        "enforcementLevel": "mandatory",
        **changes,
    }
    return json.dumps({"sequence": 7, "timestamp": 1732500000, "policyEvent": said})


STANDBY = Objection(
    source="policy",
    rule="database-has-a-standby",
    subject="database-instance",
    reason="The instance has a standby in another zone (RDS.5). multiAz is not true",
    binding=True,
)
FINDINGS = json.dumps(
    {
        "findings": [
            {"check": "cluster.reached", "outcome": "pass", "statement": "the cluster answers", "reason": "1.34"},
            {"check": "account", "outcome": "not proven", "statement": "the account", "reason": "no right to look"},
            {
                "check": "teleport.license",
                "outcome": "fail",
                "statement": "the Secret license is there",
                "reason": "no Secret license in teleport; password: hunter2",
            },
        ],
        "counts": {},
    }
)
LICENSE = Objection(
    source="preflight",
    rule="teleport.license",
    subject="the Secret license is there",
    reason="no Secret license in teleport; password: [scrubbed]",
    binding=True,
)


def test_a_broken_policy_is_read_once_from_among_other_events() -> None:
    other = json.dumps({"sequence": 1, "preludeEvent": {"config": {}}})
    assert violations("\n".join([other, event(), "", event(), '{"cut off'])) == (STANDBY,)


def test_no_secret_of_a_policys_message_is_told() -> None:
    (one,) = violations(event(message="values.auth says password: hunter2"))
    assert one.reason == "values.auth says password: [scrubbed]"


def test_an_advisory_one_is_a_hint() -> None:
    (hint,) = violations(event(enforcementLevel="advisory"))
    assert hint.binding is False


def test_a_failed_check_stands_against_it_and_an_unproven_one_does_not() -> None:
    assert failed_checks(FINDINGS) == (LICENSE,)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"findings": 3}'])
def test_a_preflight_without_a_result_lets_nothing_pass(text: str) -> None:
    (one,) = failed_checks(text)
    assert one.binding
    assert one.reason == "it ended without a result; its log says why"


def test_they_stand_before_everything_else() -> None:
    text = comment(recorded("replaced-database"), stack="prod", objections=(STANDBY, LICENSE))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[1:3] == ["#### ⛔ Stands against it, whatever the labels", "#### 🔴 Cannot be undone"]
    rows = text.splitlines()
    assert (
        "| `database-has-a-standby` | `database-instance` "
        "| The instance has a standby in another zone (RDS.5). multiAz is not true |" in rows
    )
    assert (
        "| `teleport.license` | `the Secret license is there` "
        "| no Secret license in teleport; password: &#91;scrubbed] |" in rows
    )


def test_a_preview_that_failed_by_a_policy_says_which() -> None:
    text = comment(recorded("refused"), stack="prod", objections=(STANDBY,))
    assert text.splitlines()[1] == "### ⛔ `prod`: The preview failed."
    assert "| `database-has-a-standby` |" in text


def test_hints_are_folded() -> None:
    hint = Objection(source="policy", rule="key-is-strong", subject="key", reason="2048 bits", binding=False)
    lines = comment(recorded("quiet"), stack="dev", objections=(hint,)).splitlines()
    assert "<details><summary>1 hint of policies</summary>" in lines
    assert "key-is-strong: key: 2048 bits" in lines
    assert "Stands against it" not in "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("events", "findings", "fail_on", "code"),
    [
        ("", None, "red", 0),
        (event(), None, "red", 1),
        (event(), None, "never", 0),
        (event(enforcementLevel="advisory"), None, "red", 0),
        ("", FINDINGS, "red", 1),
        ("", '{"findings": []}', "red", 0),
        ("", "", "red", 1),
    ],
)
def test_the_check_fails_whatever_the_labels(
    tmp_path: Path, events: str, findings: str | None, fail_on: str, code: int
) -> None:
    (tmp_path / "events.jsonl").write_text(events)
    arguments = ["--events", str(tmp_path / "events.jsonl")]
    if findings is not None:
        (tmp_path / "preflight.json").write_text(findings)
        arguments += ["--preflight", str(tmp_path / "preflight.json")]
    done = CliRunner().invoke(
        app,
        [
            *("comment", str(RECORDINGS / "quiet.json"), "--stack", "prod", "--out", str(tmp_path / "c.md")),
            *("--fail-on", fail_on, "--labels", '["allow-red"]', *arguments),
        ],
    )
    assert done.exit_code == code, done.output
