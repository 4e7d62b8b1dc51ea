"""The program's production resources satisfy every rule of the policy pack, and the pack notices each setting that
gives up a rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy.rules import Resource, ResourceRule, certificates, database, releases, stack
from tests.samples import minimal_configuration
from tests.unit.monitor import Recording, unsealed
from tests.unit.privileges.modes import MODES, configured, recorded
from tests.unit.program.stack import configuration, host_authority, run_program

pytestmark = pytest.mark.unit

RULES = (*database.RULES, *releases.RULES, *certificates.RULES, *stack.RULES)
PRODUCTION = {"profile": "production", "port": 6432}


def broken(recording: Recording) -> set[str]:
    """Names of the rules that any resource of the program breaks."""
    names = {item.urn: item.name for item in recording.registrations}
    resources = [
        Resource(
            urn=item.urn,
            type=item.type,
            name=item.name,
            properties=unsealed(item.inputs),
            protect=item.protect,
            # A provider reference is the provider's URN and id. Without a reference, the engine uses a default
            # provider.
            provider=names.get(item.provider.rpartition("::")[0], "default"),
            made_from=item.property_dependencies,
        )
        for item in recording.registrations
        if item.custom
    ]
    found = set()
    for rule in RULES:
        if isinstance(rule, ResourceRule):
            violations = [
                one for item in resources if item.type in rule.types for one in rule.violations(item.properties)
            ]
        else:
            violations = [violation for _, violation in rule.violations(resources)]
        found.update({rule.name} if violations else ())
    return found


def run(directory: Path, **changes: Any) -> Recording:
    settings = {**minimal_configuration()["database"], **PRODUCTION, **changes}
    # The minimal sample is a development environment: raise what it makes smaller to production's level again.
    for key in ("multiAz", "backupRetentionDays", "logRetentionDays", "notifications"):
        if key not in changes:
            settings.pop(key, None)
    return run_program(configuration(directory, database=settings), directory)


@pytest.mark.slow
def test_production_keeps_every_rule_and_gives_each_something_to_look_at(tmp_path: Path) -> None:
    recording = run(tmp_path)
    assert broken(recording) == set()
    types = {item.type for item in recording.custom()}
    unseen = {rule.name for rule in RULES if isinstance(rule, ResourceRule) and not rule.types & types}
    assert unseen == {"database-begins-no-connection"}, "a rule whose types the program does not have checks nothing"


@pytest.mark.slow
@pytest.mark.parametrize("before", ["cert-manager", "somebody's Secret"])
def test_an_authority_that_is_introduced_ahead_of_a_move_may_still_be_given_up(before: str, tmp_path: Path) -> None:
    tls = {**configured(before)["tls"], "nextAuthority": {}}
    (tmp_path / "ca.pem").write_text(host_authority())
    recording = run_program(configuration(tmp_path, tls=tls), tmp_path)
    (key,) = [item for item in recording.custom() if item.type == "tls:index/privateKey:PrivateKey"]
    assert not key.protect
    assert "authority-keys-are-protected" not in broken(recording)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_whatever_of_the_program_takes_tags_is_looked_at(mode: str) -> None:
    tagged = {item.type for item in recorded(mode).custom() if "tags" in item.inputs}
    assert {rule for rule in tagged if rule.startswith("aws:")} - stack.TAGGED == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({"profile": "development", "multiAz": False}, {"database-has-a-standby"}),
        ({"profile": "development", "multiAz": True, "backupRetentionDays": 6}, {"database-has-backups"}),
        ({"masterPassword": "generated"}, {"database-master-password-is-no-state"}),
        (
            {"profile": "development", "multiAz": True, "protect": False, "onDestroy": "delete"},
            {"database-is-hard-to-delete", "stateful-resources-are-protected"},
        ),
    ],
)
def test_a_setting_that_lets_go_of_something_breaks_the_rule_of_it(
    changes: dict[str, Any], rules: set[str], tmp_path: Path
) -> None:
    assert broken(run(tmp_path, **changes)) == rules


@pytest.mark.slow
@pytest.mark.parametrize(
    "restore",
    [
        {"mode": "snapshot", "snapshotIdentifier": "prod-final-0a1b2c3d"},
        {"mode": "pointInTime", "sourceIdentifier": "former"},
    ],
)
def test_a_database_that_is_restored_keeps_the_key_of_its_data_and_every_rule(
    restore: dict[str, Any], tmp_path: Path
) -> None:
    assert broken(run(tmp_path, restore=restore)) == set()
