"""The table in docs/recover.md: each fault says what the user sees, what to do, and which test shows it; every test of
a fault has a row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[3]
TEXT = (REPOSITORY / "docs" / "recover.md").read_text(encoding="utf-8")
OF_FAULTS = ("tests/engine/test_faults.py", "tests/engine/test_single_faults.py")


def rows() -> list[list[str]]:
    """The cells of the table's rows, without the heading."""
    lines = [line for line in TEXT.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def functions_of(file: str) -> set[str]:
    tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.slow
@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:50])
def test_a_row_is_whole_and_its_test_exists(row: list[str]) -> None:
    assert [bool(cell) for cell in row] == [True] * 4
    named = re.fullmatch(r"`(tests/\S+\.py)::(test_\w+)`", row[3])
    assert named, row[3]
    assert named[2] in functions_of(named[1])


def test_no_fault_has_two_rows() -> None:
    faults = [row[0] for row in rows()]
    assert len(faults) == len(set(faults)) >= 20


def test_every_test_of_a_fault_has_a_row() -> None:
    shown = {row[3].strip("`") for row in rows()}
    assert {f"{file}::{name}" for file in OF_FAULTS for name in functions_of(file)} - shown == set()


def test_the_ways_to_it_lead_to_it() -> None:
    assert "(recover.md" in (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    assert "docs/recover.md" in (REPOSITORY / "README.md").read_text(encoding="utf-8")
