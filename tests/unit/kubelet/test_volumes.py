"""Volumes as directories: their content, how it changes, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import pytest

from sandbox.kubelet.volumes import MountFailed, VolumeSources, materialize, mount, references

pytestmark = pytest.mark.unit


def sources(objects, tokens=None) -> VolumeSources:
    async def request_token(wanted):
        (tokens if tokens is not None else []).append(wanted)
        return f"token for {wanted.audience}"

    return VolumeSources(
        lookup=lambda kind, name: objects.get((kind, name)),
        fields={"metadata.namespace": "teleport"},
        request_token=request_token,
        claim_directory=lambda claim: Path("/claims") / claim,
    )


def make(volume, directory, given):
    return asyncio.run(materialize({"name": "v", **volume}, directory, given))


def files(directory: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in directory.iterdir() if not p.name.startswith("..")}


def test_a_config_map_is_files_that_change_in_one_step(tmp_path):
    objects = {("ConfigMap", "c"): {"data": {"a": "1", "b": "2"}, "binaryData": {"raw": "AP8="}}}
    directory = make({"configMap": {"name": "c"}}, tmp_path / "v", sources(objects))
    assert (directory / "raw").read_bytes() == b"\x00\xff"
    assert (directory / "a").read_text() == "1"
    first = os.readlink(directory / "..data")
    make({"configMap": {"name": "c"}}, directory, sources(objects))
    assert os.readlink(directory / "..data") == first, "nothing changed, nothing is written"
    objects["ConfigMap", "c"] = {"data": {"a": "3"}}
    make({"configMap": {"name": "c"}}, directory, sources(objects))
    assert files(directory) == {"a": "3"}
    assert not (directory / first).exists()


def test_items_and_modes_of_a_secret(tmp_path):
    secret = {"data": {"tls.crt": base64.b64encode(b"C").decode(), "tls.key": base64.b64encode(b"K").decode()}}
    volume = {"secret": {"secretName": "s", "defaultMode": 0o440, "items": [
        {"key": "tls.key", "path": "deep/key", "mode": 0o400}, {"key": "tls.crt", "path": "crt"}]}}  # fmt: skip
    directory = make(volume, tmp_path / "v", sources({("Secret", "s"): secret}))
    assert (directory / "deep" / "key").read_text() == "K"
    assert (directory / "deep" / "key").stat().st_mode & 0o777 == 0o400
    assert (directory / "crt").stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ({"configMap": {"name": "no"}}, 'configmap "no" not found'),
        ({"secret": {"secretName": "no"}}, 'secret "no" not found'),
        ({"configMap": {"name": "c", "items": [{"key": "z", "path": "z"}]}}, "non-existent config key: z"),
        ({"hostPath": {"path": "/"}}, "hostPath is not supported"),
    ],
)
def test_what_cannot_be_mounted_is_named(tmp_path, volume, message):
    with pytest.raises(MountFailed, match=message):
        make(volume, tmp_path / "v", sources({("ConfigMap", "c"): {"data": {"a": "1"}}}))


def test_an_optional_source_that_is_missing_is_an_empty_volume(tmp_path):
    assert files(make({"configMap": {"name": "no", "optional": True}}, tmp_path / "v", sources({}))) == {}


def test_a_projected_volume_joins_its_sources(tmp_path):
    tokens = []
    given = sources({("ConfigMap", "kube-root-ca.crt"): {"data": {"ca.crt": "PEM"}}}, tokens)
    parts = [
        {"serviceAccountToken": {"path": "token", "audience": "sts.amazonaws.com", "expirationSeconds": 900}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    directory = make({"projected": {"sources": parts}}, tmp_path / "v", given)
    assert files(directory) == {"token": "token for sts.amazonaws.com", "ca.crt": "PEM", "namespace": "teleport"}
    assert (directory / "token").stat().st_mode & 0o777 == 0o600
    assert given.shortest_token == tokens[0].expiration_seconds == 900


def test_a_claim_is_its_own_directory(tmp_path):
    volume = {"persistentVolumeClaim": {"claimName": "data"}}
    assert make(volume, tmp_path / "v", sources({})) == Path("/claims/data")


def test_mounts_are_links_and_a_sub_path_is_a_copy(tmp_path):
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("1")
    root = tmp_path / "root"
    mounts = [
        {"name": "v", "mountPath": "/etc/all"},
        {"name": "v", "mountPath": "/etc/one", "subPath": "file"},
        {"name": "v", "mountPath": "/etc/made", "subPathExpr": "dir-$(X)"},
    ]
    mount(root, mounts, {"v": volume}, lambda text: text.replace("$(X)", "7"))
    (volume / "file").write_text("2")
    assert (root / "etc/all/file").read_text() == "2"
    assert (root / "etc/one").read_text() == "1"
    assert (volume / "dir-7").is_dir()
    mount(root, mounts, {"v": volume}, lambda text: text)
    assert (root / "etc/one").read_text() == "2", "a new start of the container copies anew"


@pytest.mark.parametrize("sub_path", ["../x", "/etc", "a/../../b"])
def test_a_sub_path_stays_in_its_volume(tmp_path, sub_path):
    with pytest.raises(MountFailed, match="leaves the volume"):
        mount(tmp_path / "r", [{"name": "v", "mountPath": "/m", "subPath": sub_path}], {"v": tmp_path}, str)


def test_references_are_what_a_pod_mounts():
    volumes = [
        {"name": "a", "configMap": {"name": "one"}},
        {"name": "b", "secret": {"secretName": "two"}},
        {"name": "c", "projected": {"sources": [{"secret": {"name": "three"}}, {"configMap": {"name": "four"}}]}},
        {"name": "d", "emptyDir": {}},
    ]
    assert references({"spec": {"volumes": volumes}}) == {
        ("ConfigMap", "one"),
        ("Secret", "two"),
        ("Secret", "three"),
        ("ConfigMap", "four"),
    }
