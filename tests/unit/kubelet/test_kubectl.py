"""kubectl in a container: it acts only as the pod's service account, and only on the API server that the pod is
given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.kubelet.images import ImageUnknown, find_image
from sandbox.workloads.kubectl import in_cluster

pytestmark = pytest.mark.unit

MOUNT = "var/run/secrets/kubernetes.io/serviceaccount"
HOST = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"}


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token's directory in a container whose file system starts at `tmp_path`."""
    monkeypatch.setenv("SANDBOX_ROOT", str(tmp_path))
    directory = tmp_path / MOUNT
    directory.mkdir(parents=True)
    (directory / "token").write_text("hidden")
    (directory / "ca.crt").write_text("-")
    (directory / "namespace").write_text("graph\n")
    return directory


def test_it_is_the_pods_own_account(mounted: Path) -> None:
    text = in_cluster(HOST)
    assert text is not None
    assert "hidden" not in text, "a token changes; its file is named, and read at each request"
    config = json.loads(text)
    assert config["clusters"][0]["cluster"] == {
        "server": "https://127.0.0.1:6443",
        "certificate-authority": str(mounted / "ca.crt"),
    }
    assert config["users"][0]["user"] == {"tokenFile": str(mounted / "token")}
    (context,) = config["contexts"]
    assert context["context"] == {"cluster": "pod", "user": "pod", "namespace": "graph"}
    assert config["current-context"] == context["name"]


def test_without_an_account_or_a_cluster_it_is_nobodys(mounted: Path) -> None:
    assert in_cluster({}) is None
    (mounted / "token").unlink()
    assert in_cluster(HOST) is None


@pytest.mark.parametrize("reference", ["docker.io/alpine/kubectl:1.34.2", "mirror.example:5000/kubectl@sha256:0"])
def test_its_image_has_a_shell_and_kubectl(reference: str) -> None:
    image = find_image(reference)
    assert image.shell
    assert [name for name, _ in image.commands] == ["kubectl"]
    with pytest.raises(ImageUnknown, match="kubectl"):
        find_image("docker.io/alpine/k8s:1.34.2")
