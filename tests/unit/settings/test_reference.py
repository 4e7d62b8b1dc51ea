"""docs/configuration.md describes every setting as the code treats it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.settings.chart_versions import KNOWN_CHARTS, dotted
from components.settings.loader import RELATIONS
from components.settings.reference import DOCUMENT, reference

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]


def test_the_document_is_what_the_code_makes_of_it() -> None:
    written = (REPOSITORY / DOCUMENT).read_text(encoding="utf-8")
    assert written == reference(), "run `python -m components.settings.reference --write`"


def test_every_row_has_all_its_cells_and_says_why() -> None:
    rows = [line for line in reference().splitlines() if line.startswith("| `") and "databaseUri" not in line]
    # Leave out the rows of keys that the user chooses (`<key>`): the section says what those keys are for.
    keys = [row for row in rows if row.count("|") >= 6 and not re.match(r"\| `\w+\.<key>`", row)]
    assert len(keys) > 100
    for row in keys:
        key, kind, default, _, why = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:6])
        assert key
        assert kind
        assert default
        assert why, f"{key} says not what it is for"


def test_every_rule_between_settings_is_told() -> None:
    text = reference()
    for relation in RELATIONS:
        assert relation.__doc__, f"{relation.__name__} has no sentence"
        assert relation.__doc__.strip()[2:] in text


def test_the_versions_are_documented_as_they_are_known() -> None:
    document = (REPOSITORY / "docs" / "teleport.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([0-9.]+) \| ([0-9.]+) \|", document, re.MULTILINE)
    assert rows == [(dotted(chart.version), dotted(chart.teleport)) for chart in KNOWN_CHARTS]


@pytest.mark.slow
def test_settings_load_without_a_cloud_sdk() -> None:
    """Every preview starts by reading the configuration, so this must load pydantic and pulumi, and nothing else."""
    unwanted = "('pulumi_', 'cryptography', 'boto')"
    code = f"import sys, components.settings; print([name for name in sys.modules if name.startswith({unwanted})])"
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
