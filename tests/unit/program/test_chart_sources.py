"""Where Helm gets the charts from, for each way of naming them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording, unsealed
from tests.unit.program.stack import configuration, run_program
from tests.unit.settings.conftest import package

RELEASES = {"teleport-access-graph": "access-graph-release", "teleport-cluster": f"teleport-{TELEPORT_CLUSTER}-release"}
VERSIONS = {"teleport-access-graph": "1.30.2", "teleport-cluster": "18.10.3"}


def run(tmp_path: Path, repository: str) -> Recording:
    charts: dict[str, Any] = {
        name: {"repository": repository, "name": name, "version": version} for name, version in VERSIONS.items()
    }
    config = configuration(tmp_path, entry={"chart": charts["teleport-cluster"], "adopt": True})
    config["accessGraph"]["chart"] = charts["teleport-access-graph"]
    return run_program(config, tmp_path)


@pytest.mark.slow
def test_a_chart_of_a_repository_is_looked_up_in_its_index(tmp_path: Path) -> None:
    stack = run(tmp_path, "https://charts.example.com")
    for name, release in RELEASES.items():
        assert stack[release].plain("chart") == name
        assert stack[release].plain("repositoryOpts") == {"repo": "https://charts.example.com"}
        assert stack[release].plain("version") == VERSIONS[name]


@pytest.mark.slow
@pytest.mark.parametrize("repository", ["oci://registry.example.com/charts", "oci://registry.example.com/charts/"])
def test_a_chart_of_a_registry_is_named_by_its_whole_url(repository: str, tmp_path: Path) -> None:
    """An OCI registry has no index. Given as a repository, it would leave Helm without a chart."""
    stack = run(tmp_path, repository)
    for name, release in RELEASES.items():
        assert stack[release].plain("chart") == f"oci://registry.example.com/charts/{name}"
        assert "repositoryOpts" not in stack[release].inputs
        assert stack[release].plain("version") == VERSIONS[name]
    give_back = unsealed(stack.outputs)["teleportCleanUp"][TELEPORT_CLUSTER][1]
    wanted = "helm upgrade teleport oci://registry.example.com/charts/teleport-cluster --version 18.10.3 --namespace"
    assert wanted in give_back


@pytest.mark.slow
def test_a_packaged_chart_is_a_file_and_has_its_version_in_it(tmp_path: Path) -> None:
    config = configuration(tmp_path, entry={"chart": {"path": "teleport-cluster.tgz"}})
    config["accessGraph"]["chart"] = {"path": "teleport-access-graph.tgz"}
    for name, version in VERSIONS.items():
        package(tmp_path / f"{name}.tgz", {f"{name}/Chart.yaml": f"name: {name}\nversion: {version}\n"})
    stack = run_program(config, tmp_path)
    for name, release in RELEASES.items():
        assert stack[release].plain("chart") == f"{name}.tgz"
        assert not {"repositoryOpts", "version"} & stack[release].inputs.keys()
