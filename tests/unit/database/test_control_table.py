"""docs/database.md has a row for each control, and each row names the test that proves the control and what may be
waived."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.settings.database_profiles import WAIVERS
from tests.database_controls import CONTROLS, FLIPS
from tests.engine.database_flips import flips

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[3]
TEXT = (REPOSITORY / "docs" / "database.md").read_text(encoding="utf-8")
CONTROL = r"[A-Z][A-Za-z]+\.[0-9]+"


def rows() -> dict[str, list[str]]:
    """The cells of each row, by control."""
    found: dict[str, list[str]] = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        named = re.match(rf"({CONTROL})(, {CONTROL})*(?= )", cells[0].removeprefix("| "))
        for control in re.findall(CONTROL, named[0]) if named and line.startswith("| ") else []:
            assert control not in found, f"{control} has two rows"
            found[control] = cells
    return found


def collected(*files: str) -> set[str]:
    """The tests that pytest collects from these files, as `<file>::<function>[<parameters>]`."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(
        [*command, "-o", "addopts=--import-mode=importlib"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    return {line for line in done.stdout.splitlines() if "::" in line}


def test_every_control_has_a_row_and_every_row_a_control() -> None:
    assert set(rows()) == set(CONTROLS)


@pytest.mark.slow
def test_the_tests_that_the_table_names_exist_for_each_control() -> None:
    (live,) = set(re.findall(r"`(tests/engine/\S+)::(\w+)\[<control>\]`", TEXT))
    (registration,) = set(re.findall(r"`(tests/unit/database/\S+\.py)`", TEXT))
    found = collected(live[0], registration)
    assert [control for control in CONTROLS if f"{live[0]}::{live[1]}[{control}]" not in found] == []
    at_registration = f"{registration}::test_production_asks_for_it"
    assert [control for control in CONTROLS if f"{at_registration}[{control}]" not in found] == []


@pytest.mark.parametrize("control", CONTROLS)
def test_a_row_says_where_its_setting_is_flipped(control: str) -> None:
    flipped_live = control in {name for name, _ in flips()}
    assert rows()[control][3] == ("live" if flipped_live else "live, flipped at registration")
    assert control in {name for names, _ in FLIPS for name in names}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_row_tells_of_a_waiver_if_there_is_one(control: str) -> None:
    waived = control in {name for waiver in WAIVERS for name in waiver.controls}
    assert rows()[control][2].startswith("yes" if waived else "no"), rows()[control]
