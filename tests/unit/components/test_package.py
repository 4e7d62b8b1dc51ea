"""The distribution and the provider's directory as declared, and the YAML program that the documentation shows."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from components.package import VERSION
from operations.supply_chain.commands import project_version
from tests.unit.components.component_schema import faults

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "package" / "yaml" / "Pulumi.yaml"


def project() -> str:
    return (ROOT / "pyproject.toml").read_text()


def listed(key: str) -> list[str]:
    """The strings of an array in pyproject.toml; Python 3.10 has no TOML parser."""
    (array,) = re.findall(rf"^{key} = \[(.*?)\]$", project(), re.DOTALL | re.MULTILINE)
    return re.findall(r'"([^"]+)"', array)


def test_what_is_declared_begins_with_what_is_pinned_and_ends_before_the_next_major() -> None:
    lines = [line.split("#")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    pins = dict(line.split("==") for line in lines if line)
    declared = {requirement.name: requirement for requirement in map(Requirement, listed("dependencies"))}
    assert set(declared) == set(pins)
    for name, requirement in declared.items():
        assert f">={pins[name]}" in str(requirement.specifier)
        assert requirement.specifier.contains(pins[name])


def test_every_package_of_the_tree_is_built() -> None:
    trees = {file.parent.relative_to(ROOT) for file in (ROOT / "components").rglob("*.py")}
    names = {".".join(["teleport_access_graph", *tree.parts[1:]]) for tree in trees}
    assert set(listed("packages")) == names


def test_the_provider_runs_in_the_programs_environment_and_needs_no_more() -> None:
    plugin = yaml.safe_load((ROOT / "provider" / "PulumiPlugin.yaml").read_text())
    assert plugin["runtime"] == {"name": "python", "options": {"virtualenv": "../.venv"}}
    assert (
        plugin["requiredPulumiVersion"] == yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["requiredPulumiVersion"]
    )
    assert (ROOT / "provider" / "requirements.txt").read_text().splitlines()[-1] == "-r ../requirements.txt"


def test_what_is_shown_takes_the_version_that_this_is() -> None:
    for file in ("package/python/requirements.txt", "package/yaml/Pulumi.yaml", "fleet/operator/program.yaml"):
        shown = (ROOT / "examples" / file).read_text()
        assert set(re.findall(r"teleport-access-graph(?:/provider)?@v([\d.]+\d)", shown)) == {VERSION}


def test_a_tag_is_one_version_of_the_package_and_of_the_changelog() -> None:
    assert project_version() == VERSION


def example() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    return parsed


def test_the_program_in_yaml_asks_for_what_the_provider_has() -> None:
    assert faults(example()) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("access-graph", "properties", "replica"), 3, "access-graph.replica: no such input"),
        (("access-graph", "properties", "replicas"), "three", "access-graph.replicas: is no integer"),
        (("access-graph", "properties", "metrics"), 1, "access-graph.metrics: is no boolean"),
        (("certificates", "type"), "teleport-access-graph:Certificate", "certificates: no component Certificate"),
        (("credentials", "properties", "digestKey"), None, "credentials.digestKey: is required"),
        (("credentials", "properties", "databaseUri"), "${uri}", "${uri}: is nothing of this program"),
        (("access-graph", "properties", "release"), "${namespace.name}", "${namespace.name}: no such output"),
        (
            ("namespace", "options", "providers"),
            {"kubernetes": "${kubernetes}"},
            "namespace: options.providers is no list",
        ),
    ],
)
def test_and_would_be_caught_if_it_did_not(path: tuple[str, ...], value: Any, said: str) -> None:
    broken = copy.deepcopy(example())
    place = broken["resources"]
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert said in faults(broken)
