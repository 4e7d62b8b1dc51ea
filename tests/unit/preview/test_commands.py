"""The commands: files in, files out, and exit codes on which a workflow can act."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.preview import commands
from tests.unit.certificates.pki import authority, of_unknown_version
from tests.unit.preview.previews import RECORDINGS, SECRET, document, step

pytestmark = pytest.mark.unit


def run(command: str, name: str, tmp_path: Path, *more: str) -> tuple[int, str]:
    files = ["--out", "c.md"] if command == "comment" else ["--title", "t.txt", "--body", "b.md"]
    files = [str(tmp_path / word) if "." in word else word for word in files]
    done = CliRunner().invoke(
        app,
        [
            command,
            str(RECORDINGS / f"{name}.json"),
            "--stack",
            "prod",
            "--html",
            str(tmp_path / "r.html"),
            *files,
            *more,
        ],
    )
    return done.exit_code, done.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "more", "code"),
    [
        ("replaced-database", [], 0),
        ("replaced-database", ["--fail-on", "red"], 1),
        ("replaced-database", ["--fail-on", "red", "--labels", '["bug"]'], 1),
        ("replaced-database", ["--fail-on", "red", "--labels", '["allow-red"]'], 0),
        ("replaced-database", ["--fail-on", "red", "--labels", '["bug", "allow-red/prod"]'], 0),
        ("replaced-database", ["--fail-on", "red", "--labels", '["allow-red/dev"]'], 1),
        ("renewed-authority", ["--fail-on", "red"], 0),
        ("renewed-authority", ["--fail-on", "amber"], 1),
        ("quiet", ["--fail-on", "amber"], 0),
        ("refused", [], 0),
        ("refused", ["--fail-on", "red"], 1),
        # A label allows a red change, but never an unknown one.
        ("refused", ["--fail-on", "red", "--labels", '["allow-red"]'], 1),
        ("absent", ["--fail-on", "red", "--exit-code", "137"], 1),
        ("quiet", ["--fail-on", "red", "--exit-code", "255"], 1),
        ("quiet", ["--fail-on", "purple"], 2),
        ("quiet", ["--labels", "allow-red"], 2),
        ("quiet", ["--server-validation", "skipped"], 0),
        ("quiet", ["--server-validation", "maybe"], 2),
    ],
)
def test_the_exit_code_of_a_comment(name: str, more: list[str], code: int, tmp_path: Path) -> None:
    assert run("comment", name, tmp_path, *more)[0] == code
    # Unless the command was called wrongly, reviewers get something to read.
    assert (tmp_path / "c.md").exists() is (code != 2)
    assert (tmp_path / "r.html").exists() is (code != 2)


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "said"), [("skipped", True), ("done", False), ("unknown", False)])
def test_a_skipped_validation_stands_in_the_comment(answer: str, said: bool, tmp_path: Path) -> None:
    assert run("comment", "quiet", tmp_path, "--server-validation", answer)[0] == 0
    assert ("Server validation was skipped" in (tmp_path / "c.md").read_text()) is said


def test_one_line_says_what_it_is(tmp_path: Path) -> None:
    assert run("comment", "replaced-database", tmp_path)[1] == (
        "prod: 1 thing that cannot be undone, restarts of the access graph\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("quiet", 0, "prod: nothing differs\n"),
        ("renewed-authority", 1, "prod: due renewal\n"),
        ("drift", 1, "prod: stale host CA, drift\n"),
        ("conflict", 1, "prod: The preview failed.\n"),
        ("absent", 1, "prod: The preview ended without a result.\n"),
    ],
)
def test_the_exit_code_of_a_drift(name: str, code: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "b.md").write_text("of yesterday")
    assert run("drift", name, tmp_path) == (code, said)
    assert (tmp_path / "b.md").exists() is (code == 1)
    assert (tmp_path / "t.txt").read_text() == "The stack prod is not what it should be\n"


@pytest.mark.slow
def test_the_help_of_comment_says_when_it_ends_with_1() -> None:
    """Without --fail-on the exit code is never 1, as the cases above show."""
    said = " ".join(CliRunner().invoke(app, ["comment", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "Exit code: 0, or with --fail-on red or amber 1 if the preview failed" in said


@pytest.mark.parametrize(("command", "code"), [("comment", 0), ("drift", 1)])
def test_a_certificate_of_an_unknown_version_is_a_value_like_others(command: str, code: int, tmp_path: Path) -> None:
    broken = {"data": {"ca.pem": of_unknown_version(authority("Root").pem)}}
    preview = tmp_path / "preview.json"
    preview.write_text(document(step("update", SECRET, "ca", old=broken, new={"data": {"ca.pem": "text"}})))
    names = ["--out"] if command == "comment" else ["--title", str(tmp_path / "t.txt"), "--body"]
    done = CliRunner().invoke(app, [command, str(preview), "--stack", "prod", *names, str(tmp_path / "said.md")])
    assert (done.exit_code, done.exception is None or isinstance(done.exception, SystemExit)) == (code, True)
    assert '- data["ca.pem"]: (a certificate that cannot be read, ' in (tmp_path / "said.md").read_text()


def test_a_drift_that_breaks_off_leaves_no_title_for_which_an_issue_would_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "issue_body", lambda *_, **__: 1 / 0)
    assert run("drift", "drift", tmp_path)[0] == 1
    assert not (tmp_path / "t.txt").exists()
