"""The patch in the published teleport-cluster chart, with every values file that the chart's authors test with.

This version of the chart is older than those that the program supports (`tests.published`). It renders auth's values in
the same way, with one exception: the Job that checks the configuration has only the root's volumes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.teleport_values import cluster_name, effective_auth_values, patch_values, unpatch_values
from components.values_files import load_values_files
from tests.charts.conftest import Objects, Render
from tests.charts.test_patch_layouts import NULLS, PATCH, shown
from tests.published import TELEPORT_CHARTS, fetched
from tests.unit.shipped_environments import REPOSITORY, as_shipped

pytestmark = pytest.mark.charts

AUTH = {("ConfigMap", "teleport-auth"), ("ConfigMap", "teleport-auth-test"), ("Deployment", "teleport-auth")}


@pytest.fixture(scope="module")
def chart() -> Path:
    return fetched(TELEPORT_CHARTS) / "teleport-cluster"


def rendered(render: Render, chart: Path, values: dict[str, Any]) -> Objects:
    return render(chart, values, release="teleport", namespace="teleport")


def test_whatever_the_values_auth_gets_the_patch_and_nobody_else_does(render: Render, chart: Path) -> None:
    files = sorted((chart / ".lint").glob("*.yaml"))
    assert len(files) == 65
    for file in files:
        own = yaml.safe_load(file.read_text())
        patched = patch_values(own, PATCH)
        before, after = rendered(render, chart, own), rendered(render, chart, patched)
        assert {key for key in before | after if before.get(key) != after.get(key)} == AUTH, file.name
        config = yaml.safe_load(after["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
        was = yaml.safe_load(before["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
        assert config == {**was, "access_graph": PATCH.configuration()}, file.name
        (container,) = [
            one
            for one in after["Deployment", "teleport-auth"]["spec"]["template"]["spec"]["containers"]
            if one["name"] == "teleport"
        ]
        paths = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert paths.count("/var/run/access-graph") == 1, file.name
        assert len(set(paths)) == len(paths), file.name
        assert unpatch_values(patched, PATCH) == own, file.name


@pytest.mark.parametrize("name", NULLS)
def test_a_null_under_auth_hides_the_roots_here_too(render: Render, chart: Path, name: str) -> None:
    root, auth, shows = NULLS[name]
    own = {"clusterName": "teleport.example.com", **root, "auth": auth}
    assert shown(name, rendered(render, chart, own)) is shows
    ((key, value),) = root.items()
    assert (effective_auth_values(own).get(key) == value) is shows


def test_who_writes_the_whole_configuration_names_the_cluster_there(render: Render, chart: Path) -> None:
    """`scratch` is the only mode in which the chart requires no `clusterName`."""
    own = {"chartMode": "scratch", "auth": {"teleportConfig": {"auth_service": {"cluster_name": "t"}}}}
    objects = rendered(render, chart, own)
    assert cluster_name(own)[1] == "t"
    config = yaml.safe_load(objects["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
    assert config["auth_service"] == {"enabled": True, "cluster_name": "t"}


@as_shipped
@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_a_sample_asks_for_as_many_auths_as_its_storage_serves(render: Render, chart: Path, environment: str) -> None:
    """By itself, auth stores everything on a volume of its own. The chart renders several of them without a word, and
    documents that they end in errors and inconsistent data."""
    values = load_values_files([f"environments/{environment}/teleport.yaml"], REPOSITORY)
    objects = rendered(render, chart, values)
    config = yaml.safe_load(objects["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
    assert "storage" not in config["teleport"]
    assert objects["Deployment", "teleport-auth"]["spec"]["replicas"] == 1
    assert objects["Deployment", "teleport-proxy"]["spec"]["replicas"] == 2
