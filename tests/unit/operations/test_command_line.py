"""The command line: whatever the command, an error of the file system becomes one line and exit code 2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from operations import __main__ as command_line
from operations import diagnose
from operations.diagnose import Diagnosis
from operations.stack import ROOT, StackError
from tests.unit.operations.certificates import authority
from tests.unit.preview.previews import RECORDINGS
from tests.unit.shipped_environments import as_shipped

pytestmark = pytest.mark.unit


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The single line that the command prints."""
    monkeypatch.setattr(sys, "argv", ["operations", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said.removeprefix("error: ").strip()


@as_shipped
@pytest.mark.slow
def test_a_place_that_nothing_can_be_read_from_or_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = RECORDINGS / "quiet.json"
    here, missing = str(tmp_path), str(tmp_path / "missing" / "x")
    of = ("--stack", "dev", "--out")
    for arguments, said in (
        (("graph", "--preview", missing), f"{missing}: No such file or directory"),
        (("graph", "--preview", here), f"{here}: Is a directory"),
        (("graph", "--preview", str(preview), "--out", missing), f"{missing}: No such file or directory"),
        (("comment", here, *of, str(tmp_path / "c.md")), f"{here}: Is a directory"),
        (("comment", str(preview), *of, "/dev/null/x/c.md"), "/dev/null/x: Not a directory"),
        (("bill-of-materials", "--out", missing), f"{missing}: No such file or directory"),
        (("privileges", "--for", "preview", *of, "/dev/null/x"), "/dev/null/x: Not a directory"),
    ):
        assert refused(monkeypatch, capsys, *arguments) == said


def test_a_moment_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("abc", "9" * 20):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
        said = refused(monkeypatch, capsys, "bill-of-materials")
        assert said == f"SOURCE_DATE_EPOCH: {text!r} is no moment; set seconds since 1970, or nothing"


@pytest.mark.slow
def test_an_environment_with_what_an_up_needs_alone_is_told_of_the_rest() -> None:
    without = "import runpy, sys; sys.modules['typer'] = None; runpy.run_module('operations', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", without], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        "error: `python -m operations` needs more packages than `pulumi up`; run `make setup`"
    )
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["full", "gone"])
def test_output_that_nobody_takes_ends_in_one_line_at_the_most(reader: str) -> None:
    if reader == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        end, out = os.pipe()
        os.close(end)
    done = subprocess.run(
        [sys.executable, "-m", "operations", "bill-of-materials"],
        cwd=ROOT,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(out)
    expected = (2, "error: No space left on device\n") if reader == "full" else (1, "")
    assert (done.returncode, done.stderr) == expected


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_whose_output_is_closed_from_the_beginning_has_its_exit_code(closed: str) -> None:
    """A job may close the output because it wants only the exit code."""
    script = f'"$0" -m operations licences {closed}'
    done = subprocess.run(["sh", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_host_identity_of_a_cluster_that_is_none_is_refused(tmp_path: Path) -> None:
    file = authority("a.example.com").issue(tmp_path, "auth")
    clusters = ["a.example.com", "b.example.com"]
    given = [str(file), f"b.example.com={file}"]
    assert command_line._identities(given, clusters) == dict.fromkeys(clusters, file)
    assert command_line._identities([str(file)], []) == {"": file}
    with pytest.raises(StackError, match=r"nosuch is no Teleport of this configuration, which has a\.example\.com, b"):
        command_line._identities([f"nosuch={file}"], clusters)


def test_a_host_identity_that_is_none_is_refused_before_anything_is_proven(tmp_path: Path) -> None:
    for text in ("", authority("a.example.com").pem):
        (tmp_path / "identity.pem").write_text(text)
        with pytest.raises(StackError, match=r"identity\.pem has no certificate with its key, unencrypted \("):
            command_line._identities([str(tmp_path / "identity.pem")], ["a.example.com"])


def test_an_interrupt_while_packages_load_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-m", "operations", "diagnose"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def heed() -> None:
        """Give SIGINT its default action: a background job of a shell has it ignored, and the command would inherit
        that."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, preexec_fn=heed
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_what_a_log_has_is_shown_on_the_line_of_its_diagnosis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Diagnosis("log of auth-0", "could not find host CA\n\x1b[2J  cause: none", "it is unknown", "renew it")
    monkeypatch.setattr(command_line, "read_stack_file", lambda *_: SimpleNamespace(settings=lambda: None))
    monkeypatch.setattr(diagnose, "diagnose_stack", lambda *_: [found])
    with pytest.raises(typer.Exit):
        command_line.diagnose()
    assert capsys.readouterr().out.splitlines() == [
        r"log of auth-0: could not find host CA \x1b[2J  cause: none",
        "  cause: it is unknown",
        "  remedy: renew it",
        "1 findings",
    ]
