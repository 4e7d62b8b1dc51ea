"""Certificates that the stack does not make, on the real engine: from cert-manager, renewed between two `up`s, and from
a Secret.

The tests of each stack are one story: each begins where the one before it ended. `test_certificate_switch` tests going
from one source to another while Teleport calls.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from components.certificate_restarter import ANNOTATION
from components.settings.names import (
    CERTIFICATE_RESTARTER_NAME,
    ISSUED_CERTIFICATE_NAME,
    ISSUED_SECRET_NAME,
    service_host,
)
from sandbox.existing_teleport import CLUSTER
from tests.engine.cert_manager.controller import CertManager
from tests.engine.cert_manager.installation import ask, cert_manager, renew
from tests.engine.certificates import (
    apply,
    look,
    operate,
    outcomes,
    served,
    tls_secret,
    trust_file,
    wait_for_a_look,
)
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import OwnStack, Settings, graph_pods, own_stack, secret_values
from tests.engine.waiting import eventually
from tests.unit.certificates.pki import Pair, authority, server

pytestmark = pytest.mark.engine

QUIET = ("same", "read")
# The shortest life that the settings and cert-manager allow: a certificate is due an hour after it was issued.
HOURS = {"certificateValidityHours": 2, "certificateEarlyRenewalHours": 1}
DEPLOYMENT = "teleport-access-graph"
SECONDS = 150.0

INTERNAL, NEXT = authority("Internal CA"), authority("Next CA")


def operations(preview: dict[str, Any]) -> dict[str, str]:
    return {step["urn"].rsplit("::", 1)[1]: step["op"] for step in preview["steps"] if step["op"] not in QUIET}


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    """A stack whose certificate comes from an Issuer, which the stack makes from a Secret that is not there yet."""

    def change(settings: Settings) -> None:
        settings["tls"] = {
            "mode": "certManager",
            "issuer": {"mode": "ca", "secretName": "internal-ca"},
            "trustBundleFile": trust_file(running_sandbox, "internal.pem", INTERNAL),
            "reloader": {"mode": "restarter", "everyMinutes": 1},
            **HOURS,
        }

    with own_stack(running_sandbox, "issued", change) as stack:
        yield stack


@pytest.fixture(scope="module")
def before(running_sandbox: RunningSandbox) -> set[str]:
    """The pods that do not belong to this stack, before it is deployed."""
    return pods_of_others(running_sandbox)


@pytest.fixture(scope="module")
def manager(stack: OwnStack) -> Iterator[CertManager]:
    with cert_manager(stack) as manager:
        yield manager


@pytest.fixture(scope="module")
def issued(stack: OwnStack, manager: CertManager) -> OwnStack:
    """`stack`, deployed."""
    stack.pulumi("up")
    return stack


def pods_of_others(sandbox: RunningSandbox) -> set[str]:
    """All of the cluster's pods except those of the access graph and of the restarter's Jobs."""
    pods = sandbox.get("pods", "--all-namespaces")["items"]
    return {
        pod["metadata"]["uid"]
        for pod in pods
        if pod["metadata"].get("labels", {}).get("app.kubernetes.io/name") != "teleport-access-graph"
        and not any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", []))
    }


def names(stack: OwnStack) -> set[str]:
    return {pod["metadata"]["name"] for pod in graph_pods(stack, stack.namespace)}


def certificate_of(stack: OwnStack) -> x509.Certificate:
    text = secret_values(stack, stack.namespace, ISSUED_SECRET_NAME)["tls.crt"]
    return x509.load_pem_x509_certificate(text.encode())


def test_a_preview_works_without_cert_manager(before: set[str], stack: OwnStack) -> None:
    assert before
    assert "cert-manager.io" not in stack.kubectl("api-versions").stdout
    steps = operations(stack.preview())
    assert (steps["issued-certificate-issuer"], steps["issued-certificate-certificate"]) == ("create", "create")
    assert (steps["certificate-restarter-cron-job"], steps["certificate-restarter-role"]) == ("create", "create")
    assert "certificates-server" not in steps
    assert set(steps.values()) == {"create"}


def test_preflight_says_that_cert_manager_is_missing(stack: OwnStack) -> None:
    findings = operate(stack, "preflight")
    assert findings["certificate.definitions"]["outcome"] == "fail"
    assert "install cert-manager first" in findings["certificate.definitions"]["reason"]


def test_an_up_without_cert_manager_fails_with_the_reason_and_the_remedy(stack: OwnStack) -> None:
    failed = stack.pulumi("up", check=False)
    assert failed.returncode != 0
    output = failed.stdout + failed.stderr
    assert "Verify that any required CRDs have been created" in output
    assert 'no matches for kind "Issuer" in version "cert-manager.io/v1"' in output
    assert "ledger" not in stack.outputs()
    assert graph_pods(stack, stack.namespace) == []


def test_the_next_up_has_cert_manager_issue_what_is_served(stack: OwnStack, manager: CertManager) -> None:
    apply(stack, tls_secret(stack.namespace, "internal-ca", INTERNAL))
    stack.pulumi("up")
    live = stack.get("certificate.cert-manager.io", ISSUED_CERTIFICATE_NAME, "--namespace", stack.namespace)
    assert outcomes(live["status"]["conditions"]) == {"Ready": "True"}
    issuer = stack.get("issuer.cert-manager.io", "--namespace", stack.namespace)["items"]
    assert [outcomes(one["status"]["conditions"]) for one in issuer] == [{"Ready": "True"}]
    certificate = certificate_of(stack)
    certificate.verify_directly_issued_by(INTERNAL.certificate)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(hours=2)
    assert served(stack) == {certificate.serial_number}
    outputs = stack.outputs()
    assert outputs["tlsSecretName"] == ISSUED_SECRET_NAME
    assert outputs["certificateNotAfter"] == f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert outputs["caBundle"] == INTERNAL.pem
    assert outputs["ledger"]["trust"]["mode"] == "certManager"


def test_the_cron_job_looks_by_itself(issued: OwnStack, before: set[str]) -> None:
    """The pods are replaced once, because the CronJob's first look finds no annotation, so they may have started with
    another certificate."""
    wait_for_a_look(issued, SECONDS)
    assert annotation(issued) == digest(issued)
    settled(issued)
    live = issued.get("deployment", DEPLOYMENT, "--namespace", issued.namespace)
    assert live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    assert pods_of_others(issued) == before
    # From here on it looks only when a test starts a Job.
    suspended = '{"spec":{"suspend":true}}'
    issued.kubectl(
        "patch", "cronjob", CERTIFICATE_RESTARTER_NAME, "--namespace", issued.namespace, "--patch", suspended
    )


def test_the_checks_hold(issued: OwnStack) -> None:
    findings = operate(issued, "preflight")
    kept = {name: one["outcome"] for name, one in findings.items() if name.startswith("certificate.")}
    assert kept == dict.fromkeys(("certificate.definitions", "certificate.issuer", "certificate.chain"), "pass")
    findings = operate(issued, "verify")
    kept = {name: one["outcome"] for name, one in findings.items() if name.startswith("certificate.")}
    assert kept == dict.fromkeys(
        ("certificate.pair", "certificate.names", "certificate.uses", "certificate.dates", "certificate.chain"), "pass"
    )


def test_a_second_up_changes_nothing_and_writes_nothing(issued: OwnStack) -> None:
    position = issued.audit_position()
    issued.pulumi("up", "--expect-no-changes")
    assert issued.writes(since=position) == []


ALLOWED = {
    ("get", f"secret/{ISSUED_SECRET_NAME}"),
    ("get", f"deployment.apps/{DEPLOYMENT}"),
    ("patch", f"deployment.apps/{DEPLOYMENT}"),
}
ASKED = [
    *sorted(ALLOWED),
    ("get", "secret/internal-ca"),
    ("get", "secret/teleport-access-graph-postgres"),
    ("get", "secret"),
    ("list", "secret"),
    ("watch", "secret"),
    ("list", f"secret/{ISSUED_SECRET_NAME}"),
    ("patch", f"secret/{ISSUED_SECRET_NAME}"),
    ("delete", f"secret/{ISSUED_SECRET_NAME}"),
    ("update", f"deployment.apps/{DEPLOYMENT}"),
    ("delete", f"deployment.apps/{DEPLOYMENT}"),
    ("patch", "deployment.apps/another"),
    ("list", "deployment.apps"),
    ("create", "deployment.apps"),
    ("get", "pod"),
    ("delete", "pod"),
    ("create", "pod/exec"),
    ("create", "serviceaccount/token"),
    ("get", "configmap"),
    ("patch", "role.rbac.authorization.k8s.io"),
    ("get", "certificate.cert-manager.io"),
]


@pytest.mark.parametrize(("verb", "what"), ASKED, ids=lambda part: part)
def test_the_restarter_may_read_that_secret_and_patch_that_deployment_alone(
    issued: OwnStack, verb: str, what: str
) -> None:
    account = f"system:serviceaccount:{issued.namespace}:{CERTIFICATE_RESTARTER_NAME}"
    asked = ("auth", "can-i", verb, what, "--as", account)
    answer = issued.kubectl(*asked, "--namespace", issued.namespace, check=False).stdout.strip()
    assert answer == ("yes" if (verb, what) in ALLOWED else "no")


@pytest.mark.parametrize(("verb", "what"), sorted(ALLOWED), ids=lambda part: part)
def test_the_restarter_may_do_nothing_elsewhere(issued: OwnStack, verb: str, what: str) -> None:
    account = f"system:serviceaccount:{issued.namespace}:{CERTIFICATE_RESTARTER_NAME}"
    for where in (("--namespace", "teleport"), ("--all-namespaces",)):
        assert issued.kubectl("auth", "can-i", verb, what, "--as", account, *where, check=False).stdout.strip() == "no"


def settled(stack: OwnStack) -> None:
    """Waits until the roll-out is over and only its two pods are left."""
    stack.kubectl("rollout", "status", f"deployment/{DEPLOYMENT}", "--namespace", stack.namespace, "--timeout=120s")
    selector = "app.kubernetes.io/name=teleport-access-graph"
    listing = ("pods", "--namespace", stack.namespace, "--selector", selector)
    eventually(
        lambda: len(stack.get(*listing)["items"]) == len(names(stack)) == 2, SECONDS, "two pods, and no old ones"
    )


def digest(stack: OwnStack) -> str:
    text = secret_values(stack, stack.namespace, ISSUED_SECRET_NAME)["tls.crt"]
    return hashlib.sha256(text.encode()).hexdigest()


def annotation(stack: OwnStack) -> str | None:
    live = stack.get("deployment", DEPLOYMENT, "--namespace", stack.namespace)
    value: str | None = live["spec"]["template"]["metadata"].get("annotations", {}).get(ANNOTATION)
    return value


def test_a_look_that_finds_the_same_certificate_restarts_nothing(issued: OwnStack) -> None:
    pods = names(issued)
    assert look(issued, "finds-the-same") == ""
    assert names(issued) == pods


def test_a_renewal_in_between_is_served_by_new_pods_and_touches_nothing_else(
    issued: OwnStack, manager: CertManager
) -> None:
    """The first certificate is issued as if almost an hour ago, so that it is due soon."""
    manager.set_back(timedelta(minutes=59, seconds=50))
    renew(issued, issued.namespace, ISSUED_CERTIFICATE_NAME)
    assert look(issued, "finds-an-old-one").endswith(f"the certificate is another one: {digest(issued)}\n")
    settled(issued)
    before, pods, others = certificate_of(issued), names(issued), pods_of_others(issued)
    due = before.not_valid_after_utc - timedelta(hours=1)
    assert served(issued) == {before.serial_number}
    manager.set_back(timedelta())
    eventually(lambda: certificate_of(issued) != before, SECONDS, "renewed when due")
    after = certificate_of(issued)
    assert after.not_valid_before_utc >= due
    assert after.public_key() != before.public_key()
    assert served(issued) == {before.serial_number}
    look(issued, "finds-the-renewed-one")
    settled(issued)
    assert served(issued) == {after.serial_number}
    assert not pods & names(issued)
    assert pods_of_others(issued) == others


def test_an_up_after_it_changes_nothing(issued: OwnStack) -> None:
    pods = names(issued)
    issued.pulumi("up", "--expect-no-changes")
    assert names(issued) == pods
    # The engine still knows the former certificate's end, which is earlier than that of the served one.
    assert issued.outputs()["certificateNotAfter"] < f"{certificate_of(issued).not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"


def test_an_up_that_rolls_the_pods_keeps_the_restarters_mark(issued: OwnStack) -> None:
    mark = annotation(issued)
    assert mark is not None
    issued.change(lambda settings: settings["accessGraph"].update(logLevel="DEBUG"))
    issued.pulumi("up")
    assert annotation(issued) == mark


def test_an_external_reloader_takes_the_restarter_away_and_nothing_else(issued: OwnStack) -> None:
    issued.change(lambda settings: settings["tls"].update(reloader={"mode": "external"}))
    pods = names(issued)
    steps = operations(issued.preview())
    assert set(steps.values()) == {"delete"}
    assert {name.partition("restarter")[0] for name in steps} == {"certificate-"}
    issued.pulumi("up")
    for kind in ("cronjob", "role", "rolebinding"):
        assert issued.get(kind, "--namespace", issued.namespace)["items"] == []
    assert issued.kubectl(
        "get", "serviceaccount", CERTIFICATE_RESTARTER_NAME, "--namespace", issued.namespace, check=False
    ).returncode
    assert names(issued) == pods


def test_another_authority_behind_the_issuer_issues_nothing_anew_and_the_old_one_may_not_go_yet(
    issued: OwnStack, manager: CertManager
) -> None:
    bundle, before = issued.settings["tls"]["trustBundleFile"], certificate_of(issued)
    apply(issued, tls_secret(issued.namespace, "next-ca", NEXT))

    def to(secret: str, trusted: str) -> None:
        issuer = {"mode": "ca", "secretName": secret}
        issued.change(lambda settings: settings["tls"].update(issuer=issuer, trustBundleFile=trusted))

    to("next-ca", trust_file(issued, "both.pem", INTERNAL, NEXT))
    assert operations(issued.preview())["issued-certificate-issuer"] == "update"
    issued.pulumi("up")
    assert certificate_of(issued) == before
    to("next-ca", trust_file(issued, "next.pem", NEXT))
    finding = operate(issued, "preflight")["certificate.chain"]
    assert finding["outcome"] == "fail"
    assert "its issuer is CN=Internal CA, and the bundle has CN=Next CA" in finding["reason"]
    renew(issued, issued.namespace, ISSUED_CERTIFICATE_NAME)
    certificate_of(issued).verify_directly_issued_by(NEXT.certificate)
    assert operate(issued, "preflight")["certificate.chain"]["outcome"] == "pass"
    to("internal-ca", bundle)
    issued.pulumi("up")
    renew(issued, issued.namespace, ISSUED_CERTIFICATE_NAME)
    assert operate(issued, "preflight")["certificate.chain"]["outcome"] == "pass"


def test_a_renewal_that_the_issuer_refuses_is_diagnosed_and_can_be_asked_for_again(
    issued: OwnStack, manager: CertManager
) -> None:
    """cert-manager calls an issuer ready even if its key does not belong to its certificate."""
    assert diagnosed(issued) == []
    apply(issued, tls_secret(issued.namespace, "internal-ca", Pair(INTERNAL.certificate, NEXT.key)))
    finding = operate(issued, "preflight")["certificate.issuer"]
    assert (finding["outcome"], finding["reason"].partition(";")[0]) == (
        "fail",
        "tls.key belongs to another certificate",
    )
    before = ask(issued, issued.namespace, ISSUED_CERTIFICATE_NAME)
    eventually(lambda: diagnosed(issued) != [], SECONDS, "the refusal is seen")
    (found,) = diagnosed(issued)
    assert "provided PrivateKey doesn't match parent's PublicKey" in found["evidence"]
    assert "cmctl renew teleport-access-graph" in found["remedy"]
    live = issued.get("certificate.cert-manager.io", ISSUED_CERTIFICATE_NAME, "--namespace", issued.namespace)
    assert outcomes(live["status"]["conditions"]) == {"Ready": "True", "Issuing": "False"}
    assert live["status"]["revision"] == before["status"]["revision"]
    apply(issued, tls_secret(issued.namespace, "internal-ca", INTERNAL))
    renew(issued, issued.namespace, ISSUED_CERTIFICATE_NAME)
    assert diagnosed(issued) == []


def diagnosed(stack: OwnStack) -> list[dict[str, str]]:
    """The findings of `diagnose` about the Certificate."""
    found: list[dict[str, str]] = json.loads(stack.operations("diagnose", "--json", check=False).stdout)
    return [one for one in found if one["where"].startswith("Certificate ")]


REFUSED: list[dict[str, Any]] = [
    {"duration": "24h0m0s", "renewBefore": "24h0m0s"},
    {"duration": "59m0s", "renewBefore": "10m0s"},
    {"dnsNames": []},
    {"issuerRef": {"name": "a", "kind": "AWSPCAIssuer"}},
    {"privateKey": {"algorithm": "ECDSA", "size": 255}},
    {"privateKey": {"algorithm": "RSA", "size": 1024}},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
def test_what_its_webhook_refuses_is_forbidden(issued: OwnStack, manager: CertManager, changes: dict[str, Any]) -> None:
    """A preview does not show what cert-manager's webhook refuses, so settings and components refuse it themselves."""
    patch = json.dumps({"spec": changes})
    refused = issued.kubectl(
        "patch", "certificate.cert-manager.io", ISSUED_CERTIFICATE_NAME, "--namespace", issued.namespace,
        "--dry-run=server", "--type=merge", "--patch", patch, check=False,
    )  # fmt: skip
    assert refused.returncode != 0
    assert "(Forbidden)" in refused.stderr


def test_an_issuer_that_is_there_signs_as_well(issued: OwnStack, manager: CertManager) -> None:
    """A ClusterIssuer of the same authority, so that nobody needs to trust another one."""
    apply(issued, tls_secret("cert-manager", "cluster-ca", INTERNAL))
    apply(
        issued,
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": "cluster-ca"},
            "spec": {"ca": {"secretName": "cluster-ca"}},
        },
    )
    issued.change(lambda settings: settings["tls"].update(issuer={"mode": "existing", "name": "cluster-ca"}))
    steps = operations(issued.preview())
    assert steps == {"issued-certificate-certificate": "update", "issued-certificate-issuer": "delete"}
    before = certificate_of(issued)
    issued.pulumi("up")
    assert certificate_of(issued) != before
    assert secret_annotation(issued, "cert-manager.io/issuer-name") == "cluster-ca"
    findings = operate(issued, "preflight")
    assert findings["certificate.issuer"]["outcome"] == "pass"
    assert findings["certificate.issuer"]["reason"] == "Signing CA verified"


def secret_annotation(stack: OwnStack, key: str) -> str:
    value: str = stack.get("secret", ISSUED_SECRET_NAME, "--namespace", stack.namespace)["metadata"]["annotations"][key]
    return value


PAIR_CHECKS = [f"certificate.{part}" for part in ("pair", "names", "uses", "dates", "chain")]


def test_a_pair_of_somebody_elses_is_checked_before_an_up(issued: OwnStack) -> None:
    """Everything is wrong with the first pair, and `preflight` reports all of it."""

    def change(settings: Settings) -> None:
        bundle = settings["tls"]["trustBundleFile"]
        settings["tls"] = {
            "mode": "existingSecret",
            "secretName": "pair",
            "trustBundleFile": bundle,
            "reloader": {"mode": "external"},
        }

    issued.change(change)
    missing = operate(issued, "preflight")["certificate.pair"]
    assert missing["outcome"] == "fail"
    assert f"there is no Secret pair in {issued.namespace}" in missing["reason"]
    now = datetime.now(timezone.utc)
    stranger = server(
        authority("Stranger"),
        names=["another.example"],
        begins=now - timedelta(days=2),
        ends=now - timedelta(days=1),
        uses=[ExtendedKeyUsageOID.CLIENT_AUTH],
    )
    mixed = Pair(stranger.certificate, INTERNAL.key)
    apply(issued, tls_secret(issued.namespace, "pair", mixed))
    findings = operate(issued, "preflight")
    assert {check: findings[check]["outcome"] for check in PAIR_CHECKS} == dict.fromkeys(PAIR_CHECKS, "fail")
    assert "its issuer is CN=Stranger, and the bundle has CN=Internal CA" in findings["certificate.chain"]["reason"]
    right = own_pair(issued)
    apply(issued, tls_secret(issued.namespace, "pair", right))
    findings = operate(issued, "preflight")
    assert {check: findings[check]["outcome"] for check in PAIR_CHECKS} == dict.fromkeys(PAIR_CHECKS, "pass")


def own_pair(stack: OwnStack) -> Pair:
    now = datetime.now(timezone.utc)
    host = service_host(DEPLOYMENT, stack.namespace)
    return server(INTERNAL, names=[host], begins=now - timedelta(hours=1), ends=now + timedelta(days=30))


def test_the_pair_is_served_and_the_certificate_of_before_is_gone(issued: OwnStack) -> None:
    issued.pulumi("up")
    text = secret_values(issued, issued.namespace, "pair")["tls.crt"]
    assert served(issued) == {x509.load_pem_x509_certificate(text.encode()).serial_number}
    assert issued.get("certificates.cert-manager.io", "--namespace", issued.namespace)["items"] == []
    outputs = issued.outputs()
    assert outputs["tlsSecretName"] == "pair"
    assert outputs["teleportConfig"][CLUSTER]["access_graph"]["ca"]
    issued.pulumi("up", "--expect-no-changes")


def test_with_trust_system_nobody_is_told_of_an_authority(issued: OwnStack) -> None:
    pods = names(issued)

    def change(settings: Settings) -> None:
        del settings["tls"]["trustBundleFile"]
        settings["tls"]["trust"] = "system"

    issued.change(change)
    issued.pulumi("up")
    outputs = issued.outputs()
    host = service_host(DEPLOYMENT, issued.namespace)
    assert outputs["teleportConfig"][CLUSTER] == {"access_graph": {"enabled": True, "endpoint": f"{host}:443"}}
    assert outputs.get("caBundle") is None
    assert outputs["ledger"]["trust"]["authorities"] is None
    assert names(issued) == pods


def test_destroying_it_leaves_nothing(issued: OwnStack) -> None:
    issued.pulumi("destroy")
    assert issued.kubectl("get", "namespace", issued.namespace, check=False).returncode != 0
