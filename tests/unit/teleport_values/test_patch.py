"""The values patch by example: the guide's form, the form without a CA, the refusals, and the names of the
Deployments."""

from __future__ import annotations

from typing import Any

import pytest

from components.teleport_values import (
    AccessGraphPatch,
    AuditLog,
    ValuesConflict,
    auth_deployment_name,
    mount_entry,
    patch_values,
    proxy_deployment_name,
    unpatch_values,
    volume_entry,
)

ENDPOINT = "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"
BUNDLE = AccessGraphPatch(endpoint=ENDPOINT, ca_checksum="0123")
SYSTEM = AccessGraphPatch(endpoint=ENDPOINT, ca_checksum=None)
# The volumes and mounts that the chart's own auth Deployment uses (teleport-cluster 18,
# templates/auth/deployment.yaml).
CHART_VOLUMES = {"auth-serviceaccount-token", "config", "data", "gcp-credentials", "license", "teleport-tls-ca"}
CHART_MOUNTS = {
    "/etc/teleport",
    "/etc/teleport-secrets",
    "/etc/teleport-tls-ca",
    "/var/lib/license",
    "/var/lib/teleport",
    "/var/run/secrets/kubernetes.io/serviceaccount",
}
USERS = {
    "clusterName": "teleport.example.com",
    "extraVolumes": [{"name": "corp-ca", "configMap": {"name": "corp-ca"}}],
    "extraVolumeMounts": [{"name": "corp-ca", "mountPath": "/etc/corp"}],
    "annotations": {"pod": {"team": "infra"}},
}


def test_users_root_lists_are_repeated_under_auth_with_ours_after_them() -> None:
    assert patch_values(USERS, BUNDLE) == {
        **USERS,
        "auth": {
            "teleportConfig": {
                "access_graph": {"enabled": True, "endpoint": ENDPOINT, "ca": "/var/run/access-graph/ca.pem"}
            },
            "extraVolumes": [
                {"name": "corp-ca", "configMap": {"name": "corp-ca"}},
                {"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca"}},
            ],
            "extraVolumeMounts": [
                {"name": "corp-ca", "mountPath": "/etc/corp"},
                {"name": "tag-ca", "mountPath": "/var/run/access-graph", "readOnly": True},
            ],
            "annotations": {"pod": {"checksum/access-graph-ca": "0123"}},
        },
    }


def test_without_a_ca_only_the_configuration_is_added() -> None:
    assert patch_values(USERS, SYSTEM) == {
        **USERS,
        "auth": {"teleportConfig": {"access_graph": {"enabled": True, "endpoint": ENDPOINT}}},
    }


def test_audit_log_is_passed_on() -> None:
    patch = AccessGraphPatch(
        endpoint=ENDPOINT,
        ca_checksum=None,
        audit_log=AuditLog(enabled=True, start_date="2026-01-01T00:00:00Z"),
    )
    section = patch_values({}, patch)["auth"]["teleportConfig"]["access_graph"]
    assert section["audit_log"] == {"enabled": True, "start_date": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize("level", ["root", "auth"])
def test_what_the_guide_told_the_user_to_write_is_recognised_as_ours(level: str) -> None:
    by_hand: dict[str, Any] = {
        "extraVolumes": [{"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca"}}],
        "extraVolumeMounts": [{"name": "tag-ca", "mountPath": "/var/run/access-graph"}],
    }
    values = by_hand if level == "root" else {"auth": by_hand}
    patched = patch_values(values, BUNDLE)
    holder = patched if level == "root" else patched["auth"]
    assert holder["extraVolumes"] == by_hand["extraVolumes"]
    assert holder["extraVolumeMounts"] == by_hand["extraVolumeMounts"]
    if level == "root":
        assert set(patched["auth"]) == {"teleportConfig", "annotations"}
    assert unpatch_values(patched, BUNDLE) in ({"extraVolumes": [], "extraVolumeMounts": []}, {})


def test_our_volume_mounted_elsewhere_is_mounted_at_our_path_too() -> None:
    elsewhere = {"name": "tag-ca", "mountPath": "/etc/graph"}
    mounts = patch_values({"extraVolumeMounts": [elsewhere]}, BUNDLE)["auth"]["extraVolumeMounts"]
    assert [mount["mountPath"] for mount in mounts] == ["/etc/graph", "/var/run/access-graph"]


def test_a_volume_of_another_name_is_the_users_whatever_is_in_it() -> None:
    own: dict[str, Any] = {
        "extraVolumes": [{"name": "graph", "configMap": {"name": "teleport-access-graph-ca"}}],
        "extraVolumeMounts": [{"name": "graph", "mountPath": "/etc/graph"}],
    }
    patched = patch_values(own, BUNDLE)
    assert [volume["name"] for volume in patched["auth"]["extraVolumes"]] == ["graph", "tag-ca"]
    assert unpatch_values(patched, BUNDLE) == own


def test_same_configmap_with_the_file_named_is_ours_and_another_file_is_not() -> None:
    def values(path: str) -> dict[str, Any]:
        source = {"name": "teleport-access-graph-ca", "items": [{"key": "ca.pem", "path": path}]}
        return {"auth": {"extraVolumes": [{"name": "tag-ca", "configMap": source}]}}

    assert patch_values(values("ca.pem"), BUNDLE)["auth"]["extraVolumes"] == values("ca.pem")["auth"]["extraVolumes"]
    with pytest.raises(ValuesConflict, match="two volumes cannot be called 'tag-ca'"):
        patch_values(values("root.pem"), BUNDLE)


@pytest.mark.parametrize(
    "source",
    [
        {"configMap": {"name": "corp-ca"}},
        {"secret": {"secretName": "teleport-access-graph-ca"}},
        {"configMap": {"name": "teleport-access-graph-ca"}, "emptyDir": {}},
    ],
)
def test_a_volume_of_our_name_from_elsewhere_is_in_the_way(source: dict[str, Any]) -> None:
    with pytest.raises(ValuesConflict, match="two volumes cannot be called 'tag-ca'"):
        patch_values({"extraVolumes": [{"name": "tag-ca", **source}]}, BUNDLE)


@pytest.mark.parametrize(
    "values",
    [
        {"extraVolumes": [{"name": "tag-ca", "csi": {"driver": "x", "volumeAttributes": {"password": "canary"}}}]},
        {"extraVolumes": [{"name": "tag-ca", "csi": {"volumeAttributes": {"at": "https://user:canary@example.com"}}}]},
        {"extraVolumeMounts": [{"name": "x", "mountPath": "/var/run/access-graph", "token": "canary"}]},
    ],
)
def test_a_clash_does_not_show_what_may_be_a_secret(values: dict[str, Any]) -> None:
    with pytest.raises(
        ValuesConflict, match=r"the values have an entry '(tag-ca|x)' that is not shown, the patch"
    ) as clash:
        patch_values({"auth": values}, BUNDLE)
    assert "canary" not in str(clash.value)


def test_an_empty_list_under_auth_replaces_the_roots_as_in_the_chart() -> None:
    patched = patch_values({**USERS, "auth": {"extraVolumes": []}}, BUNDLE)
    assert [volume["name"] for volume in patched["auth"]["extraVolumes"]] == ["tag-ca"]
    assert [mount["name"] for mount in patched["auth"]["extraVolumeMounts"]] == ["corp-ca", "tag-ca"]


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ({"annotations": None}, r"auth\.annotations: is null, .* bring it back \(deployment, pod\)"),
        ({"annotations": {"pod": None}}, r"auth\.annotations\.pod: is null, .* bring it back \(team\)"),
        (
            {"teleportConfig": {"access_graph": None}},
            r"auth\.teleportConfig\.access_graph: is null, .* bring it back \(insecure\); move the root's "
            r"teleportConfig\.access_graph to proxy\.teleportConfig\.access_graph, and remove the null",
        ),
    ],
)
def test_what_a_null_under_auth_hides_is_not_brought_back_unseen(auth: dict[str, Any], message: str) -> None:
    values = {
        "annotations": {"pod": {"team": "infra"}, "deployment": {}},
        "teleportConfig": {"access_graph": {"insecure": False, "enabled": True}},
        "auth": auth,
    }
    with pytest.raises(ValuesConflict, match=message) as caught:
        patch_values(values, BUNDLE)
    assert len(caught.value.conflicts) == 1


def test_a_null_does_not_hide_the_audit_logs_further_keys_unseen() -> None:
    patch = AccessGraphPatch(endpoint=ENDPOINT, ca_checksum=None, audit_log=AuditLog(enabled=True))
    values = {
        "teleportConfig": {"access_graph": {"audit_log": {"enabled": True, "start_date": "2026-01-01T00:00:00Z"}}},
        "auth": {"teleportConfig": {"access_graph": {"audit_log": None}}},
    }
    with pytest.raises(ValuesConflict, match=r"access_graph\.audit_log: is null, .* bring it back \(start_date\)"):
        patch_values(values, patch)


def test_a_one_is_no_true() -> None:
    """Teleport distinguishes types in this section, so the comparison of the user's values with the patch does too."""
    with pytest.raises(ValuesConflict, match=r"access_graph\.enabled: the values say 1, the patch True"):
        patch_values({"auth": {"teleportConfig": {"access_graph": {"enabled": 1}}}}, BUNDLE)


def test_a_null_that_hides_nothing_of_the_users_is_none() -> None:
    nothing = {"annotations": {"pod": None}, "teleportConfig": {"access_graph": None}}
    bare = {"annotations": {"pod": {}}, "teleportConfig": {"access_graph": {"enabled": True}}}
    assert patch_values({**bare, "auth": nothing}, BUNDLE) == {**bare, **patch_values({}, BUNDLE)}


def test_a_null_in_place_of_auths_configuration_hides_nothing_of_the_roots() -> None:
    values = {"teleportConfig": {"access_graph": {"insecure": True}}, "auth": {"teleportConfig": None}}
    with pytest.raises(ValuesConflict, match=r"access_graph\.insecure: the values say True"):
        patch_values(values, BUNDLE)


def test_every_contradiction_is_told_at_once() -> None:
    values = {
        "auth": {
            "teleportConfig": {"access_graph": {"enabled": False, "endpoint": "x:1", "insecure": True, "ca": "/x"}},
            "extraVolumes": [{"name": "tag-ca", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "x", "mountPath": "/var/run/access-graph"}],
        }
    }
    with pytest.raises(ValuesConflict) as caught:
        patch_values(values, BUNDLE)
    assert len(caught.value.conflicts) == 6


def test_a_ca_in_the_values_is_refused_when_teleports_own_trust_store_is_to_serve() -> None:
    values = {"auth": {"teleportConfig": {"access_graph": {"ca": "/etc/corp/ca.pem"}}}}
    with pytest.raises(
        ValuesConflict, match=r"access_graph\.ca: the values say '/etc/corp/ca.pem', the patch sets none"
    ):
        patch_values(values, SYSTEM)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"auth": "x"}, "auth: is text, and the chart needs a map there; write its keys below it"),
        ({"auth": {"teleportConfig": "tokens:\n- node:x\n"}}, "auth.teleportConfig: is text, .* remove the `|`"),
        ({"auth": {"teleportConfig": {"access_graph": [1]}}}, r"auth.teleportConfig.access_graph: is a list"),
        ({"extraVolumes": {"name": "x"}}, "auth.extraVolumes: is "),
        ({"auth": {"annotations": {"pod": "x"}}}, "auth.annotations.pod: is text"),
        ({"annotations": ["x"]}, "auth.annotations: is "),
    ],
)
def test_a_wrong_shape_is_refused_by_its_path(values: dict[str, Any], where: str) -> None:
    with pytest.raises(ValuesConflict, match=where) as caught:
        patch_values(values, BUNDLE)
    assert "node:x" not in str(caught.value)


def test_an_empty_auth_is_none() -> None:
    assert patch_values({"auth": None}, BUNDLE) == patch_values({}, BUNDLE)


@pytest.mark.parametrize("endpoint", ["no-port", "host:0", "https://host:443"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        AccessGraphPatch(endpoint=endpoint, ca_checksum="0123")


def test_the_chart_has_neither_our_volume_nor_anything_where_it_is_mounted() -> None:
    mount = mount_entry()
    assert volume_entry()["name"] == mount["name"]
    assert mount["name"] not in CHART_VOLUMES
    assert not [path for path in CHART_MOUNTS if f"{path}/".startswith(f"{mount['mountPath']}/")]


def test_deployments_are_named_after_the_release() -> None:
    assert auth_deployment_name("prod") == "prod-auth"
    assert proxy_deployment_name("prod") == "prod-proxy"
