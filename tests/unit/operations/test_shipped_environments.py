"""Tests about the shipped environments skip one that a user has changed, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.shipped_environments import REPOSITORY, are_as_shipped, as_shipped

pytestmark = pytest.mark.unit


@as_shipped
def test_an_environment_of_somebodys_is_told_from_the_sample(tmp_path: Path) -> None:
    for name in ("dev", "prod"):
        shutil.copy(REPOSITORY / f"Pulumi.{name}.yaml", tmp_path)
    assert are_as_shipped(tmp_path)
    sample = tmp_path / "Pulumi.prod.yaml"
    sample.write_text(sample.read_text().replace("210987654321", "000111222333"))
    assert not are_as_shipped(tmp_path)
    sample.unlink()
    assert not are_as_shipped(tmp_path)
