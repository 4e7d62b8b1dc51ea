"""What goes wrong for reasons of the machine's own is one message with the remedy."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sandbox.cli import main
from sandbox.lifecycle import Sandbox

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_message_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def start(sandbox: Sandbox) -> None:
        raise OSError(number, "No space left on device", str(sandbox.home.root / "state"))

    monkeypatch.setenv("SANDBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Sandbox, "start", start)
    assert main(["--home", str(tmp_path / "home"), "start"]) == 1
    assert capsys.readouterr().err == (
        f"error: the disk is full ({tmp_path / 'home' / 'state'}).\n"
        "  remedy: free some space and run the same command again: it goes on where it stopped\n"
    )


def test_another_error_of_the_system_is_not_taken_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(sandbox: Sandbox) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setenv("SANDBOX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Sandbox, "start", start)
    with pytest.raises(OSError, match="Permission denied"):
        main(["--home", str(tmp_path / "home"), "start"])
