from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from operations.cluster import Cluster
from tests.unit.operations.kubernetes_api import KubernetesApi, serving


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A Kubernetes API that the kubeconfig's context `test` leads to."""
    api = KubernetesApi()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    # The client library reads the variable once, when it is imported.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    with serving(api, tmp_path / "kubeconfig"):
        yield api


@pytest.fixture
def cluster(api: KubernetesApi) -> Cluster:
    return Cluster.connect("test")


@pytest.fixture
def aws_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An account of moto's, empty, that every client leads to."""
    for name, value in (
        ("ACCESS_KEY_ID", "testing"),
        ("SECRET_ACCESS_KEY", "testing"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("PROFILE", "ENDPOINT_URL"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    with mock_aws():
        yield
