"""The current program keeps the stacks of every released version: none of their resources is lost or replaced."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import pytest

from components.settings import load_settings
from tests.states.inputs import FILE, STATES, VERSION, Recorded, lost, recorded, registered, replaced
from tests.states.stacks import MODES, stack_of

pytestmark = [pytest.mark.unit, pytest.mark.slow]

VERSIONS = sorted(path.parent.name for path in STATES.glob(f"*/{FILE}"))
PLACES = [(version, mode) for version in VERSIONS for mode in MODES]
WRITE = "`python -m tests.states.inputs`"

now = cache(registered)


@pytest.mark.parametrize(("version", "mode"), PLACES)
def test_no_resource_of_a_released_version_is_lost(version: str, mode: str) -> None:
    gone = lost(recorded(version, mode), *now(mode))
    assert gone == [], (
        f"an upgrade from {version} would delete these, and make others in their place. Give what replaces each an "
        "alias (`pulumi.ResourceOptions(aliases=[pulumi.Alias(...)])`); if one is to go on purpose, say so in "
        f"CHANGELOG.md and docs/upgrade.md and take it out of tests/states/{version}/{FILE}"
    )


@pytest.mark.parametrize(("version", "mode"), PLACES)
def test_no_resource_of_a_released_version_is_replaced(version: str, mode: str) -> None:
    others = replaced(recorded(version, mode), *now(mode))
    assert others == [], (
        f"an upgrade from {version} would replace these: give the input its former value, or, where a replacement "
        "harms nobody (a Job that runs again), say so in CHANGELOG.md and docs/upgrade.md and write the new value into "
        f"tests/states/{version}/{FILE}"
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_present_version_is_recorded_whole(mode: str) -> None:
    new = sorted(now(mode)[0].keys() - recorded(VERSION, mode).keys())
    assert new == [], f"new resources: record them with {WRITE}, and every later version will keep them"


def test_every_mode_of_every_union_is_among_the_stacks() -> None:
    """A new member of a union needs a new stack here."""
    found = {item for mode in MODES for item in _modes(mode)}
    assert found >= {"rds", "existing", "password", "iam", "managed", "generated", "irsa", "podIdentity"}
    assert found >= {"ownTopic", "topic", "none", "certManager", "existingSecret", "ca", "restarter", "external"}
    assert found >= {"release", "values", "manual"}


def _modes(mode: str) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        config, secrets = stack_of(mode, Path(directory))
        settings = load_settings(config, secrets, root=Path(directory), stack="dev")
    found = [settings.database.mode, settings.tls.mode, *(entry.mode for entry in settings.teleport.values())]
    for section in (settings.database, settings.tls):
        for name in ("authentication", "master_password"):
            found.append(getattr(section, name, ""))
        for name in ("notifications", "issuer", "reloader"):
            found.append(getattr(getattr(section, name, None), "mode", ""))
    identity = None if settings.aws is None else settings.aws.workload_identity
    return [*found, "" if identity is None else identity.mode]


RECORDED: Recorded = {"urn::a": {"metadata.name": "one"}, "urn::b": {"spec": [1]}}


def test_what_is_gone_is_lost_unless_its_successor_claims_it() -> None:
    present: Recorded = {"urn::b": {"spec": [1]}, "urn::c": {"metadata.name": "one"}}
    assert lost(RECORDED, present, {}) == ["urn::a"]
    assert lost(RECORDED, present, {"urn::c": {"urn::a"}}) == []


def test_another_input_that_cannot_change_in_place_is_a_replacement() -> None:
    present: Recorded = {"urn::a": {"metadata.name": "two"}, "urn::b": {"spec": [1]}}
    assert replaced(RECORDED, RECORDED, {}) == []
    assert replaced(RECORDED, present, {}) == ["urn::a: metadata.name was 'one' and is 'two'"]
    moved: Recorded = {"urn::b": {}, "urn::c": {"metadata.name": "one"}}
    assert replaced(RECORDED, moved, {"urn::c": {"urn::a"}}) == ["urn::b: spec was [1] and is None"]
