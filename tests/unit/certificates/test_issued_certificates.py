"""What the stack requests from cert-manager, and which part of the answer it uses."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.issued_certificates import IssuedCertificate
from tests.unit.certificates.pki import HOST
from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, record

pytestmark = pytest.mark.unit

TYPE = "kubernetes:cert-manager.io/v1:Certificate"
ISSUED: dict[str, Any] = {"notAfter": "2027-02-22T12:00:00Z", "revision": 1}


def registered(*, preview: bool = False, status: Any = ISSUED, **arguments: Any) -> Recording:
    def program() -> None:
        providers = [kubernetes.Provider("kubernetes", context="test")]
        made = IssuedCertificate(
            "issued",
            {"namespace": "graph", "dns_names": [HOST], "issuer_name": "internal-ca", **arguments},  # type: ignore[arg-type]
            pulumi.ResourceOptions(providers=providers),
        )
        pulumi.export("secret", made.secret_name)
        pulumi.export("end", made.not_after)

    computed = {**COMPUTED_OUTPUTS, TYPE: {} if status is None else {"status": status}}
    return record(program, preview=preview, computed=computed)


def test_the_certificate_is_asked_for_with_everything_stated() -> None:
    certificate = registered()["issued-certificate"]
    assert certificate.type == TYPE
    assert certificate.inputs == {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {
            "name": "teleport-access-graph",
            "namespace": "graph",
            "annotations": {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": "300"},
        },
        "spec": {
            "secretName": "teleport-access-graph-issued-tls",
            "dnsNames": [HOST],
            "duration": "2160h0m0s",
            "renewBefore": "720h0m0s",
            "privateKey": {"algorithm": "ECDSA", "size": 256, "encoding": "PKCS8", "rotationPolicy": "Always"},
            "usages": ["digital signature", "server auth"],
            "issuerRef": {"kind": "ClusterIssuer", "name": "internal-ca", "group": "cert-manager.io"},
        },
    }


def test_one_that_nobody_needs_yet_is_not_waited_for() -> None:
    certificate = registered(awaited=False, status=None)["issued-certificate"]
    assert certificate.plain("metadata") == {"name": "teleport-access-graph", "namespace": "graph", "annotations": {}}


def test_an_rsa_key_is_used_for_what_rsa_needs() -> None:
    spec = registered(algorithm="RSA", validity_hours=24, early_renewal_hours=8)["issued-certificate"].plain("spec")
    assert spec["privateKey"] == {"algorithm": "RSA", "size": 4096, "encoding": "PKCS8", "rotationPolicy": "Always"}
    assert spec["usages"] == ["digital signature", "key encipherment", "server auth"]
    assert (spec["duration"], spec["renewBefore"]) == ("24h0m0s", "8h0m0s")


def test_an_issuer_of_another_group_is_named_as_it_is() -> None:
    certificate = registered(issuer_kind="AWSPCAClusterIssuer", issuer_group="awspca.cert-manager.io")
    assert certificate["issued-certificate"].plain("spec.issuerRef") == {
        "kind": "AWSPCAClusterIssuer",
        "name": "internal-ca",
        "group": "awspca.cert-manager.io",
    }


def test_an_issuer_of_ones_own_comes_first() -> None:
    recording = registered(issuer_name=None, ca_secret="internal-ca")
    assert recording["issued-issuer"].plain("spec") == {"ca": {"secretName": "internal-ca"}}
    assert recording["issued-certificate"].plain("spec.issuerRef.name") == recording["issued-issuer"].plain(
        "metadata.name"
    )
    assert recording.edges()["issued-certificate"] == {"issued-issuer"}


def test_the_end_is_what_cert_manager_says_and_none_before_it_spoke() -> None:
    assert registered().outputs == {"secret": "teleport-access-graph-issued-tls", "end": "2027-02-22T12:00:00Z"}
    assert "end" not in registered(status=None).outputs


def test_a_preview_knows_the_secret_and_not_the_end() -> None:
    outputs = registered(preview=True, status=None).outputs
    assert outputs["secret"] == "teleport-access-graph-issued-tls"
    assert outputs.get("end") != ISSUED["notAfter"]


def test_whoever_uses_the_secret_waits_for_the_certificate() -> None:
    def program() -> None:
        options = pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")])
        made = IssuedCertificate(
            "issued",
            {"namespace": "graph", "dns_names": [HOST], "issuer_name": "ca"},  # type: ignore[arg-type]
            options,
        )
        kubernetes.core.v1.ConfigMap("user", data={"secret": made.secret_name})

    assert record(program).edges()["user"] == {"issued-certificate"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "Ed25519"}, "algorithm: 'Ed25519' is not one of ECDSA, RSA"),
        ({"issuer_name": None}, "issuer_name: pass it or ca_secret"),
        ({"ca_secret": "ca"}, "and not both"),
        ({"dns_names": []}, "dns_names: is empty"),
        ({"validity_hours": 720}, "early_renewal_hours: 720 is not below the 720 of validity_hours"),
        ({"issuer_kind": "AWSPCAIssuer"}, "issuer_kind: 'AWSPCAIssuer' is not one of Issuer, ClusterIssuer"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registered(**arguments)
