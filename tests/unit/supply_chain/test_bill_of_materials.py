"""The bill of materials is a CycloneDX 1.6 document of exactly what a deployment runs."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.stack import StackError
from operations.supply_chain.bill_of_materials import bill_of_materials
from operations.supply_chain.commands import project_version
from operations.supply_chain.lock import read_lock

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return bill_of_materials(read_lock(ROOT / "requirements.txt"), version="1.2.3", now=NOW)


def test_it_has_what_the_format_asks_for(document: dict[str, Any]) -> None:
    """The required fields and patterns of bom-1.6.schema.json."""
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    uuid = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    assert re.fullmatch(uuid, document["serialNumber"])
    assert document["metadata"]["timestamp"] == "2026-11-25T12:00:00Z"
    assert document["metadata"]["component"]["version"] == "1.2.3"
    for component in (document["metadata"]["component"], *document["components"]):
        assert component["type"] in ("application", "library")
        assert component["name"]
    references = [component["bom-ref"] for component in document["components"]]
    assert len(references) == len(set(references))
    known = {*references, document["metadata"]["component"]["bom-ref"]}
    for dependency in document["dependencies"]:
        assert {dependency["ref"], *dependency["dependsOn"]} <= known


def test_it_has_each_package_of_the_lock_that_is_for_this_machine(document: dict[str, Any]) -> None:
    libraries = {one["name"]: one for one in document["components"] if one["type"] == "library"}
    here = {one.name: one for one in read_lock(ROOT / "requirements.txt") if one.applies()}
    assert set(libraries) == set(here)
    for name, library in libraries.items():
        assert library["purl"] == f"pkg:pypi/{name}@{here[name].version}"
        assert tuple(one["value"] for one in library["properties"]) == here[name].hashes
        assert len(library["licenses"]) == 1, name


def test_it_has_the_plugins_that_run_with_the_credentials(document: dict[str, Any]) -> None:
    versions = {one.name: one.version for one in read_lock(ROOT / "requirements.txt")}
    assert {(one["name"], one["version"]) for one in document["components"] if one["type"] == "application"} == {
        (f"pulumi-resource-{name}", versions[f"pulumi-{name}"]) for name in ("aws", "kubernetes", "random", "tls")
    }


def test_it_tells_what_needs_what(document: dict[str, Any]) -> None:
    needs = {one["ref"].split("@")[0]: one["dependsOn"] for one in document["dependencies"]}
    assert {one.split("@")[0] for one in needs["pkg:pypi/pulumi-random"]} >= {"pkg:pypi/pulumi", "pkg:pypi/semver"}
    assert needs["pkg:pypi/pyyaml"] == []


@pytest.mark.slow
def test_the_same_materials_have_the_same_number_and_others_have_another(document: dict[str, Any]) -> None:
    packages = read_lock(ROOT / "requirements.txt")
    later = datetime(2027, 1, 1, tzinfo=timezone.utc)
    assert bill_of_materials(packages, version="1.2.3", now=later)["serialNumber"] == document["serialNumber"]
    assert bill_of_materials(packages[1:], version="1.2.3", now=NOW)["serialNumber"] != document["serialNumber"]


@pytest.mark.slow
def test_the_command_writes_it_with_the_version_of_the_changelog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795608000")
    out = tmp_path / "bill.json"
    done = CliRunner().invoke(app, ["bill-of-materials", "--out", str(out)])
    assert done.exit_code == 0, done.output
    written = json.loads(out.read_text())
    expected = bill_of_materials(
        read_lock(ROOT / "requirements.txt"),
        version=project_version(),
        now=datetime.fromtimestamp(1795608000, timezone.utc),
    )
    assert written == expected


def test_a_changelog_without_a_version_is_refused(tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changes\n\n## [Unreleased]\n")
    with pytest.raises(StackError, match="no section of a version"):
        project_version(changelog)
    changelog.write_text("# Changes\n\n## [Unreleased]\n\n## [1.10.0] - 2027-01-01\n\n## [1.9.0] - 2026-12-01\n")
    assert project_version(changelog) == "1.10.0"
