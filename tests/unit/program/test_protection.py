"""What the engine refuses to delete, what a `destroy` leaves in place, and that a failed release is rolled back by
itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, run_program

TELEPORT = f"teleport-{TELEPORT_CLUSTER}"


def protected(stack: Recording) -> set[str]:
    return {item.name for item in stack.registrations if item.protect}


def kept(stack: Recording) -> set[str]:
    return {item.name for item in stack.custom() if item.retain_on_delete}


def test_what_cannot_be_made_again_is_protected_and_nothing_else(stack: Recording) -> None:
    assert protected(stack) == {"database-instance", "database-key", "certificates-ca-1-key"}


@pytest.mark.slow
def test_protection_is_lifted_by_settings(tmp_path: Path) -> None:
    config = configuration(tmp_path, tls={"mode": "generated", "protect": False})
    config["database"] |= {"protect": False, "onDestroy": "delete"}
    assert protected(run_program(config, tmp_path)) == set()


def test_a_kept_database_keeps_all_it_needs(stack: Recording) -> None:
    assert kept(stack) == {
        "database-instance",
        "database-key",
        "database-key-alias",
        "database-log-postgresql",
        "database-log-upgrade",
        "database-subnet-group",
        "database-security-group",
        "database-parameter-group",
        "database-monitoring-role",
        "database-monitoring-policy",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "enabled", "expected"),
    [
        ({"adopt": True}, True, {f"{TELEPORT}-release", f"{TELEPORT}-ca"}),
        ({"adopt": True}, False, {f"{TELEPORT}-release"}),
        ({"adopt": False}, True, set()),
        ({"mode": "values", "chart": ...}, True, {f"{TELEPORT}-ca"}),
        ({"mode": "values", "chart": ...}, False, {f"{TELEPORT}-ca"}),
        ({"mode": "values", "chart": ..., "rollout": {}}, False, set()),
    ],
    ids=["adopted", "adopted-and-off", "ours", "somebody-else's", "unawaited-and-off", "awaited-and-off"],
)
def test_a_destroy_never_costs_teleport_its_start(
    tmp_path: Path, entry: dict[str, Any], enabled: bool, expected: set[str]
) -> None:
    """A release that mounts the ConfigMap and outlives the stack keeps the ConfigMap. With its own values again, the
    release no longer needs it. If nobody waits for the owner's rollout, the program cannot know, and keeps it."""
    config = configuration(tmp_path, entry=entry)
    config["accessGraph"]["enabled"] = enabled
    assert {name for name in kept(run_program(config, tmp_path)) if name.startswith(TELEPORT)} == expected


@pytest.mark.slow
def test_an_adopted_release_is_imported_by_its_name(tmp_path: Path) -> None:
    stack = run_program(configuration(tmp_path, entry={"adopt": True}), tmp_path)
    assert stack[f"{TELEPORT}-release"].import_id == "teleport/teleport"
    assert {item.name for item in stack.registrations if item.import_id} == {f"{TELEPORT}-release"}


def test_no_change_but_the_origin_is_ignored_and_only_jobs_are_replaced_by_deleting_first(stack: Recording) -> None:
    # Once the instance exists, the origin of its data no longer matters, but AWS would replace the instance if the
    # field were removed.
    assert {item.name: item.ignore_changes for item in stack.registrations if item.ignore_changes} == {
        "database-instance": ("snapshotIdentifier", "restoreToPointInTime")
    }
    # A Job that is deleted only at the end of the `up` would still hold the name that a way back needs.
    jobs = {item.name for item in stack.registrations if item.type == "kubernetes:batch/v1:Job"}
    assert {item.name for item in stack.registrations if item.delete_before_replace} == jobs != set()


def test_a_release_that_fails_goes_back_and_is_the_same_from_every_machine(stack: Recording) -> None:
    for release in stack.of_type("kubernetes:helm.sh/v3:Release"):
        options = {key: release.plain(key) for key in ("atomic", "skipAwait", "timeout", "maxHistory")}
        assert options == {"atomic": True, "skipAwait": False, "timeout": 600, "maxHistory": 10}
        assert release.plain("keyring") == "", "the plugin's default is the home directory of whoever runs it"
    assert len(stack.of_type("kubernetes:helm.sh/v3:Release")) == 2
