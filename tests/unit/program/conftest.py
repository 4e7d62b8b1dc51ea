"""Recorded runs of the program, shared by all tests that only inspect them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, run_program


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The default stack in mode rds, as an `up` from nothing registers it."""
    directory: Path = tmp_path_factory.mktemp("program")
    return run_program(configuration(directory), directory)


@pytest.fixture(scope="session")
def first_preview(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The same stack in a preview before anything exists: every computed value is unknown."""
    directory: Path = tmp_path_factory.mktemp("preview")
    return run_program(configuration(directory), directory, preview=True)
