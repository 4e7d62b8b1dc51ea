"""An upgrade from each released version: the current program's preview on the state that the version recorded.

`tests/unit/states` checks for every mode of the settings what would be replaced. Here the engine and the plugins judge,
on the sandbox's own stack.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import RunningSandbox
from tests.states.inputs import FILE as INPUTS
from tests.states.inputs import STATES, VERSION
from tests.states.recording import FILE, Resource, with_deployment

pytestmark = pytest.mark.engine

VERSIONS = sorted(path.parent.name for path in STATES.glob(f"*/{FILE}"))
# Operations that neither replace nor delete what exists.
HARMLESS = {"same", "update", "create", "read", "refresh"}


def recorded(version: str) -> list[Resource]:
    found: list[Resource] = json.loads((STATES / version / FILE).read_text())
    return found


@contextmanager
def stack_in(sandbox: RunningSandbox, resources: list[Resource], tmp_path: Path) -> Iterator[None]:
    """Gives the sandbox's stack these resources, and at the end its own again."""
    own, theirs = tmp_path / "own.json", tmp_path / "theirs.json"
    for file in (own, theirs):
        file.touch(mode=0o600)
    own.write_text(sandbox.pulumi("stack", "export", "--show-secrets").stdout)
    theirs.write_text(json.dumps(with_deployment(resources, json.loads(own.read_text()))))
    sandbox.pulumi("stack", "import", "--file", str(theirs))
    try:
        yield
    finally:
        sandbox.pulumi("stack", "import", "--file", str(own))


def steps(sandbox: RunningSandbox) -> dict[str, str]:
    """URN -> the preview's operation on it."""
    return {step["urn"]: step["op"] for step in sandbox.preview("--show-sames")["steps"]}


def test_every_version_has_its_state() -> None:
    assert VERSION in VERSIONS
    assert sorted(path.parent.name for path in STATES.glob(f"*/{INPUTS}")) == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_no_resource_of_a_released_version_is_replaced_or_deleted(
    deployed: RunningSandbox, version: str, tmp_path: Path
) -> None:
    with stack_in(deployed, recorded(version), tmp_path):
        found = steps(deployed)
    assert {urn: op for urn, op in found.items() if op not in HARMLESS} == {}
    # Shows that the engine took the state for the stack's own.
    assert list(found.values()).count("same") > len(found) / 2


def test_a_replacement_and_a_deletion_would_be_seen(deployed: RunningSandbox, tmp_path: Path) -> None:
    """Shows that the test above would fail for a state that the program cannot keep."""
    resources = recorded(VERSION)
    group = _one(resources, "aws:rds/subnetGroup:SubnetGroup")
    group["inputs"]["namePrefix"] = group["outputs"]["namePrefix"] = "another-"
    config_map = _one(resources, "kubernetes:core/v1:ConfigMap")
    other = {**config_map, "urn": config_map["urn"] + "-former"}
    resources.append(other)
    with stack_in(deployed, resources, tmp_path):
        found = steps(deployed)
    assert found[group["urn"]] not in HARMLESS
    assert found[other["urn"]] == "delete"


def _one(resources: list[Resource], kind: str) -> dict[str, Any]:
    return next(resource for resource in resources if resource["type"] == kind)
