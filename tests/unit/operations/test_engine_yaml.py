"""The commands read a stack's configuration file as the engine does: what `preflight` accepts, `up` does not refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.go_yaml import EngineLoader, HelmLoader
from operations.stack import read_stack_file

pytestmark = pytest.mark.unit

# Each scalar -> the engine's reading of it, as `pulumi config --json` prints it; a test in tests/engine compares them.
SCALARS: dict[str, Any] = {
    "no": "no",
    "on": "on",
    "Yes": "Yes",
    "y": "y",
    "OFF": "OFF",
    "True": True,
    "FALSE": False,
    "NULL": None,
    "~": None,
    "1:30": "1:30",
    "1e3": 1000,
    "1e-3": 0.001,
    "010": 8,
    "0o17": 15,
    "0x1F": 31,
    "0b11": 3,
    "1_000": 1000,
    "+5": 5,
    ".5": 0.5,
    "-.5": -0.5,
    "1.": 1,
    "1.0": 1,
    '"no"': "no",
    '"1e3"': "1e3",
    "2026-01-31": "2026-01-31 00:00:00 +0000 UTC",
    "2026-01-31T00:00:00Z": "2026-01-31 00:00:00 +0000 UTC",
    "2026-01-31 10:00:00": "2026-01-31 10:00:00 +0000 UTC",
    "2026-01-31T10:00:00+02:00": "2026-01-31 10:00:00 +0200 +0200",
    '"2026-01-31T00:00:00Z"': "2026-01-31T00:00:00Z",
    "1.30.2": "1.30.2",
    "17": 17,
    "17.6": 17.6,
}


def document(project: str, key: str) -> str:
    """A configuration file with all of these scalars under one key."""
    lines = "".join(f"    s{number}: {scalar}\n" for number, scalar in enumerate(SCALARS))
    return f"config:\n  {project}:{key}:\n{lines}"


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_scalar_is_what_the_engine_makes_of_it(scalar: str) -> None:
    found = yaml.load(f"value: {scalar}", Loader=EngineLoader)["value"]
    assert found == SCALARS[scalar]
    assert isinstance(found, bool) == isinstance(SCALARS[scalar], bool)


def test_the_stacks_file_is_read_so(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(document("teleport-access-graph", "o"))
    found = read_stack_file("dev", root=tmp_path).plain["o"]
    assert list(found.values()) == list(SCALARS.values())


def test_helm_reads_words_and_dates_otherwise() -> None:
    text = "[no, y, On, 2026-01-31]"
    assert yaml.load(text, Loader=HelmLoader) == [False, True, True, "2026-01-31"]
    assert yaml.load(text, Loader=EngineLoader) == ["no", "y", "On", "2026-01-31 00:00:00 +0000 UTC"]
