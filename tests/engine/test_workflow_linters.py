"""The workflows pass actionlint and zizmor, and both linters would report a fault."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT
from tests.engine.workflow_linters import actionlint, zizmor

pytestmark = pytest.mark.engine

WORKFLOWS = CHECKOUT / ".github" / "workflows"
# The sample workflow, which users copy there.
OFFERED = CHECKOUT / "examples" / "fleet" / "actions" / "fleet.yaml"
SECONDS = 120


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=SECONDS)


def spoilt(tmp_path: Path, before: str, after: str) -> Path:
    """The preview workflow with one fault in it."""
    text = (WORKFLOWS / "preview.yaml").read_text()
    assert before in text
    directory = tmp_path / ".github" / "workflows"
    directory.mkdir(parents=True)
    (directory / "preview.yaml").write_text(text.replace(before, after))
    return directory / "preview.yaml"


def test_actionlint_finds_nothing() -> None:
    done = run(actionlint(), *sorted(WORKFLOWS.glob("*.yaml")), OFFERED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_zizmor_finds_nothing() -> None:
    done = run(zizmor(), "--offline", "--no-progress", WORKFLOWS, OFFERED)
    assert done.returncode == 0, done.stdout + done.stderr
    # zizmor warns of parts that it cannot check.
    assert "WARN" not in done.stderr
    assert "No findings to report" in done.stdout


def test_actionlint_would_tell(tmp_path: Path) -> None:
    done = run(actionlint(), spoilt(tmp_path, "needs.environments.outputs.names", "needs.environments.outputs.nams"))
    assert done.returncode == 1
    assert 'property "nams" is not defined' in done.stdout


@pytest.mark.parametrize(
    ("before", "after", "audit"),
    [
        ("\n  pull_request:\n", "\n  pull_request_target:\n", "dangerous-triggers"),
        ('--number "$NUMBER"', '--number "${{ github.event.pull_request.title }}"', "template-injection"),
        ("@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2", "@v6", "unpinned-uses"),
    ],
)
def test_zizmor_would_tell(tmp_path: Path, before: str, after: str, audit: str) -> None:
    done = run(zizmor(), "--offline", "--no-progress", spoilt(tmp_path, before, after))
    assert done.returncode != 0
    assert f"[{audit}]" in done.stdout
