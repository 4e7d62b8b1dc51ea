"""The charts rendered with the program's own values: what the values bring about, and what the patch may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import Objects, Render
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording
from tests.unit.program.stack import OWN_VALUES, configuration, run_program

pytestmark = pytest.mark.charts

NAMESPACE = "teleport-access-graph"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory: Path = tmp_path_factory.mktemp("program")
    return run_program(configuration(directory), directory)


@pytest.fixture(scope="module")
def access_graph(stack: Recording, render: Render) -> Objects:
    values = stack["access-graph-release"].plain("values")
    return render("teleport-access-graph", values, release=NAMESPACE, namespace=NAMESPACE)


def teleport(stack: Recording, render: Render) -> Objects:
    values = stack[f"teleport-{TELEPORT_CLUSTER}-release"].plain("values")
    return render("teleport-cluster", values, release="teleport", namespace="teleport")


def pod(objects: Objects, name: str) -> dict[str, Any]:
    return objects["Deployment", name]["spec"]["template"]


def test_the_pods_get_their_uri_pair_and_bundle_by_name(access_graph: Objects) -> None:
    template = pod(access_graph, "teleport-access-graph")
    (container,) = template["spec"]["containers"]
    environment = {entry["name"]: entry.get("valueFrom") for entry in container["env"]}
    assert environment["TAG_POSTGRES_CONNECTION"] == {
        "secretKeyRef": {"name": "teleport-access-graph-postgres", "key": "uri"}
    }
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert volumes["tls"]["secret"]["secretName"] == "teleport-access-graph-tls"
    assert volumes["database-ca"]["configMap"]["name"] == "teleport-access-graph-database-ca"
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["database-ca"] == {"name": "database-ca", "mountPath": "/var/run/database-ca", "readOnly": True}
    assert container["resources"] == {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}


def test_the_credentials_digest_rolls_the_pods(access_graph: Objects, stack: Recording) -> None:
    digest = stack["access-graph-release"].plain("values.podAnnotations.checksum/credentials")
    annotations = pod(access_graph, "teleport-access-graph")["metadata"]["annotations"]
    assert annotations["checksum/credentials"] == digest


def test_the_host_authorities_reach_the_service(access_graph: Objects, stack: Recording) -> None:
    (authority,) = stack["access-graph-release"].plain("values.clusterHostCAs")
    bundle = access_graph["ConfigMap", "teleport-access-graph-config"]["data"]["registration_cas.pem"]
    assert authority.strip() in bundle
    assert yaml.safe_load(access_graph["ConfigMap", "teleport-access-graph-config"]["data"]["config.yaml"])[
        "registration_cas"
    ] == ["/var/run/config/registration_cas.pem"]


def test_the_certificate_names_the_service_that_is_rendered(access_graph: Objects, stack: Recording) -> None:
    (service,) = [name for kind, name in access_graph if kind == "Service"]
    assert stack["certificates-server-request"].plain("dnsNames")[0] == f"{service}.{NAMESPACE}.svc.cluster.local"


@pytest.mark.parametrize("release", ["graph", "my-teleport-access-graph", "r" * 53])
def test_the_service_name_is_the_charts_for_every_release_name(tmp_path: Path, render: Render, release: str) -> None:
    config = configuration(tmp_path)
    config["accessGraph"]["release"] = release
    stack = run_program(config, tmp_path)
    objects = render(
        "teleport-access-graph",
        stack["access-graph-release"].plain("values"),
        release=release,
        namespace=NAMESPACE,
    )
    (service,) = [name for kind, name in objects if kind == "Service"]
    assert stack.outputs["serviceHost"] == f"{service}.{NAMESPACE}.svc.cluster.local"


def test_auth_gets_the_configuration_and_the_authority_and_keeps_what_is_the_users(
    stack: Recording, render: Render
) -> None:
    objects = teleport(stack, render)
    configuration_text = objects["ConfigMap", "teleport-auth"]["data"]["teleport.yaml"]
    assert yaml.safe_load(configuration_text)["access_graph"] == {
        "enabled": True,
        "endpoint": "teleport-access-graph.teleport-access-graph.svc.cluster.local:443",
        "ca": "/var/run/access-graph/ca.pem",
    }
    auth = pod(objects, "teleport-auth")
    mounts = {mount["mountPath"]: mount["name"] for mount in auth["spec"]["containers"][0]["volumeMounts"]}
    assert (mounts["/etc/corp"], mounts["/var/run/access-graph"]) == ("corp-ca", "tag-ca")
    config_maps = {
        volume["name"]: volume["configMap"]["name"] for volume in auth["spec"]["volumes"] if "configMap" in volume
    }
    assert (config_maps["corp-ca"], config_maps["tag-ca"]) == ("corp-ca", "teleport-access-graph-ca")
    assert auth["metadata"]["annotations"]["team"] == "infra"
    assert "checksum/access-graph-ca" in auth["metadata"]["annotations"]


def test_the_patch_changes_auth_and_its_check_alone(stack: Recording, render: Render) -> None:
    before = render("teleport-cluster", OWN_VALUES, release="teleport", namespace="teleport")
    after = teleport(stack, render)
    assert set(before) == set(after)
    assert {key for key in before if before[key] != after[key]} == {
        ("ConfigMap", "teleport-auth"),
        ("ConfigMap", "teleport-auth-test"),
        ("Deployment", "teleport-auth"),
        ("Job", "teleport-auth-test"),
    }


def test_the_restarted_deployment_is_the_proxies(stack: Recording, render: Render) -> None:
    patch = stack[f"teleport-{TELEPORT_CLUSTER}-proxies"]
    assert ("Deployment", patch.plain("metadata.name")) in teleport(stack, render)
    assert patch.plain("metadata") == {"name": "teleport-proxy", "namespace": "teleport"}
