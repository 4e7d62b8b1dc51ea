"""Adopting a running release: the values come out complete, the secret ones in a file of their own, and no file of the
user's is lost."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.values_files import find_secret_values, load_values_files, merge_values, parse_values
from operations.adopt import AdoptError, _dump, read_adoption, snippet, split_values, write_adoption
from operations.cluster import Cluster
from operations.stack import ROOT
from tests.unit.operations.kubernetes_api import IDENTIFIER, KubernetesApi, put_release

VALUES: dict[str, Any] = {
    "clusterName": "teleport.example.com",
    "chartMode": "standalone",
    "enterprise": True,
    "extraVolumes": [{"name": "corp-ca", "configMap": {"name": "corp-ca"}}],
    "annotations": {"pod": {"team": "y", "since": "2026-01-01", "size": "1e3"}},
    "auth": {
        "extraEnv": [{"name": "LOG", "value": "x"}, {"name": "DB_PASSWORD", "value": "hunter2"}],
        "teleportConfig": {"teleport": {"storage": {"type": "dynamodb", "secret_key": "hunter3"}}},
    },
    "proxy": {},
    "persistence": None,
    "script": "first\nsecond\n",
}


def read(cluster: Cluster, **changes: Any) -> Any:
    asked = {"namespace": "teleport", "release": "teleport", "teleport": "teleport.example.com", **changes}
    return read_adoption(cluster, **asked)


def test_values_come_out_whole_and_secrets_apart(api: KubernetesApi, cluster: Cluster, tmp_path: Path) -> None:
    put_release(api, 3, "deployed", VALUES)
    adoption = read(cluster)
    plain, secret = write_adoption(adoption, tmp_path)
    assert secret is not None
    assert load_values_files([plain.name], tmp_path) == adoption.values
    own = json.loads(secret.read_text(encoding="utf-8"))["teleport.example.com"]
    assert merge_values(adoption.values, own) == VALUES
    assert adoption.secret_paths == ["auth.extraEnv[1].value", "auth.teleportConfig.teleport.storage.secret_key"]
    assert "hunter" not in plain.read_text(encoding="utf-8")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert sorted(tmp_path.glob("*teleport*")) == [secret, plain]
    text = snippet(adoption, plain, secret, tmp_path)
    assert "hunter" not in text
    assert f"pulumi config set --secret teleportSecretValues --stack STACK < {secret.name}" in text
    entry = parse_values(text.split("\n\n")[0])["teleport-access-graph:teleport"]["teleport.example.com"]
    assert entry["kubernetes"] == {"context": "test", "clusterIdentifier": IDENTIFIER}
    assert entry["chart"]["version"] == "18.10.3"
    assert entry["valuesFiles"] == ["teleport.example.com.yaml"]
    there = tmp_path / "environments" / "staging" / plain.name
    text = snippet(adoption, there, there.with_name(secret.name), tmp_path)
    assert f"--stack staging < environments/staging/{secret.name}" in text
    assert "# --stack staging` has of others." in text
    beside = tmp_path / "values" / "staging" / plain.name
    assert "--stack STACK < values/staging/" in snippet(adoption, beside, beside.with_name(secret.name), tmp_path)
    spaced = tmp_path / "of the west" / plain.name
    text = snippet(adoption, spaced, spaced.with_name(secret.name), tmp_path)
    assert f"--stack STACK < 'of the west/{secret.name}'" in text


def test_a_directory_of_which_no_path_could_be_configured_is_said(
    api: KubernetesApi, cluster: Cluster, tmp_path: Path
) -> None:
    put_release(api, 1, "deployed", VALUES)
    adoption = read(cluster)
    here, elsewhere = tmp_path / "program", tmp_path / "elsewhere"
    inside = snippet(adoption, here / "environments" / "prod" / "x.yaml", None, here)
    assert "valuesFiles:\n    - environments/prod/x.yaml\n" in inside
    assert "is outside" not in inside
    said = f"# {elsewhere} is outside {here}, where no path of a configuration may begin: write the files there,"
    assert said in snippet(adoption, elsewhere / "x.yaml", None, here)


def test_writing_again_changes_nothing_and_another_file_is_not_overwritten(
    api: KubernetesApi, cluster: Cluster, tmp_path: Path
) -> None:
    put_release(api, 1, "deployed", {"clusterName": "teleport.example.com", "enterprise": True})
    adoption = read(cluster)
    plain, secret = write_adoption(adoption, tmp_path)
    assert secret is None
    edited = "# a comment of mine\n" + plain.read_text(encoding="utf-8")
    plain.write_text(edited, encoding="utf-8")
    write_adoption(adoption, tmp_path)
    assert plain.read_text(encoding="utf-8") == edited
    plain.write_text("clusterName: other\n", encoding="utf-8")
    with pytest.raises(AdoptError, match="says something else than the release"):
        write_adoption(adoption, tmp_path)
    assert plain.read_text(encoding="utf-8") == "clusterName: other\n"
    write_adoption(adoption, tmp_path, force=True)
    assert parse_values(plain.read_text(encoding="utf-8")) == adoption.values


def test_an_access_graph_of_before_is_told_and_left_out_when_asked(
    api: KubernetesApi, cluster: Cluster, tmp_path: Path
) -> None:
    bare = {"clusterName": "teleport.example.com", "enterprise": True}
    by_hand = {
        **bare,
        "auth": {
            "teleportConfig": {
                "access_graph": {"enabled": True, "endpoint": "graph:443", "ca": "/var/run/access-graph/ca.pem"}
            },
            "extraVolumes": [{"name": "tag-ca", "configMap": {"name": "teleport-access-graph-ca"}}],
            "extraVolumeMounts": [{"name": "tag-ca", "mountPath": "/var/run/access-graph"}],
        },
    }
    put_release(api, 1, "deployed", by_hand)
    kept = read(cluster)
    assert kept.values == by_hand
    assert "--without-access-graph" in snippet(kept, tmp_path / "x", None, tmp_path)
    assert read(cluster, without_access_graph=True).values == bare


def test_an_access_graph_at_the_root_is_found_behind_an_empty_one_of_auth(api: KubernetesApi, cluster: Cluster) -> None:
    empty, section = {"teleportConfig": {"access_graph": {}}}, {"enabled": True, "endpoint": "graph:443"}
    bare = {"clusterName": "teleport.example.com"}
    put_release(api, 1, "deployed", {**bare, "auth": empty, "teleportConfig": {"access_graph": section}})
    assert read(cluster).has_access_graph
    assert not read(cluster, without_access_graph=True).has_access_graph


# Teleport accepts these as an address, and then fails to dial them.
@pytest.mark.parametrize(
    "endpoint", ["graph:443", "graph", "https://graph:443", "graph:99999", 443, None, {"host": "x"}]
)
def test_a_connection_that_verified_nothing_is_left_out_whole(
    endpoint: Any, api: KubernetesApi, cluster: Cluster, tmp_path: Path
) -> None:
    bare = {"clusterName": "teleport.example.com", "enterprise": True}
    section = {"enabled": True, "endpoint": endpoint, "ca": "/elsewhere/ca.pem", "insecure": True}
    put_release(api, 1, "deployed", {**bare, "auth": {"teleportConfig": {"access_graph": section}}})
    left = read(cluster, without_access_graph=True)
    assert "access_graph" not in json.dumps(left.values)
    assert not left.has_access_graph


def test_secrets_that_are_written_again_are_closed_to_others_again(
    api: KubernetesApi, cluster: Cluster, tmp_path: Path
) -> None:
    put_release(api, 1, "deployed", VALUES)
    _, secret = write_adoption(read(cluster), tmp_path)
    assert secret is not None
    secret.chmod(0o644)
    write_adoption(read(cluster), tmp_path)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600


def test_what_cannot_be_adopted_is_refused(api: KubernetesApi, cluster: Cluster) -> None:
    with pytest.raises(AdoptError, match="no deployed release teleport in teleport"):
        read(cluster)
    put_release(api, 1, "deployed", {"clusterName": "other"})
    with pytest.raises(AdoptError, match=r"its clusterName is 'other', not 'teleport.example.com'"):
        read(cluster)
    put_release(api, 2, "deployed", VALUES, chart="teleport-kube-agent")
    with pytest.raises(AdoptError, match="teleport: is a release of the chart teleport-kube-agent, not of teleport-cl"):
        read(cluster)


@pytest.mark.parametrize(
    "values",
    [
        {"clusterName": "web.example.com", "auth": {"teleportConfig": {"auth_service": {"cluster_name": "t"}}}},
        {"chartMode": "scratch", "teleportConfig": {"auth_service": {"cluster_name": "t"}}},
        {"chartMode": "scratch"},
    ],
    ids=["of auth's own", "of auth's own alone", "of no value"],
)
def test_a_cluster_is_called_what_auth_is_told(api: KubernetesApi, cluster: Cluster, values: dict[str, Any]) -> None:
    put_release(api, 1, "deployed", values)
    assert read(cluster, teleport="t").values == values
    if "teleportConfig" in json.dumps(values):
        with pytest.raises(AdoptError, match=r"its auth.teleportConfig.auth_service.cluster_name is 't', not 'u'"):
            read(cluster, teleport="u")


def test_values_that_two_files_do_not_carry_are_refused(
    api: KubernetesApi, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the division into two files loses: Teleport must not be upgraded to fewer values than it had."""
    put_release(api, 1, "deployed", VALUES)
    monkeypatch.setattr("operations.adopt.split_values", lambda values, _: (dict(list(values.items())[1:]), {}))
    with pytest.raises(AdoptError, match="its values cannot be divided into plain and secret ones"):
        read(cluster)


def test_nobody_else_can_read_the_secrets_while_they_are_written(
    api: KubernetesApi, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_release(api, 1, "deployed", VALUES)
    modes: list[int] = []
    opened = os.fdopen

    def noted(descriptor: int, *arguments: Any, **more: Any) -> Any:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        return opened(descriptor, *arguments, **more)

    monkeypatch.setattr("operations.whole_file.os.fdopen", noted)
    umask = os.umask(0)
    try:
        write_adoption(read(cluster), tmp_path)
    finally:
        os.umask(umask)
    assert modes == [0o644, 0o600], "the plain values, then the secret ones"


texts = st.sampled_from(["y", "no", "1e3", "0x10", "~", "", " a", "a: b", "- a", "#", "2026-01-01", "a\nb", "é", "1_0"])
values = st.dictionaries(
    texts.filter(bool) | st.sampled_from(["password", "token", "a.b/c"]),
    st.recursive(
        texts | st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from([0.5, 1e6]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(texts.filter(bool) | st.sampled_from(["apiKey", "env"]), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(values)
def test_any_values_survive_the_division_and_the_file(generated: dict[str, Any]) -> None:
    plain, secret = split_values(generated, find_secret_values(generated))
    assert find_secret_values(plain) == []
    assert merge_values(plain, secret) == generated
    assert parse_values(_dump(generated)) == generated


def test_git_ignores_the_file_with_secrets() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "*.secret.json" in ignored
