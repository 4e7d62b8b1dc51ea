"""A failure that comes from the machine itself is reported as one message with the remedy."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sandbox.cli import main
from sandbox.home import Home
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


def test_status_says_where_it_answers_and_which_plugins_it_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.at(tmp_path / "home")
    home.create()
    (home.root / "sandbox.json").write_text("{}")
    home.kubeconfig.write_text("clusters: [{name: sandbox, cluster: {server: 'https://127.0.0.9:6443'}}]")
    (home.run / "plugins.txt").write_text("tls 5.6.2 (official)\naws 7.51.1 (stand-in)\n")
    assert main(["--home", str(home.root), "status"]) == 1, "nothing runs"
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[-3:]]
    assert [line[-1] for line in lines] == [
        "API           https://127.0.0.9:6443",
        "tls 5.6.2 (official)",
        "aws 7.51.1 (stand-in)",
    ]


@pytest.mark.slow
def test_the_help_of_an_operation_needs_no_sandbox(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--home", str(tmp_path / "none"), "verify", "--help"]) == 0
    assert "Prove the deployed stack from outside" in capfd.readouterr().out


def test_adopt_says_where_the_values_are_and_passes_its_options_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passed: list[str] = []

    def adopt(sandbox: Sandbox, cloud: object, *arguments: str) -> Path:
        passed.extend(arguments)
        return tmp_path / "teleport.example.com.yaml"

    monkeypatch.setattr(Sandbox, "running", lambda sandbox: None)
    monkeypatch.setattr(Sandbox, "adopt", adopt)
    assert main(["--home", str(tmp_path / "home"), "adopt", "--force"]) == 0
    assert passed == ["--force"]
    assert f"{tmp_path}/teleport.example.com.yaml" in capsys.readouterr().out
