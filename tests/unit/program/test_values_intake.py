"""How the program reads values files: all problems are reported at once, each with its key."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intake import IntakeError, read_intake
from components.settings import load_settings
from tests.samples import TELEPORT_CLUSTER
from tests.unit.program import stack

pytestmark = [pytest.mark.unit, pytest.mark.slow]

KEY = "teleport.teleport.example.com.valuesFiles"


def problems_of(directory: Path, files: dict[str, str], **entry: object) -> list[str]:
    """The problems reported when these files are the cluster's values."""
    config = stack.configuration(directory, entry={"valuesFiles": list(files), **entry})
    for name, text in files.items():
        (directory / name).write_text(text)
    try:
        stack.run_program(config, directory)
    except IntakeError as error:
        return list(error.problems)
    return []


def test_each_file_that_cannot_be_read_is_a_problem_with_its_key(tmp_path: Path) -> None:
    found = problems_of(tmp_path, {"one.yaml": "- a", "two.yaml": "a: b: c"})
    assert [problem.partition(".yaml: ")[0] for problem in found] == [f"{KEY}: one", f"{KEY}: two"]


def test_values_of_another_cluster_are_refused(tmp_path: Path) -> None:
    """Helm would rename the running cluster."""
    (problem,) = problems_of(tmp_path, {"values.yaml": "clusterName: other.example.com"})
    assert problem.startswith(f"{KEY}: clusterName is not teleport.example.com, the name of this entry; ")


def named(cluster: str, **values: Any) -> dict[str, str]:
    """A file in which auth's own configuration names the cluster; that name takes precedence over `clusterName`."""
    auth = {"teleportConfig": {"auth_service": {"cluster_name": cluster}}}
    return {"values.yaml": yaml.safe_dump({**values, "auth": auth})}


@pytest.mark.parametrize("web_address", [{}, {"clusterName": "teleport.web.example.com"}])
def test_the_clusters_name_is_what_auth_is_told(web_address: dict[str, str], tmp_path: Path) -> None:
    assert problems_of(tmp_path, named(TELEPORT_CLUSTER, **web_address)) == []
    (problem,) = problems_of(tmp_path, named("other", **web_address))
    assert problem.startswith(
        f"{KEY}: auth.teleportConfig.auth_service.cluster_name is not {TELEPORT_CLUSTER}, the name of this entry; "
    )


def test_values_that_the_patch_contradicts_are_told_beside_host_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    """Both kinds of problem are reported together and before anything is made, not one in this `up` and the other in
    the next."""
    values = {**stack.OWN_VALUES, "auth": {"teleportConfig": {"access_graph": {"endpoint": "another:443"}}}}
    foreign = {"mode": "inline", "certificates": [stack.host_authority("other.example.com")]}
    of_authorities, of_values = problems_of(tmp_path, {"values.yaml": yaml.safe_dump(values)}, hostAuthorities=foreign)
    assert of_authorities.startswith(f"teleport.{TELEPORT_CLUSTER}.hostAuthorities")
    assert of_values.startswith(f"{KEY}: auth.teleportConfig.access_graph.endpoint")


@pytest.mark.parametrize("values", ["", "proxy: {validateConfigOnDeploy: true}\nvalidateConfigOnDeploy: false"])
def test_a_release_whose_name_leaves_the_charts_job_none_is_refused(values: str, tmp_path: Path) -> None:
    files = {"values.yaml": f"clusterName: {TELEPORT_CLUSTER}\n{values}"}
    (problem,) = problems_of(tmp_path, files, release="r" * 53)
    assert problem.startswith(f"teleport.{TELEPORT_CLUSTER}.release: has 53 characters, and the chart's Job ")
    assert "leaves room for 52; give a shorter name" in problem
    assert problems_of(tmp_path, files, release="r" * 52) == []


@pytest.mark.parametrize("values", ["validateConfigOnDeploy: false", "proxy: {validateConfigOnDeploy: false}"])
def test_a_release_without_that_job_may_have_the_longest_name(values: str, tmp_path: Path) -> None:
    files = {"values.yaml": f"clusterName: {TELEPORT_CLUSTER}\n{values}"}
    assert problems_of(tmp_path, files, release="r" * 53) == []


def test_the_path_that_an_error_names_is_one_that_may_be_allowed(tmp_path: Path) -> None:
    files = {"values.yaml": 'auth: {annotations: {"example.com/api token": x}}'}
    (problem,) = problems_of(tmp_path, files)
    path = problem.removeprefix(f"{KEY}: ").partition(" looks like a secret")[0]
    assert path == 'auth.annotations["example.com/api token"]'
    assert problems_of(tmp_path, files, allowSecretPaths=[path]) == []


@pytest.mark.parametrize(
    ("trust", "store", "warned"),
    [("bundle", {}, False), ("system", {}, True), ("system", {"existingCASecretName": "trusted"}, False)],
)
def test_an_authority_of_the_stacks_own_that_no_store_is_said_to_have_is_warned_of(
    trust: str, store: dict[str, str], warned: bool, tmp_path: Path
) -> None:
    config = stack.configuration(tmp_path, tls={"mode": "generated", "trust": trust})
    values = {**stack.OWN_VALUES, "tls": {}, "auth": {"tls": store}}
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    settings = load_settings(config, (), root=tmp_path, stack="dev")
    found = read_intake(settings, datetime.now(timezone.utc)).warnings
    assert [text.partition(": ")[0] for text in found] == ([f"teleport.{TELEPORT_CLUSTER}"] if warned else [])


@pytest.mark.parametrize(
    ("values", "warned"), [({}, True), ({"chartMode": "scratch"}, False), ({"clusterName": TELEPORT_CLUSTER}, False)]
)
def test_a_release_that_the_chart_would_not_render_is_warned_of(
    values: dict[str, str], warned: bool, tmp_path: Path
) -> None:
    config = stack.configuration(tmp_path)
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    settings = load_settings(config, (), root=tmp_path, stack="dev")
    found = read_intake(settings, datetime.now(timezone.utc)).warnings
    assert [text.partition(": ")[0] for text in found] == ([KEY] if warned else [])


AUTH = "auth.teleportConfig"
GUIDE = {"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca"}}
OURS = {"enabled": True, "endpoint": "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"}


@pytest.mark.parametrize(
    ("own", "places"),
    [
        ({"teleportConfig": {"access_graph": OURS}, "extraVolumes": [GUIDE]}, [f"{AUTH}.access_graph", "extraVolumes"]),
        ({"auth": {"extraVolumes": [GUIDE]}}, ["auth.extraVolumes"]),
        ({"proxy": {"extraVolumes": [GUIDE]}}, ["proxy.extraVolumes"]),
        ({"auth": {"teleportConfig": {"access_graph": {**OURS, "enabled": False}}}}, []),
        ({"auth": {"teleportConfig": {"access_graph": {**OURS, "endpoint": "another:443"}}}}, []),
    ],
)
def test_what_the_values_themselves_connect_is_taken_out_before_the_switch_off(
    own: dict[str, Any], places: list[str], tmp_path: Path
) -> None:
    """Otherwise Teleport would keep mounting a ConfigMap that is being deleted, and hang at its next start."""
    config = stack.configuration(tmp_path)
    (tmp_path / "values.yaml").write_text(yaml.safe_dump({**stack.OWN_VALUES, **own}))
    now = datetime.now(timezone.utc)
    config["accessGraph"]["enabled"] = False
    off = load_settings(config, (), root=tmp_path, stack="dev")
    if not places:
        read_intake(off, now)
        return
    with pytest.raises(IntakeError) as refused:
        read_intake(off, now)
    assert [problem.partition(" connects ")[0] for problem in refused.value.problems] == [
        f"{KEY}: {place}" for place in places
    ]


def test_what_stands_there_empty_in_the_patchs_place_is_left_out_without_it(tmp_path: Path) -> None:
    """For such a null, Helm renders nothing; the patch had covered that up, so switching off would fail."""
    config = stack.configuration(tmp_path)
    config["accessGraph"]["enabled"] = False
    (tmp_path / "values.yaml").write_text(
        f"clusterName: {TELEPORT_CLUSTER}\nauth:\n  teleportConfig:\n  extraArgs: [-d]\n"
    )
    found = stack.run_program(config, tmp_path)[f"teleport-{TELEPORT_CLUSTER}-release"].plain("values")
    assert found == {"clusterName": TELEPORT_CLUSTER, "auth": {"extraArgs": ["-d"]}}
