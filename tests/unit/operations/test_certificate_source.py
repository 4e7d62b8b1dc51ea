"""Preflight of the certificate's source: before an `up`, cert-manager and its issuer exist, or the Secret exists and is
valid."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from operations.checks.certificate_source import check_source, dialled_names
from operations.cluster import Cluster
from operations.findings import Finding, Outcome
from tests.unit.certificates.pki import HOST, NOW, authority, server
from tests.unit.operations.kubernetes_api import KubernetesApi
from tests.unit.operations.world import CLUSTER, GRAPH, configuration, settings
from tests.unit.settings.cases_tls import EXISTING, ISSUED

pytestmark = pytest.mark.unit

ROOT = authority("Root")
OWN_ISSUER = {**ISSUED, "issuer": {"mode": "ca", "secretName": "internal-ca"}}
GROUP = "/apis/cert-manager.io/v1"


def run(root: Path, tls: dict[str, Any], **changes: Any) -> dict[str, Finding]:
    (root / "authorities.pem").write_text(ROOT.pem)
    made = settings(root, tls=tls, **changes)
    findings = check_source(made, Cluster.connect("test"), trust=ROOT.pem, now=NOW)
    return {finding.check.removeprefix("certificate."): finding for finding in findings}


def put_definitions(api: KubernetesApi) -> None:
    kinds = [("certificates", "Certificate"), ("issuers", "Issuer"), ("clusterissuers", "ClusterIssuer")]
    api.objects[GROUP] = {
        "kind": "APIResourceList",
        "groupVersion": "cert-manager.io/v1",
        "resources": [
            {"name": plural, "kind": kind, "namespaced": True, "singularName": "", "verbs": ["get"]}
            for plural, kind in kinds
        ],
    }


def put_issuer(api: KubernetesApi, status: str = "True", *, scope: str = "", plural: str = "clusterissuers") -> None:
    api.objects[f"{GROUP}{scope}/{plural}/internal-ca"] = {
        "metadata": {"name": "internal-ca"},
        "status": {"conditions": [{"type": "Ready", "status": status, "message": "Signing CA verified"}]},
    }


def put_secret(api: KubernetesApi, name: str = "certificate", **data: str) -> None:
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    api.put("Secret", name, GRAPH, data=encoded)


def test_a_certificate_of_the_stacks_own_asks_nothing(api: KubernetesApi, tmp_path: Path) -> None:
    assert run(tmp_path, {"mode": "generated"}) == {}


def test_cert_manager_and_a_ready_issuer_pass(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    put_issuer(api)
    findings = run(tmp_path, ISSUED)
    assert {name: finding.outcome for name, finding in findings.items()} == {
        "definitions": Outcome.PASS,
        "issuer": Outcome.PASS,
    }
    assert findings["issuer"].reason == "Signing CA verified"


def test_an_issuer_in_the_namespace_is_looked_for_there(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    tls = {**ISSUED, "issuer": {"mode": "existing", "name": "internal-ca", "kind": "Issuer"}}
    assert run(tmp_path, tls)["issuer"].outcome is Outcome.FAIL
    put_issuer(api, scope=f"/namespaces/{GRAPH}", plural="issuers")
    assert run(tmp_path, tls)["issuer"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("status", "words"),
    [(None, "it does not exist; correct tls.issuer"), ("False", "it is not ready: Signing CA verified")],
)
def test_an_issuer_that_cannot_sign_is_told(api: KubernetesApi, tmp_path: Path, status: str | None, words: str) -> None:
    put_definitions(api)
    if status is not None:
        put_issuer(api, status)
    finding = run(tmp_path, ISSUED)["issuer"]
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason


def test_without_cert_manager_nothing_else_is_asked(api: KubernetesApi, tmp_path: Path) -> None:
    findings = run(tmp_path, ISSUED)
    assert {name: finding.outcome for name, finding in findings.items()} == {"definitions": Outcome.FAIL}
    assert "install cert-manager first" in findings["definitions"].reason


def test_issuers_of_others_are_theirs_to_judge(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    issuer = {"mode": "existing", "name": "a", "kind": "AWSPCAClusterIssuer", "group": "awspca.cert-manager.io"}
    assert run(tmp_path, {**ISSUED, "issuer": issuer})["issuer"].outcome is Outcome.NOT_PROVEN


def test_an_issuer_of_ones_own_needs_its_secret(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    tls = {**ISSUED, "issuer": {"mode": "ca", "secretName": "internal-ca"}}
    assert run(tmp_path, tls)["issuer"].outcome is Outcome.NOT_PROVEN
    put_secret(api, "internal-ca", tls_crt=ROOT.pem, tls_key=ROOT.key_pem)
    assert run(tmp_path, tls)["issuer"].outcome is Outcome.PASS


OTHER, ENDED = authority("Other"), authority("Ended", ends=NOW - timedelta(days=1))
BETWEEN = authority("Between", signer=ROOT)
WRONG_AUTHORITIES = [
    ({"tls_crt": ROOT.pem, "tls_key": OTHER.key_pem}, "tls.key belongs to another certificate"),
    ({"tls_crt": ROOT.pem + BETWEEN.pem, "tls_key": BETWEEN.key_pem}, "tls.key belongs to another certificate"),
    ({"tls_crt": ROOT.pem, "tls_key": "x"}, "tls.key is no readable PEM key"),
    ({"tls_crt": "x", "tls_key": ROOT.key_pem}, "has no readable PEM certificate"),
    ({"tls_crt": ENDED.pem, "tls_key": ENDED.key_pem}, "CN=Ended is valid from"),
    ({"tls_crt": OTHER.pem, "tls_key": OTHER.key_pem}, "CN=Other signs, the bundle has CN=Root"),
]


@pytest.mark.parametrize(("data", "words"), WRONG_AUTHORITIES)
def test_an_authority_that_cert_manager_would_take_and_nobody_believe_is_told(
    api: KubernetesApi, tmp_path: Path, data: dict[str, str], words: str
) -> None:
    put_definitions(api)
    put_secret(api, "internal-ca", **data)
    finding = run(tmp_path, OWN_ISSUER)["issuer"]
    assert finding.outcome is Outcome.FAIL
    assert words in finding.reason


def test_who_is_no_authority_cannot_be_an_issuer(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    leaf = server(ROOT)
    put_secret(api, "internal-ca", tls_crt=leaf.pem, tls_key=leaf.key_pem)
    assert "CN=Teleport Access Graph, is no authority's" in run(tmp_path, OWN_ISSUER)["issuer"].reason


@pytest.mark.parametrize("chain", [BETWEEN.pem, BETWEEN.pem + ROOT.pem])
def test_an_intermediate_authority_under_a_trusted_root_passes(api: KubernetesApi, tmp_path: Path, chain: str) -> None:
    put_definitions(api)
    put_secret(api, "internal-ca", tls_crt=chain, tls_key=BETWEEN.key_pem)
    assert run(tmp_path, OWN_ISSUER)["issuer"].outcome is Outcome.PASS


def test_an_intermediate_authority_may_itself_be_what_is_trusted(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    put_secret(api, "internal-ca", tls_crt=BETWEEN.pem, tls_key=BETWEEN.key_pem)
    (tmp_path / "authorities.pem").write_text(BETWEEN.pem)
    made = settings(tmp_path, tls=OWN_ISSUER)
    (_, issuer) = check_source(made, Cluster.connect("test"), trust=BETWEEN.pem, now=NOW)
    assert (issuer.check, issuer.outcome) == ("certificate.issuer", Outcome.PASS)


def test_with_trust_system_any_authority_may_sign(api: KubernetesApi, tmp_path: Path) -> None:
    put_definitions(api)
    put_secret(api, "internal-ca", tls_crt=OTHER.pem, tls_key=OTHER.key_pem)
    tls = {key: value for key, value in OWN_ISSUER.items() if key != "trustBundleFile"}
    findings = run(tmp_path, {**tls, "trust": "system"})
    assert findings["issuer"].outcome is Outcome.PASS
    assert "chain" not in findings


def test_an_authority_may_not_go_while_what_it_signed_is_served(api: KubernetesApi, tmp_path: Path) -> None:
    """When an issuer moves to another authority, the certificate that it issued before stays in use; the user's bundle
    may already have the new authority alone."""
    put_definitions(api)
    put_issuer(api)
    old = server(OTHER)
    put_secret(api, "teleport-access-graph-issued-tls", tls_crt=old.pem, tls_key=old.key_pem)
    finding = run(tmp_path, ISSUED)["chain"]
    assert finding.outcome is Outcome.FAIL
    assert "its issuer is CN=Other, and the bundle has CN=Root" in finding.reason
    assert f"`cmctl renew teleport-access-graph --namespace {GRAPH}`" in finding.reason
    assert "chain" not in run(tmp_path, ISSUED, accessGraph={"enabled": False}), "nobody serves it"
    put_secret(api, "teleport-access-graph-issued-tls", tls_crt="x", tls_key=old.key_pem)
    assert run(tmp_path, ISSUED)["chain"].outcome is Outcome.FAIL
    new = server(ROOT)
    put_secret(api, "teleport-access-graph-issued-tls", tls_crt=new.pem, tls_key=new.key_pem)
    assert run(tmp_path, ISSUED)["chain"].outcome is Outcome.PASS


def test_a_secret_that_fits_passes(api: KubernetesApi, tmp_path: Path) -> None:
    pair = server(ROOT)
    put_secret(api, tls_crt=pair.pem, tls_key=pair.key_pem)
    findings = run(tmp_path, EXISTING)
    assert {finding.outcome for finding in findings.values()} == {Outcome.PASS}
    assert len(findings) == 5


def test_a_secret_that_is_not_there_is_told_with_the_way(api: KubernetesApi, tmp_path: Path) -> None:
    finding = run(tmp_path, EXISTING)["pair"]
    assert finding.outcome is Outcome.FAIL
    assert "first `up` with accessGraph.enabled false" in finding.reason


def test_while_the_access_graph_is_off_its_secret_may_still_be_missing(api: KubernetesApi, tmp_path: Path) -> None:
    """An `up` with the access graph off makes the namespace for this Secret. Preflight must not tell a user on that
    path to take it."""
    findings = run(tmp_path, EXISTING, accessGraph={"enabled": False})
    assert {name: finding.outcome for name, finding in findings.items()} == {"pair": Outcome.NOT_PROVEN}
    assert findings["pair"].reason == (
        f"there is no Secret certificate in {GRAPH} yet, and nothing needs it while accessGraph.enabled is false; make "
        "it before you set that to true"
    )
    pair = server(ROOT)
    put_secret(api, tls_crt=pair.pem, tls_key=pair.key_pem)
    findings = run(tmp_path, EXISTING, accessGraph={"enabled": False})
    assert {finding.outcome for finding in findings.values()} == {Outcome.PASS}, "there, it is looked at all the same"


def test_a_secret_of_another_authority_is_told(api: KubernetesApi, tmp_path: Path) -> None:
    pair = server(authority("Other"))
    put_secret(api, tls_crt=pair.pem, tls_key=pair.key_pem)
    assert run(tmp_path, EXISTING)["chain"].outcome is Outcome.FAIL


def test_every_name_that_a_teleport_dials_must_be_in_it(tmp_path: Path) -> None:
    entry = configuration()["teleport"][CLUSTER]
    (tmp_path / "authorities.pem").write_text(ROOT.pem)
    made = settings(tmp_path, tls=EXISTING, teleport={CLUSTER: {**entry, "endpoint": "graph.example.com:443"}})
    assert dialled_names(made) == ["graph.example.com"]
    let_go = {**entry, "endpoint": "former.example.com:443", "namespace": "former", "connected": False}
    both = settings(tmp_path, tls=EXISTING, teleport={"former.example.com": let_go, CLUSTER: entry})
    assert dialled_names(both) == [HOST], "nobody dials that any more"
    assert dialled_names(settings(tmp_path)) == [HOST]
