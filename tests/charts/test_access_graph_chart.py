"""The teleport-access-graph chart of the sandbox against the published chart's interface, fact by fact."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.charts

NAME = "teleport-access-graph"
AUTHORITY = "-----BEGIN CERTIFICATE-----\nMIIB(one)\n-----END CERTIFICATE-----\n"
VALUES: dict[str, Any] = {
    "postgres": {"secretName": "teleport-access-graph-postgres"},
    "tls": {"existingSecretName": "teleport-access-graph-tls"},
    "clusterHostCAs": [AUTHORITY],
    "podAnnotations": {"checksum/credentials": "abc"},
    "podDisruptionBudget": {"enabled": True},
    "metrics": {"enabled": True},
    "volumes": [{"name": "database-ca", "configMap": {"name": "database-ca"}}],
    "volumeMounts": [{"name": "database-ca", "mountPath": "/var/run/database-ca", "readOnly": True}],
    "resources": {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
}
LABELS = {
    "helm.sh/chart": "teleport-access-graph-1.30.2",
    "app.kubernetes.io/name": NAME,
    "app.kubernetes.io/instance": NAME,
    "app.kubernetes.io/version": "1.30.2",
    "app.kubernetes.io/managed-by": "Helm",
}
SELECTOR = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/instance": NAME}


@pytest.fixture(scope="module")
def objects(render):
    return render(NAME, VALUES, release=NAME, namespace=NAME)


@pytest.fixture(scope="module")
def pod(objects):
    return objects["Deployment", NAME]["spec"]["template"]


@pytest.fixture(scope="module")
def container(pod):
    (only,) = pod["spec"]["containers"]
    return only


def test_renders_exactly_the_published_objects(objects):
    assert set(objects) == {
        ("PodDisruptionBudget", NAME),
        ("ServiceAccount", NAME),
        ("ConfigMap", f"{NAME}-config"),
        ("Service", NAME),
        ("Deployment", NAME),
    }


def test_labels_and_selectors(objects, pod):
    for kind in ("PodDisruptionBudget", "ServiceAccount", "Service", "Deployment"):
        assert objects[kind, NAME]["metadata"]["labels"] == LABELS, kind
    assert pod["metadata"]["labels"] == LABELS
    assert objects["Deployment", NAME]["spec"]["selector"] == {"matchLabels": SELECTOR}
    assert objects["Service", NAME]["spec"]["selector"] == SELECTOR
    assert objects["PodDisruptionBudget", NAME]["spec"] == {"minAvailable": 1, "selector": {"matchLabels": SELECTOR}}


def test_service_maps_443_to_the_grpc_port_and_metrics_to_its_own(objects):
    assert objects["Service", NAME]["spec"]["type"] == "ClusterIP"
    assert objects["Service", NAME]["spec"]["ports"] == [
        {"name": "grpc", "port": 443, "targetPort": "grpc", "protocol": "TCP"},
        {"name": "metrics", "port": 3000, "targetPort": "metrics", "protocol": "TCP"},
    ]


def test_configuration_the_service_reads(objects):
    data = objects["ConfigMap", f"{NAME}-config"]["data"]
    assert set(data) == {"config.yaml", "registration_cas.pem"}
    assert yaml.safe_load(data["config.yaml"]) == {
        "address": ":9090",
        "metrics": {"enabled": True, "pprof": False},
        "tls": {"cert": "/var/run/tls/tls.crt", "key": "/var/run/tls/tls.key"},
        "log": {"level": "INFO"},
        "registration_cas": ["/var/run/config/registration_cas.pem"],
    }
    assert data["registration_cas.pem"].strip() == AUTHORITY.strip()


def test_two_replicas_of_one_container_with_the_published_image_and_arguments(objects, container):
    assert objects["Deployment", NAME]["spec"]["replicas"] == 2
    assert container["name"] == NAME
    assert container["image"] == "public.ecr.aws/gravitational/access-graph:1.30.2"
    assert container["args"] == ["--config", "/var/run/config/config.yaml"]
    assert "command" not in container
    assert container["ports"] == [
        {"name": "grpc", "containerPort": 9090, "protocol": "TCP"},
        {"name": "metrics", "containerPort": 3000, "protocol": "TCP"},
    ]
    assert container["resources"] == VALUES["resources"]


def test_readiness_is_a_tcp_check_and_there_is_no_liveness_probe(container):
    assert container["readinessProbe"] == {"tcpSocket": {"port": "grpc"}}
    assert "livenessProbe" not in container


def test_the_connection_comes_from_the_secret(container):
    assert container["env"] == [
        {
            "name": "TAG_POSTGRES_CONNECTION",
            "valueFrom": {"secretKeyRef": {"name": "teleport-access-graph-postgres", "key": "uri"}},
        }
    ]


def test_volumes_and_mounts(pod, container):
    mounts = {mount["mountPath"]: (mount["name"], mount.get("readOnly")) for mount in container["volumeMounts"]}
    assert mounts == {
        "/var/run/config": ("config", True),
        "/var/run/tls": ("tls", True),
        "/var/run/database-ca": ("database-ca", True),
    }
    assert pod["spec"]["volumes"] == [
        {"name": "config", "configMap": {"name": f"{NAME}-config"}},
        {"name": "tls", "secret": {"secretName": "teleport-access-graph-tls"}},
        {"name": "database-ca", "configMap": {"name": "database-ca"}},
    ]


def test_fits_the_restricted_pod_security_standard(pod, container):
    assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["spec"]["serviceAccountName"] == NAME


def test_registration_authorities_roll_the_pods_and_annotations_are_the_callers(render, pod):
    annotations = pod["metadata"]["annotations"]
    assert set(annotations) == {"checksum/config", "checksum/credentials"}
    assert annotations["checksum/credentials"] == "abc"
    other = render(NAME, {**VALUES, "clusterHostCAs": [AUTHORITY, AUTHORITY]}, release=NAME, namespace=NAME)
    changed = other["Deployment", NAME]["spec"]["template"]["metadata"]["annotations"]
    assert changed["checksum/config"] != annotations["checksum/config"]


@pytest.mark.parametrize(
    ("release", "values", "fullname"),
    [
        ("teleport-access-graph", {}, "teleport-access-graph"),
        ("eu-teleport-access-graph-2", {}, "eu-teleport-access-graph-2"),
        ("graph", {}, "graph-teleport-access-graph"),
        ("graph", {"fullnameOverride": "tag"}, "tag"),
        # Names are cut at 63 characters, without a dash at the end.
        ("r" * 48, {}, "r" * 48 + "-teleport-acces"),
        ("r" * 46, {}, "r" * 46 + "-teleport-access"),
        ("r" * 53, {}, "r" * 53 + "-teleport"),
    ],
)
def test_fullname(render, release, values, fullname):
    objects = render(NAME, {**VALUES, **values}, release=release, namespace="any")
    assert {key for key in objects if key[0] != "ConfigMap"} == {
        (kind, fullname) for kind in ("PodDisruptionBudget", "ServiceAccount", "Service", "Deployment")
    }
    assert ("ConfigMap", f"{fullname}-config") in objects


def test_an_empty_list_of_authorities_renders(render):
    objects = render(NAME, {"clusterHostCAs": []}, release=NAME, namespace=NAME)
    assert objects["ConfigMap", f"{NAME}-config"]["data"]["registration_cas.pem"].strip() == ""


def test_a_misspelt_key_is_ignored_as_there_is_no_schema(render, objects):
    assert render(NAME, {**VALUES, "clusterHostCAS": ["x"]}, release=NAME, namespace=NAME) == objects


def test_metrics_are_off_by_default(render):
    objects = render(NAME, {}, release=NAME, namespace=NAME)
    (container,) = objects["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    assert [port["name"] for port in container["ports"]] == ["grpc"]
    assert [port["name"] for port in objects["Service", NAME]["spec"]["ports"]] == ["grpc"]
    assert ("PodDisruptionBudget", NAME) not in objects


def test_iam_authentication_and_pool_settings_reach_the_configuration(render):
    values = {"postgres": {"aws": {"enabled": True, "region": "us-east-1"}, "connection_parameters": {"max_conns": 8}}}
    objects = render(NAME, values, release=NAME, namespace=NAME)
    config = yaml.safe_load(objects["ConfigMap", f"{NAME}-config"]["data"]["config.yaml"])
    assert config["backend"] == {
        "postgres": {"aws": {"region": "us-east-1"}, "connection_parameters": {"max_conns": 8}}
    }


def test_service_account_annotations_and_placement(render):
    values = {
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/r"}},
        "nodeSelector": {"pool": "a"},
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}],
        "service": {"type": "LoadBalancer"},
        "podLabels": {"team": "infra"},
        "image": {"repository": "example.com/access-graph", "tag": "1.30.3"},
    }
    objects = render(NAME, values, release=NAME, namespace=NAME)
    spec = objects["Deployment", NAME]["spec"]["template"]["spec"]
    assert objects["ServiceAccount", NAME]["metadata"]["annotations"] == values["serviceAccount"]["annotations"]
    assert spec["nodeSelector"] == {"pool": "a"}
    assert spec["tolerations"] == values["tolerations"]
    assert spec["imagePullSecrets"] == values["imagePullSecrets"]
    assert spec["containers"][0]["image"] == "example.com/access-graph:1.30.3"
    assert objects["Service", NAME]["spec"]["type"] == "LoadBalancer"
    assert objects["Deployment", NAME]["spec"]["template"]["metadata"]["labels"]["team"] == "infra"
