"""The comment: worst first, one for each stack, never longer than GitHub accepts, and no text can break its
formatting."""

from __future__ import annotations

import re

import pytest

from operations.preview.comment import NOT_VALIDATED, comment
from operations.preview.document import read_preview
from operations.preview.markdown import LIMIT, marker
from operations.preview.objections import Objection
from tests.unit.preview.previews import INSTANCE, SECRET, document, preview_of, recorded, step

pytestmark = pytest.mark.unit


def headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("#")]


def test_the_worst_stands_first() -> None:
    text = comment(recorded("replaced-database"), stack="prod", commit="0123456789abcdef")
    assert text.splitlines()[:4] == [
        "<!-- teleport-access-graph preview: prod -->",
        "### 🔴 `prod`: 1 thing that cannot be undone, restarts of the access graph",
        "",
        "3 to replace, 3 to update, 37 unchanged",
    ]
    assert headings(text)[1:] == ["#### 🔴 Cannot be undone", "#### 🟠 Restarts, in this order"]
    assert (
        "| replace | `database-instance` | lost: the database with everything in it (because of dbName) |"
        in text.splitlines()
    )
    assert "1. `the access graph, 2 pods`" in text.splitlines()
    assert "**This check fails until a label allows it.**" in text
    assert "Of `0123456789ab`" in text


def test_a_preview_that_the_api_server_was_not_asked_about_says_so() -> None:
    text = comment(recorded("replaced-database"), stack="prod", validated=False)
    lines = text.splitlines()
    assert lines[3:6] == ["3 to replace, 3 to update, 37 unchanged", "", NOT_VALIDATED]
    assert NOT_VALIDATED.startswith("Server validation was skipped")
    for answer in (True, None):
        assert NOT_VALIDATED not in comment(recorded("replaced-database"), stack="prod", validated=answer)


def test_renewals_are_named_as_such() -> None:
    text = comment(recorded("renewed-authority"), stack="dev")
    assert headings(text) == [
        "### 🟠 `dev`: restarts of the access graph, auth and proxies, 2 certificates due",
        "#### 🟠 Restarts, in this order",
        "#### 🟢 Due, and nobody's change",
    ]
    assert "<summary>5 other changes</summary>" in text


def test_host_authorities_have_a_table_of_their_own() -> None:
    text = comment(recorded("other-host-authority"), stack="dev")
    rows = [line for line in text.splitlines() if line.startswith(("| comes", "| **goes**"))]
    assert [row.split("`")[3][:12] for row in rows] == ["7c5dd266de16", "8127d2648011"]
    assert "the access graph refuses every certificate that it issued" in text


def test_a_quiet_preview_is_three_lines() -> None:
    assert comment(recorded("quiet"), stack="dev").splitlines() == [
        "<!-- teleport-access-graph preview: dev -->",
        "### ⚪ `dev`: nothing changes",
        "",
        "43 unchanged",
        "",
        "<sub>Secrets are masked.</sub>",
    ]


def test_a_failed_preview_says_why() -> None:
    text = comment(recorded("refused"), stack="dev")
    assert text.splitlines()[1] == "### ⛔ `dev`: The preview failed."
    assert "accessGraph.replica: is not a setting; did you mean replicas?" in text


def test_a_preview_that_failed_on_the_way_says_that_it_is_not_all() -> None:
    text = comment(recorded("conflict"), stack="dev")
    assert "teleport-teleport.example.com-ca:" in text.splitlines()
    assert "What it had found until then, **which is not all**: restarts of the access graph." in text.splitlines()


def test_a_killed_preview_shows_the_end_of_its_log() -> None:
    text = comment(read_preview("", exit_code=137, log="one\npassword=hunter2\n"), stack="dev")
    assert (
        text.splitlines()[1]
        == "### ⛔ `dev`: The preview did not end by itself: it was killed. It had said nothing yet."
    )
    assert "<details><summary>The end of its log</summary>" in text
    assert "password=[scrubbed]" in text
    assert "hunter2" not in text


def test_an_allowed_loss_is_still_red() -> None:
    text = comment(recorded("replaced-database"), stack="prod", allowed=True)
    assert text.splitlines()[1].startswith("### 🔴 ")
    assert "A label allows what is red." in text
    assert "This check fails" not in text


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 1000, 4000])
def test_it_is_never_longer_than_github_takes_and_says_what_is_missing(count: int) -> None:
    steps = [
        step("update", SECRET, f"resource-{number}", old={"a": "é" * 400}, new={"a": str(number)})
        for number in range(count)
    ]
    text = comment(preview_of(*steps), stack="dev")
    assert len(text.encode()) <= LIMIT == 65_536, "what GitHub takes"
    assert text.count("<details>") == text.count("</details>")
    assert len(re.findall(r"^`````", text, re.MULTILINE)) % 2 == 0
    assert ("✂️ Cut here" in text) is (count > 10)
    assert text.endswith("<sub>Secrets are masked.</sub>\n")


@pytest.mark.slow
def test_what_cannot_be_undone_is_not_what_is_cut() -> None:
    steps = [step("update", SECRET, f"r{number}", old={"a": "x" * 300}, new={"a": "y"}) for number in range(2000)]
    text = comment(preview_of(*steps, step("delete", INSTANCE, "database-instance")), stack="dev")
    assert "| delete | `database-instance` |" in text
    assert "**This check fails until a label allows it.**" in text
    assert "✂️ Cut here" in text


def test_one_long_line_takes_nothing_from_what_follows_it() -> None:
    error = {"severity": "error", "message": f"refused: {'z' * 70_000}\nbecause of quota"}
    lines = comment(preview_of(step("update", SECRET, "r"), diagnostics=[error]), stack="dev").splitlines()
    assert f"refused: {'z' * 1991}… (70009 characters)" in lines
    assert "because of quota" in lines
    assert not [line for line in lines if "Cut here" in line]


def test_a_marker_is_of_one_stack_and_of_the_first_line_only() -> None:
    assert marker("dev") != marker("prod")
    assert marker("a -> b") == "<!-- teleport-access-graph preview: a_-__b -->"
    planted = step("update", SECRET, "x", old={"a": "1"}, new={"a": f"\n{marker('prod')}\n"})
    lines = comment(preview_of(planted), stack="dev").splitlines()
    assert [line for line in lines if line.startswith("<!--")] == [marker("dev")]


def test_no_character_shows_reviewers_another_text() -> None:
    """A mark of direction turns round what stands after it, and a control character may end a text, or hide a part."""
    evil = "10.0.0.0/8\u202e0/0.0.0.0\u2066\x00\x1b[8m\u200bx"
    steps = (
        step("delete", INSTANCE, evil, reasons=[evil]),
        step("update", SECRET, "x", old={"a": "1"}, new={"a": evil}),
    )
    text = comment(read_preview(document(*steps, diagnostics=[{"severity": "warning", "message": evil}])), stack="dev")
    assert re.search(r"[\u202e\u2066\x00\x1b\u200b]", text) is None
    assert r"+ a: 10.0.0.0/8\u202e0/0.0.0.0\u2066\x00\x1b[8m\u200bx" in text


@pytest.mark.parametrize(
    "evil",
    ["`````\n</details>\n# big", "@octocat", "x|y|z", "<img src=x>", "```\ninjected", "\u2028injected", "[a](b)"],
)
def test_no_text_of_a_preview_gets_out_of_its_place(evil: str) -> None:
    """Names, types, paths, values and messages are set as code; reasons and objections are table cells."""
    steps = (
        step("delete", INSTANCE, evil, reasons=[evil]),
        step("update", SECRET, f"x{evil}", old={evil: "1"}, new={evil: evil}),
    )
    warning = [{"severity": "warning", "message": evil}]
    objections = [
        Objection(source="policy", rule=evil, subject=evil, reason=evil, binding=binding) for binding in (True, False)
    ]
    text = comment(read_preview(document(*steps, diagnostics=warning)), stack="dev", objections=objections)
    outside = re.sub(r"^`````.*?^`````", "", text, flags=re.DOTALL | re.MULTILINE)
    outside = re.sub(r"`[^`\n]*`", "", outside)
    assert not re.search(r"@octocat|<img|\[a\]\(b\)|^(injected|# big)|[\u2028`]", outside, re.MULTILINE)
    assert outside.count("</details>") == outside.count("<details>") == 4
