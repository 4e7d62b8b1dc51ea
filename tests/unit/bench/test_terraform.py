"""OpenTofu gets the deployed resources, and they refer to each other as the deployed ones do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bench.flat_program import SECRET_SIGNATURE, STACK_TYPE
from bench.terraform import HOST, PROVIDERS, configuration

pytestmark = pytest.mark.unit

KEY = "tls:index/privateKey:PrivateKey"
PEM = "privateKeyPem"


def urn(type_: str, name: str) -> str:
    return f"urn:pulumi:dev::project::own:index:Certificates${type_}::{name}"


def secret(value: Any) -> dict[str, Any]:
    return {SECRET_SIGNATURE: "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(value)}


def resource(type_: str, name: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"urn": urn(type_, name), "type": type_, "custom": True, "inputs": inputs, **more}


def deployment(*resources: dict[str, Any]) -> dict[str, Any]:
    stack = {"urn": urn(STACK_TYPE, "project-dev"), "type": STACK_TYPE}
    provider = {"urn": urn("pulumi:providers:tls", "tls"), "type": "pulumi:providers:tls", "custom": True}
    reference = {"urn": urn("pulumi:pulumi:StackReference", "other"), "type": "pulumi:pulumi:StackReference"}
    return {"resources": [stack, provider, {**reference, "custom": True}, *resources]}


def test_certificates_refer_to_their_keys_and_authority() -> None:
    key, other = (resource(KEY, name, {"algorithm": "ECDSA", "ecdsaCurve": "P256"}) for name in ("ca-key", "key"))
    authority = resource(
        "tls:index/selfSignedCert:SelfSignedCert",
        "ca",
        {PEM: secret("a key"), "subject": {"commonName": "authority"}, "validityPeriodHours": 10, "__defaults": []},
        propertyDependencies={PEM: [key["urn"]]},
        dependencies=[key["urn"]],
    )
    request = resource(
        "tls:index/certRequest:CertRequest",
        "server-request",
        {PEM: secret("another key"), "dnsNames": ["graph"]},
        propertyDependencies={PEM: [other["urn"]]},
    )
    server = resource(
        "tls:index/locallySignedCert:LocallySignedCert",
        "server",
        {"caPrivateKeyPem": secret("a key"), "caCertPem": "a certificate", "certRequestPem": "a request"},
        propertyDependencies={
            "caPrivateKeyPem": [key["urn"]],
            "caCertPem": [authority["urn"]],
            "certRequestPem": [request["urn"]],
        },
    )
    written = configuration(deployment(key, other, authority, request, server), "copy", "kubeconfig")
    assert written["resource"] == {
        "tls_private_key": {name: {"algorithm": "ECDSA", "ecdsa_curve": "P256"} for name in ("ca_key", "key")},
        "tls_self_signed_cert": {
            "ca": {
                "private_key_pem": "${tls_private_key.ca_key.private_key_pem}",
                "subject": [{"common_name": "authority"}],
                "validity_period_hours": 10,
                "depends_on": ["tls_private_key.ca_key"],
            }
        },
        "tls_cert_request": {
            "server_request": {"private_key_pem": "${tls_private_key.key.private_key_pem}", "dns_names": ["graph"]}
        },
        "tls_locally_signed_cert": {
            "server": {
                "ca_private_key_pem": "${tls_private_key.ca_key.private_key_pem}",
                "ca_cert_pem": "${tls_self_signed_cert.ca.cert_pem}",
                "cert_request_pem": "${tls_cert_request.server_request.cert_request_pem}",
            }
        },
    }


def test_objects_and_releases_go_into_the_other_namespace_with_what_they_hold() -> None:
    encoded = {"uri": base64.b64encode(b"postgres://").decode()}
    metadata = {"name": "graph", "namespace": "graph", "labels": {"team": "infra"}}
    inputs = {"metadata": metadata, "data": secret(encoded), "stringData": secret({"key": "${not a template}"})}
    objects = [
        resource("kubernetes:core/v1:Secret", "secret", {**inputs, "type": "Opaque"}),
        resource("kubernetes:core/v1:ConfigMap", "settings", {"metadata": metadata, "data": {"a": "%{ b"}}),
        resource(
            "kubernetes:helm.sh/v3:Release",
            "release",
            {"name": "graph", "namespace": "graph", "chart": "/charts/graph.tgz", "values": {"a": 1}, "timeout": 60},
            dependencies=[urn("kubernetes:core/v1:Secret", "secret")],
        ),
    ]
    written = configuration(deployment(*objects), "copy", "kubeconfig")
    placed = [{"name": "graph", "namespace": "copy", "labels": {"team": "infra"}, "annotations": {}}]
    assert written["resource"] == {
        "kubernetes_secret": {
            "secret": {
                "metadata": placed,
                "data": {"uri": "postgres://", "key": "$${not a template}"},
                "type": "Opaque",
            }
        },
        "kubernetes_config_map": {"settings": {"metadata": placed, "data": {"a": "%%{ b"}}},
        "helm_release": {
            "release": {
                "name": "graph",
                "namespace": "copy",
                "chart": "/charts/graph.tgz",
                "values": ['{"a": 1}'],
                "wait": True,
                "atomic": True,
                "timeout": 60,
                "depends_on": ["kubernetes_secret.secret"],
            }
        },
    }
    assert written["provider"] == {
        "kubernetes": {"config_path": "kubeconfig"},
        "helm": {"kubernetes": {"config_path": "kubeconfig"}},
    }
    sources = {name: one["source"] for name, one in written["terraform"]["required_providers"].items()}
    assert sources == {name: f"{HOST}/{name}" for name in PROVIDERS}


def test_what_terraform_has_no_resource_for_is_no_comparison() -> None:
    with pytest.raises(KeyError, match="DeploymentPatch"):
        configuration(deployment(resource("kubernetes:apps/v1:DeploymentPatch", "proxies", {})), "copy", "kubeconfig")
