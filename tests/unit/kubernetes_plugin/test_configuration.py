"""The provider's configuration, the kubeconfig behind it, and the effect of changing either."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.plugins.kubernetes import configuration, kubeconfig, schema
from sandbox.plugins.kubernetes.cluster import connect
from sandbox.plugins.kubernetes.connection import path
from sandbox.plugins.kubernetes.kubeconfig import KubeconfigError
from sandbox.plugins.kubernetes.provider import VERSION, KubernetesProvider
from sandbox.plugins.protocol import DiffResult, ResourceError
from sandbox.plugins.values import UNKNOWN, Secret

pytestmark = pytest.mark.unit

RECORDED = {"context": "sandbox", "enableConfigMapMutable": "true", "enableSecretMutable": "true", "kubeconfig": ""}


def config(server: str = "https://127.0.0.1:1", namespace: str | None = None) -> dict[str, Any]:
    context = {"cluster": "c", "user": "u", **({"namespace": namespace} if namespace else {})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{"name": "c", "cluster": {"server": server}}, {"name": "d", "cluster": {"server": "https://d"}}],
        "contexts": [{"name": "sandbox", "context": context}, {"name": "other", "context": {"cluster": "d"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


def test_the_recorded_configuration_is_taken() -> None:
    options = configuration.read(RECORDED, {})
    assert configuration.check({**RECORDED, "version": VERSION, "__internal": {}}) == []
    assert (options.context, options.kubeconfig) == ("sandbox", None)
    assert (options.config_map_mutable, options.secret_mutable, options.server_side_apply) == (True, True, True)


def test_switches_come_from_the_environment_where_the_program_gives_none() -> None:
    environment = {"PULUMI_K8S_DELETE_UNREACHABLE": "true", "PULUMI_K8S_ENABLE_SERVER_SIDE_APPLY": "false"}
    options = configuration.read({"enableServerSideApply": "true"}, environment)
    assert (options.delete_unreachable, options.server_side_apply) == (True, True)


def test_helm_settings_become_helms_environment() -> None:
    settings = json.dumps({"driver": "configmap", "repositoryCache": "/cache"})
    options = configuration.read({"helmReleaseSettings": settings}, {})
    assert options.helm == {"HELM_DRIVER": "configmap", "HELM_REPOSITORY_CACHE": "/cache"}


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("kubeConfig", "x", "has no configuration 'kubeConfig'"),
        ("renderYamlToDirectory", "out", "renders instead of applying"),
        ("enableSecretMutable", "yes", "must be true or false"),
        ("helmReleaseSettings", {"drivr": "secret"}, "helmReleaseSettings has no drivr"),
    ],
)
def test_other_configuration_is_refused(key: str, value: Any, reason: str) -> None:
    failures = configuration.check({key: value})
    assert len(failures) == 1
    assert reason in failures[0].reason


def test_the_cluster_identifier_decides_what_is_replaced() -> None:
    old, new = {"clusterIdentifier": "one", "context": "a"}, {"clusterIdentifier": "one", "context": "b"}
    assert configuration.diff(old, new) == DiffResult(changes=True), "the same cluster by another name"
    assert configuration.diff(old, {**old, "clusterIdentifier": "two"}).replaces == ["clusterIdentifier"]
    assert configuration.diff({"context": "a"}, old).replaces == [], "taking an identifier into use replaces nothing"
    assert configuration.diff(old, dict(old)) == DiffResult(changes=False)


def test_without_an_identifier_the_cluster_of_the_kubeconfig_decides() -> None:
    one, two = json.dumps(config()), json.dumps(config("https://127.0.0.1:2"))
    assert configuration.diff({"kubeconfig": one}, {"kubeconfig": two}).replaces == ["kubeconfig"]
    assert configuration.diff({"kubeconfig": one}, {"kubeconfig": one, "context": "other"}).replaces == ["context"]
    renamed = json.dumps({**config(), "users": []})
    assert configuration.diff({"kubeconfig": one}, {"kubeconfig": Secret(renamed)}).replaces == []
    assert configuration.diff({"kubeconfig": one}, {"kubeconfig": UNKNOWN}).replaces == ["kubeconfig"]
    # The ambient kubeconfig does not tell clusters apart, so the change is a silent update. This is why the identifier
    # exists.
    ambient = configuration.diff({"kubeconfig": "", "context": "a"}, {"kubeconfig": "", "context": "b"})
    assert ambient == DiffResult(changes=True)


def test_a_kubeconfig_is_a_path_or_text_or_ambient(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config(namespace="ours")))
    for contents, environment in (
        (str(file), {}),
        (file.read_text(), {}),
        (json.dumps(config(namespace="ours")), {}),
        (None, {"KUBECONFIG": f"{tmp_path / 'absent'}:{file}"}),
    ):
        loaded, directory = kubeconfig.load(contents, environment)
        cluster = kubeconfig.resolve(loaded, directory, None, None)
        assert (cluster.server, cluster.namespace) == ("https://127.0.0.1:1", "ours")
        assert cluster.credentials.token == "t"
    assert kubeconfig.resolve(config(), tmp_path, None, "d").server == "https://d"


def test_several_kubeconfigs_merge_and_the_first_wins(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    first, second = config(), config("https://second")
    first["clusters"] = [{"name": "c", "cluster": {"server": "https://first", "certificate-authority": "ca.pem"}}]
    (tmp_path / "one" / "config").write_text(json.dumps(first))
    (tmp_path / "one" / "ca.pem").write_bytes(b"authority")
    (tmp_path / "two").write_text(json.dumps(second))
    loaded, directory = kubeconfig.load(None, {"KUBECONFIG": f"{tmp_path / 'one' / 'config'}:{tmp_path / 'two'}"})
    cluster = kubeconfig.resolve(loaded, directory, None, None)
    assert (cluster.server, cluster.authority) == ("https://first", b"authority")
    assert kubeconfig.resolve(loaded, directory, "other", None).server == "https://d"


@pytest.mark.parametrize(
    ("context", "cluster", "said"),
    [
        ("none", None, "context 'none' does not exist in the kubeconfig; it has other, sandbox"),
        (None, "x", "cluster 'x'"),
    ],
)
def test_a_missing_entry_is_named(tmp_path: Path, context: str | None, cluster: str | None, said: str) -> None:
    with pytest.raises(KubeconfigError, match=said):
        kubeconfig.resolve(config(), tmp_path, context, cluster)


def test_certificates_may_be_given_inline(tmp_path: Path) -> None:
    given = config()
    encoded = base64.b64encode(b"pem").decode()
    given["users"][0]["user"] = {"client-certificate-data": encoded, "client-key-data": encoded}
    credentials = kubeconfig.resolve(given, tmp_path, None, None).credentials
    assert (credentials.certificate, credentials.key, credentials.token) == (b"pem", b"pem", None)


def test_a_credential_helper_is_run(tmp_path: Path) -> None:
    given = config()
    answer = '{"status": {"token": "\'$NAME\'"}}'
    given["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", f"echo '{answer}'"],
            "env": [{"name": "NAME", "value": "fetched"}],
        }
    }
    assert kubeconfig.resolve(given, tmp_path, None, None).credentials.token == "fetched"
    given["users"][0]["user"]["exec"]["args"] = ["-c", "echo no >&2; exit 1"]
    with pytest.raises(KubeconfigError, match="credential helper sh failed: no"):
        kubeconfig.resolve(given, tmp_path, None, None)


def test_a_cluster_that_does_not_answer_is_unreachable_and_says_why(tmp_path: Path) -> None:
    text = json.dumps(config("http://127.0.0.1:1", "ours"))
    found = connect(configuration.read({"kubeconfig": text}, {}), {})
    assert found.server is None
    assert "127.0.0.1:1" in found.unreachable
    assert found.default_namespace == "ours"
    with pytest.raises(ResourceError, match="configured Kubernetes cluster is unreachable"):
        found.reachable()
    missing = connect(configuration.read({"context": "x"}, {}), {"KUBECONFIG": str(tmp_path / "none")})
    assert "no kubeconfig at" in missing.unreachable


def test_an_unsupported_type_is_an_error() -> None:
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": json.dumps(config("http://127.0.0.1:1"))})
    for token in ("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "kubernetes:a.b/v1:CPatch"):
        with pytest.raises(ResourceError, match="has no resource type"):
            provider.check("urn", token, {}, {}, b"")


@pytest.mark.parametrize(
    ("token", "namespace", "expected"),
    [
        ("core/v1:ConfigMap", "n", "/api/v1/namespaces/n/configmaps/x"),
        ("core/v1:Namespace", "", "/api/v1/namespaces/x"),
        ("apps/v1:DeploymentPatch", "n", "/apis/apps/v1/namespaces/n/deployments/x"),
        ("rbac.authorization.k8s.io/v1:ClusterRole", "", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"),
        ("networking.k8s.io/v1:NetworkPolicy", "n", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
    ],
)
def test_a_type_leads_to_its_rest_path(token: str, namespace: str, expected: str) -> None:
    kind = schema.kind_of_type(f"kubernetes:{token}")
    assert kind is not None
    assert path(kind, namespace, "x") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("1000m", "1"), ("0.5Gi", "512Mi"), ("250m", "250m"), ("1.5", "1500m"), (2, "2"), ("1500M", "1500M"), ("0", "0")],
)
def test_quantities_have_one_form(given: Any, expected: str) -> None:
    assert schema.canonical_quantity(given) == expected


def test_the_version_is_that_of_the_sdk() -> None:
    pins = (Path(__file__).parents[3] / "requirements.txt").read_text()
    assert f"pulumi-kubernetes=={VERSION}" in pins
