"""The patch through Helm itself: both layouts of a user's values, every `chartMode`, one and several auth replicas."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from components.teleport_values import (
    AccessGraphPatch,
    effective_auth_values,
    own_values,
    patch_values,
    unpatch_values,
)
from tests.charts.conftest import Objects, Render, RenderFailed

pytestmark = pytest.mark.charts

PATCH = AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum="0123")
MODES = ("standalone", "aws", "gcp", "azure", "scratch")
OWN: dict[str, Any] = {
    "extraVolumes": [{"name": "corp-ca", "configMap": {"name": "corp-ca"}}],
    "extraVolumeMounts": [{"name": "corp-ca", "mountPath": "/etc/corp"}],
    "annotations": {"pod": {"team": "infra"}},
}
# The two places where users write auth's values: at the root, from which proxies get them too, or under `auth`.
LAYOUTS = {"root": OWN, "auth": {"auth": OWN}}


def values(layout: str, mode: str, replicas: int) -> dict[str, Any]:
    return {
        "clusterName": "teleport.example.com",
        "chartMode": mode,
        "enterprise": True,
        "service": {"type": "ClusterIP"},
        "highAvailability": {"replicaCount": replicas},
        **copy.deepcopy(LAYOUTS[layout]),
    }


def rendered(render: Render, of: dict[str, Any]) -> Objects:
    return render("teleport-cluster", of, release="teleport", namespace="teleport")


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_auth_gets_the_patch_beside_what_is_the_users_and_nobody_else_does(
    render: Render, layout: str, mode: str, replicas: int
) -> None:
    own = values(layout, mode, replicas)
    before, after = rendered(render, own), rendered(render, patch_values(own, PATCH))
    assert {key for key in before | after if before.get(key) != after.get(key)} == {
        ("ConfigMap", "teleport-auth"),
        ("ConfigMap", "teleport-auth-test"),
        ("Deployment", "teleport-auth"),
        ("Job", "teleport-auth-test"),
    }
    deployment = after["Deployment", "teleport-auth"]
    assert deployment["spec"]["replicas"] == replicas
    template = deployment["spec"]["template"]
    (container,) = template["spec"]["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert (mounts["/etc/corp"], mounts["/var/run/access-graph"]) == ("corp-ca", "tag-ca")
    assert len(mounts) == len(container["volumeMounts"]), "no path is mounted twice"
    names = [volume["name"] for volume in template["spec"]["volumes"]]
    assert names.count("tag-ca") == names.count("corp-ca") == 1
    assert template["metadata"]["annotations"]["team"] == "infra"
    assert template["metadata"]["annotations"]["checksum/access-graph-ca"] == "0123"
    config = yaml.safe_load(after["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
    was = yaml.safe_load(before["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
    assert config.pop("access_graph") == PATCH.configuration()
    assert config == was


@pytest.mark.parametrize("layout", LAYOUTS)
def test_taken_out_again_every_object_is_as_before(render: Render, layout: str) -> None:
    own = values(layout, "aws", 2)
    assert rendered(render, unpatch_values(patch_values(own, PATCH), PATCH)) == rendered(render, own)


def test_both_layouts_give_auth_the_same(render: Render) -> None:
    by_root, by_auth = (rendered(render, patch_values(values(layout, "aws", 2), PATCH)) for layout in LAYOUTS)
    for key in (("Deployment", "teleport-auth"), ("ConfigMap", "teleport-auth"), ("Job", "teleport-auth-test")):
        assert by_root[key] == by_auth[key]


EMPTY: dict[str, dict[str, Any] | None] = {
    "auth": None,
    "the configuration": {"teleportConfig": None, "extraArgs": ["--debug"]},
    "the annotations": {"annotations": None, "extraArgs": ["--debug"]},
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_key_of_auths_with_nothing_after_it_is_no_obstacle_on_the_way_back(render: Render, name: str) -> None:
    """Helm cannot render such a key, but renders the patch in its place. If unpatching put the key back, nobody could
    take the patch away."""
    own = {**values("auth", "aws", 2), "auth": EMPTY[name]}
    with pytest.raises(RenderFailed):
        rendered(render, own)
    patched = patch_values(own, PATCH)
    assert ("Deployment", "teleport-auth") in rendered(render, patched)
    said = {key: value for key, value in (EMPTY[name] or {}).items() if value is not None}
    before = rendered(render, {**own, "auth": said})
    assert rendered(render, own_values(own)) == rendered(render, unpatch_values(patched, PATCH)) == before


NULLS: dict[str, tuple[dict[str, Any], dict[str, Any], bool]] = {
    "the configuration": ({"teleportConfig": {"root": {"key": 1}}}, {"teleportConfig": None}, True),
    "its section": (
        {"teleportConfig": {"access_graph": {"key": 1}}},
        {"teleportConfig": {"access_graph": None}},
        False,
    ),
    "the volumes": ({"extraVolumes": [{"name": "other", "emptyDir": {}}]}, {"extraVolumes": None}, False),
    "the annotations": ({"annotations": {"pod": {"other": "1"}}}, {"annotations": {"pod": None}}, False),
}


def shown(name: str, objects: Objects) -> bool:
    """Whether auth got the root's value of the case `name` of `NULLS`."""
    template = objects["Deployment", "teleport-auth"]["spec"]["template"]
    config = yaml.safe_load(objects["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"])
    return {
        "the configuration": config.get("root") == {"key": 1},
        "its section": config.get("access_graph") is not None,
        "the volumes": "other" in [volume["name"] for volume in template["spec"]["volumes"]],
        "the annotations": "other" in template["metadata"]["annotations"],
    }[name]


@pytest.mark.parametrize("name", NULLS)
def test_a_null_under_auth_hides_the_roots_as_the_patch_takes_it(render: Render, name: str) -> None:
    root, auth, shows = NULLS[name]
    own = {"clusterName": "teleport.example.com", **root, "auth": auth}
    assert shown(name, rendered(render, own)) is shows
    ((key, value),) = root.items()
    found = effective_auth_values(own).get(key)
    assert (found == value) is shows
