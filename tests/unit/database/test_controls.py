"""The controls at registration: production keeps all of them, changing a setting breaks exactly its control, and
development's table lists the controls that it waives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from components.settings.database_profiles import WAIVERS
from tests.database_controls import CONTROLS, FLIPS, Facts, flipped, registered_facts, violations
from tests.unit.program.stack import configuration, run_program

pytestmark = pytest.mark.unit


def facts_of(directory: Path, profile: str, **settings: Any) -> Facts:
    config = configuration(directory)
    config["database"] |= {"profile": profile, **settings}
    return registered_facts(run_program(config, directory))


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    return facts_of(tmp_path_factory.mktemp("production"), "production")


@pytest.mark.slow
@pytest.mark.parametrize("control", CONTROLS)
def test_production_asks_for_it(production: Facts, control: str) -> None:
    assert CONTROLS[control](production)


@pytest.mark.parametrize(("broken", "changes"), FLIPS, ids=lambda value: str(value[0]) if value else "")
def test_a_flipped_setting_breaks_its_controls_and_no_other(
    production: Facts, broken: Sequence[str], changes: Sequence[tuple[str, Any]]
) -> None:
    assert violations(flipped(production, *changes)) == list(broken)


def test_every_control_is_flipped() -> None:
    assert {control for broken, _ in FLIPS for control in broken} == set(CONTROLS)


@pytest.mark.slow
def test_development_breaks_what_its_defaults_waive_and_nothing_else(tmp_path: Path) -> None:
    assert violations(facts_of(tmp_path, "development")) == [
        "RDS.5",
        "RDS.20",
        "RDS.21",
        "RDS.22",
        "RDS.23",
        "CloudWatch.16",
    ]


@pytest.mark.slow
def test_development_can_break_what_is_waived_and_nothing_else(tmp_path: Path) -> None:
    """Every waiver is used, and the protection against deletion is lifted as well."""
    lifted = {"monitoringIntervalSeconds": 0, "backupRetentionDays": 1, "onDestroy": "delete", "protect": False}
    waived = {control for waiver in WAIVERS for control in waiver.controls}
    assert set(violations(facts_of(tmp_path, "development", **lifted))) == waived
