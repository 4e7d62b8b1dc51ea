from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto import mock_aws

from components.proxy_export import ProxyFetchError
from operations import chart_repositories
from operations.cluster import Cluster
from tests.unit.operations.kubernetes_api import KubernetesApi, serving
from tests.unit.operations.recover_world import Programs

INDEX = b"""\
apiVersion: v1
entries:
  teleport-access-graph:
  - {name: teleport-access-graph, version: 1.30.2, created: 2026-01-31T00:00:00Z}
  - {name: teleport-access-graph, version: 1.29.7}
  teleport-cluster:
  - {name: teleport-cluster, version: 18.11.0-rc.1}
  - {name: teleport-cluster, version: 18.9.1}
  - {name: teleport-cluster, version: 18.10.3}
  - {name: teleport-cluster, version: v18.10.2}
  - {name: teleport-cluster, version: 17.7.0+build.1}
"""


@pytest.fixture(autouse=True)
def chart_indexes(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | Exception]:
    """The chart repositories' indexes, by URL. No test requests an index over the network."""
    indexes: dict[str, bytes | Exception] = {"https://charts.example.com": INDEX}

    def fetch(repository: str) -> bytes:
        found = indexes[repository]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(chart_repositories, "fetch_index", fetch)
    return indexes


@pytest.fixture(autouse=True)
def proxies(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each reachable proxy exports as its host CAs, by address. No test asks a proxy over the network."""
    exports: dict[str, str] = {}

    def fetch(address: str, ca_file: Path | None = None) -> str:
        if address not in exports:
            raise ProxyFetchError("cannot be reached")
        return exports[address]

    monkeypatch.setattr("operations.checks.presented.fetch_from_proxy", fetch)
    return exports


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each wait for auth's next call. The tests do not sleep, because nothing would change meanwhile."""
    seconds: list[float] = []
    monkeypatch.setattr("operations.checks.teleport.sleep", seconds.append)
    return seconds


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    """A Kubernetes API server; the context `test` of the kubeconfig points to it."""
    api = KubernetesApi()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    # The client library reads KUBECONFIG only once, at import.
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "kubeconfig"))
    with serving(api, tmp_path / "kubeconfig"):
        yield api


@pytest.fixture
def cluster(api: KubernetesApi) -> Cluster:
    return Cluster.connect("test")


@pytest.fixture
def aws_account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty account in moto; every AWS client connects to it."""
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


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}")
    return programs
