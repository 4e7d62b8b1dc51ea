"""Diagnose: each log line that operators have seen leads to its cause, and what has been repaired is not reported as a
symptom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings
from operations.cluster import Cluster
from operations.diagnose import diagnose_stack
from operations.symptoms import OBJECT_SYMPTOMS, SYMPTOMS
from tests.unit.certificates.pki import authority
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.world import (
    AUTH_READY,
    CLUSTER,
    CONNECTED,
    GRAPH,
    configuration,
    put_deployment,
    put_pod,
    put_world,
    settings,
    settings_of_mode,
)
from tests.unit.settings.cases_tls import ISSUED

UNLICENSED = [
    f"INFO Access Graph specified in config, but {reason}. Access graph sync will not be enabled."
    for reason in (
        "the license does not include Teleport Access Graph and demo mode not enabled",
        "the license does not include Teleport Policy",
        "license is not for the Team plan",
    )
]
DIAL = "WARN [ACCESSGRAPH] Failed to connect to Access Graph service, retrying error:"
SEEN = [
    ("auth", f"{DIAL} could not find host CA", "does not know the host CA"),
    ("auth", "ERROR could not find host CA", "does not know the host CA"),
    ("auth", f"{DIAL} remote error: tls: unknown certificate authority", "does not know the host CA"),
    ("proxy", "ERROR [WEB] access graph: Unexpected end of JSON input", "the access graph did not answer then"),
    (
        "auth",
        f"{DIAL} tls: failed to verify certificate: x509: certificate is valid for a.b, not c.d",
        "not for the host",
    ),
    ("auth", f"{DIAL} x509: certificate has expired or is not yet valid: current time", "outside of its validity"),
    ("access-graph", "x509: certificate has expired or is not yet valid: current time", "outside of its validity"),
    (
        "auth",
        f"{DIAL} tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "does not trust the CA",
    ),
    ("auth", f"{DIAL} x509: certificate relies on legacy Common Name field, use SANs instead", "not for the host"),
    (
        "access-graph",
        "handshake failed: remote error: tls: bad certificate",
        "does not trust the access graph's certificate",
    ),
    ("auth", "ERROR: open /var/run/access-graph/ca.pem: no such file or directory", "cannot read its CA file"),
    ("auth", "INFO Access Graph is not started: the license does not include it", "licence does not cover"),
    *(("auth", line, "licence does not cover") for line in UNLICENSED),
    ("auth", "ERROR license file not found: open /var/lib/license/license.pem", "has no licence file"),
    # https://github.com/gravitational/teleport/issues/24954
    (
        "auth",
        "ERROR: auth server requires a valid license file to start, please set the correct license_file path",
        "has no licence file",
    ),
    ("auth", "ERROR stat /var/lib/license/license.pem: no such file or directory", "has no licence file"),
    ("access-graph", "FATAL: password authentication failed for user", "the database refuses"),
    # pgx 5 wraps a server's answer or a TLS error in this form.
    *(
        ("access-graph", f"failed to connect to `user=a database=g`: 10.0.0.1:5432 (db): {said}", cause)
        for said, cause in (
            ('server error: FATAL: role "a" is not permitted to log in (SQLSTATE 28000)', "the database refuses"),
            ('server error: FATAL: role "a" does not exist (SQLSTATE 28000)', "the database refuses"),
            ('server error: FATAL: database "g" does not exist (SQLSTATE 3D000)', "the database refuses"),
            (
                "tls error: tls: failed to verify certificate: x509: certificate signed by unknown authority",
                "does not trust the database's certificate",
            ),
            (
                "tls error: x509: certificate has expired or is not yet valid",
                "does not trust the database's certificate",
            ),
        )
    ),
    ("access-graph", "dial tcp: lookup db.rds.amazonaws.com: no such host, postgres", "database cannot be reached"),
    # From pgx 5.7 on, each attempt has a line of its own; the port is another one in production.
    *(
        ("access-graph", line, "database cannot be reached")
        for line in (
            "10.0.0.1:6432 (db.example.com): dial error: dial tcp 10.0.0.1:6432: connect: connection refused",
            "dial tcp 10.0.0.1:6432: i/o timeout",
            "dial tcp [fd00::1]:1150: connect: no route to host",
            "lookup graph.abcdefghijkl.eu-central-1.rds.amazonaws.com on 10.100.0.10:53: no such host",
        )
    ),
    (
        "access-graph",
        'unrecognized configuration parameter "pool_max_conns"',
        "a parameter that the access graph's driver",
    ),
    ("auth", "access graph: dial tcp 10.0.0.1:443: connection refused", "does not answer at its endpoint"),
]


@pytest.mark.parametrize(("role", "line", "cause"), SEEN)
def test_a_line_leads_to_its_cause(role: str, line: str, cause: str) -> None:
    first = next(symptom for symptom in SYMPTOMS if symptom.fits(role, line))
    assert cause in first.cause
    assert first.remedy


def test_every_row_has_a_line_that_was_seen() -> None:
    hit = {
        next(position for position, symptom in enumerate(SYMPTOMS) if symptom.fits(role, line))
        for role, line, _ in SEEN
    }
    assert hit == {*range(len(SYMPTOMS))}


@pytest.mark.parametrize(
    ("role", "line"),
    [
        # AWS's API and EKS Pod Identity's agent, which TAG calls for a token.
        ("access-graph", 'Post "https://sts.eu-central-1.amazonaws.com/": dial tcp 192.0.2.1:443: i/o timeout'),
        ("access-graph", "dial tcp 169.254.170.23:80: connect: connection refused"),
        ("proxy", "http: TLS handshake error from 203.0.113.9:51123: remote error: tls: unknown certificate"),
        ("proxy", "http: TLS handshake error from 203.0.113.9:51123: remote error: tls: unknown certificate authority"),
        ("proxy", "WARN x509: certificate is valid for a.example.com, not b.example.com"),
        ("proxy", "WARN [WEB] request failed: unexpected end of JSON input"),
        (
            "auth",
            'Failed to fetch OIDC configuration: Get "https://idp": x509: certificate signed by unknown authority',
        ),
        ("auth", "http: TLS handshake error from 10.1.2.3:4433: tls: failed to verify certificate: x509: expired"),
        ("auth", "WARN x509: certificate has expired or is not yet valid: current time"),
        ("auth", "INFO [PROC:1] Using license file /var/lib/license/license.pem"),
        ("auth", "WARN this cluster is not licensed for device trust"),
    ],
)
def test_what_teleport_says_of_others_is_no_symptom(role: str, line: str) -> None:
    assert [symptom.cause for symptom in SYMPTOMS if symptom.fits(role, line)] == []


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('FailedMount: MountVolume.SetUp failed: configmap "teleport-access-graph-ca" not found', "CA is gone"),
        ('FailedMount: secret "license" not found', "something that the pod mounts"),
        ("ImagePullBackOff: Back-off pulling image", "cannot be pulled"),
        ("OOMKilled: ", "out of memory"),
        ('FailedCreate: pods "x" is forbidden: violates PodSecurity "restricted:latest"', "pod security standard"),
        ("FailedScheduling: 0/3 nodes are available: 3 Insufficient memory", "no node takes the pod"),
        ('FailedCreate: pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3', "ResourceQuota or"),
        ('FailedCreate: pods "x" is forbidden: failed quota: q: must specify limits.cpu for: x', "ResourceQuota or"),
        (
            'FailedCreate: pods "x" is forbidden: maximum memory usage per Container is 256Mi, but limit is 1Gi',
            "LimitRange of the namespace",
        ),
        (
            'FailedCreate: Internal error occurred: failed calling webhook "validate.example.com": failed to call '
            'webhook: Post "https://policy.policy.svc:443/validate?timeout=10s": connection refused',
            "webhook does not answer",
        ),
        (
            'FailedCreate: admission webhook "validate.example.com" denied the request: images need a digest',
            "admission policy refuses",
        ),
        (
            "FailedCreate: pods \"x\" is forbidden: ValidatingAdmissionPolicy 'digests' with binding 'all' denied "
            "request: images need a digest",
            "admission policy refuses",
        ),
        ("CrashLoopBackOff: back-off 5m0s restarting failed container", "exits again and again"),
    ],
)
def test_an_events_message_leads_to_its_cause(message: str, cause: str) -> None:
    assert cause in next(symptom.cause for symptom in OBJECT_SYMPTOMS if symptom.pattern.search(message))


@pytest.mark.parametrize("role", ["auth", "proxy", "access-graph"])
@pytest.mark.parametrize(
    "message",
    [
        "FailedScheduling: 0/1 nodes are available",
        "ImagePullBackOff: Back-off pulling image",
        "OOMKilled: ",
        "FailedCreate: exceeded quota: q, requested: pods=1",
        'FailedCreate: admission webhook "validate.example.com" denied the request: no',
    ],
)
def test_what_any_pod_may_meet_is_mended_where_its_own_settings_are(role: str, message: str) -> None:
    (remedy,) = {symptom.remedy for symptom in OBJECT_SYMPTOMS if symptom.fits(role, message)}
    assert ("accessGraph." in remedy) == (role == "access-graph")
    assert ("Teleport's values" in remedy) == (role != "access-graph")


def test_a_right_stack_has_no_findings(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def test_another_cluster_is_not_looked_at_under_the_stacks_names(api: KubernetesApi, tmp_path: Path) -> None:
    """Object names are the same in every environment: a sound result could be about the wrong cluster."""
    put_world(api)
    api.put("Namespace", "kube-system", uid="other")
    found = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert [one.where for one in found] == ["context test"], "once, whatever of the stack's is in it"
    assert found[0].evidence.startswith("test: is another cluster than the stack's: UID of kube-system is other, ")
    # A user who may not read the cluster's identity can still diagnose.
    api.refuse = {"/namespaces/kube-system": 403}
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


AUTHORITIES = "/api/v1/namespaces/teleport/configmaps/teleport-access-graph-ca"


def test_logs_events_states_and_releases_are_looked_at(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    del api.objects[AUTHORITIES]
    api.logs["teleport-auth-0"] = CONNECTED + "WARN Access Graph: could not find host CA\n"
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}
    put_pod(api, "teleport-proxy", started=AUTH_READY, ready=False, state=waiting)
    api.put(
        "Event",
        "e",
        "teleport",
        involvedObject={"kind": "Pod", "name": "teleport-auth-0"},
        type="Warning",
        reason="FailedMount",
        message='configmap "teleport-access-graph-ca" not found',
    )
    put_release(api, 3, "pending-upgrade", {})
    found = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert [one.where for one in found] == [
        "release teleport",
        "log of teleport-auth-0",
        "event of teleport-auth-0",
        "container teleport of teleport-proxy-0",
    ]
    assert found[1].evidence == "WARN Access Graph: could not find host CA"


def test_what_an_init_container_waits_for_is_told(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    pod = api.objects["/api/v1/namespaces/teleport/pods/teleport-auth-0"]
    status = {**pod["status"]["containerStatuses"][0], "name": "wait-auth-update", "state": {"waiting": waiting}}
    pod["status"]["initContainerStatuses"] = [status]
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, "cannot be pulled" in found.cause) == ("container wait-auth-update of teleport-auth-0", True)


NO_CA = "ERROR: open /var/run/access-graph/ca.pem: no such file or directory\n"


@pytest.mark.parametrize(("restarts", "run"), [(0, "teleport-auth-0"), (3, "teleport-auth-0:previous")])
def test_of_a_container_that_is_down_it_is_the_last_run_that_says_why(
    restarts: int, run: str, api: KubernetesApi, tmp_path: Path
) -> None:
    """After a restart, the reason is in the log of the run before the current one; before the first restart there is no
    such log."""
    put_world(api)
    put_pod(api, "teleport-auth", started=AUTH_READY, ready=False, state={"terminated": {"exitCode": 1}})
    (status,) = api.objects["/api/v1/namespaces/teleport/pods/teleport-auth-0"]["status"]["containerStatuses"]
    status["restartCount"] = restarts
    del api.logs["teleport-auth-0"]
    api.logs[run] = NO_CA
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == ("log of teleport-auth-0", NO_CA.strip())


def test_where_a_node_does_not_give_the_log_the_events_are_still_told(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    del api.objects[AUTHORITIES]
    api.refuse = {"/pods/teleport-auth-0/log": 500}
    api.put(
        "Event",
        "e",
        "teleport",
        involvedObject={"kind": "Pod", "name": "teleport-auth-0"},
        type="Warning",
        reason="FailedMount",
        message='configmap "teleport-access-graph-ca" not found',
    )
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.where == "event of teleport-auth-0"


def test_what_was_mended_is_no_symptom(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.logs["teleport-auth-0"] = "WARN Access Graph: could not find host CA\n" + CONNECTED
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def reported(message: str, reason: str) -> str:
    """An error as Teleport's text log writes it: over several lines."""
    return (
        f"2026-06-01T12:09:00.100Z ERROR [PROC:1]    {message} error:[\nERROR REPORT:\n"
        f"Original Error: *status.Error rpc error: code = Unavailable desc = {reason}\nStack Trace:\n"
        "\tgithub.com/gravitational/teleport/e/lib/accessgraph/registration.go:61 accessgraph.Register\n"
        f"User Message: rpc error: code = Unavailable desc = {reason}] accessgraph/service.go:210\n"
        "2026-06-01T12:09:01.100Z INFO  [AUTH:1]    Something else\n"
    )


UNTRUSTED = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
REGISTRATION = "Access graph registration failed"


def test_an_error_that_teleport_writes_over_several_lines_is_one(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.logs["teleport-auth-0"] = reported(REGISTRATION, UNTRUSTED)
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert "auth does not trust the CA" in found.cause
    assert found.evidence.startswith("2026-06-01T12:09:00.100Z ERROR [PROC:1]    Access graph registration failed")
    assert UNTRUSTED in found.evidence
    api.logs["teleport-auth-0"] = reported("Failed to fetch OIDC configuration", UNTRUSTED)
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def test_what_auth_repeats_for_as_long_as_it_lasts_is_over_when_it_no_longer_does(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """At level INFO, auth writes no line when it is connected again."""
    put_world(api)
    api.logs["teleport-auth-0"] = reported(REGISTRATION, UNTRUSTED)
    api.logs["teleport-auth-0:recent"] = ""
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []
    api.logs["teleport-auth-0"] += UNLICENSED[0]
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert "licence does not cover" in found.cause


INSTALLED_AGAIN = (
    "`recover`, `helm --kube-context test --namespace teleport install teleport <its chart> --values "
    "<its valuesFiles>`, then `up`, which takes it over, if namespace and release are right"
)


def test_a_missing_deployment_is_a_finding(api: KubernetesApi, tmp_path: Path) -> None:
    found = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert [one.evidence for one in found] == ["does not exist"] * 3
    assert {one.where.split()[1]: one.remedy for one in found} == {
        GRAPH: "`up --refresh` makes it, if namespace and release are right",
        # This release is adopted: an `up` takes over a running release and installs nothing.
        "teleport-auth": INSTALLED_AGAIN,
        "teleport-proxy": INSTALLED_AGAIN,
    }


CERTIFICATES = f"/apis/cert-manager.io/v1/namespaces/{GRAPH}/certificates/teleport-access-graph"
CLUSTER_ISSUER = "/apis/cert-manager.io/v1/clusterissuers/internal-ca"
READY = {"type": "Ready", "status": "True", "reason": "Ready", "message": "Certificate is up to date"}
MISSING = {"type": "Ready", "status": "False", "reason": "DoesNotExist", "message": "Secret does not exist"}
REFUSED = {
    "type": "Issuing",
    "status": "False",
    "reason": "Failed",
    "message": "Error signing certificate: provided PrivateKey doesn't match parent's PublicKey",
}
UNISSUED = [
    ([MISSING], None, "ClusterIssuer internal-ca", "does not exist", "correct what it names, or tls.issuer"),
    ([MISSING], {"status": "False", "message": "no keypair"}, "ClusterIssuer internal-ca", "no keypair", "tls.issuer"),
    ([MISSING], {}, "ClusterIssuer internal-ca", "says nothing", "tls.issuer"),
    (
        [MISSING],
        {"status": "True"},
        "Certificate teleport-access-graph",
        "Secret does not exist",
        "describe certificaterequests",
    ),
    ([], {"status": "True"}, "Certificate teleport-access-graph", "says nothing", "describe certificaterequests"),
    (
        [MISSING, REFUSED],
        {"status": "True"},
        "Certificate teleport-access-graph",
        "Failed: Error signing certificate",
        f"`cmctl renew teleport-access-graph --namespace {GRAPH}` asks at once",
    ),
]


def put_certificate(api: KubernetesApi, conditions: list[dict[str, str]], issuer: dict[str, str] | None) -> None:
    api.objects[CERTIFICATES] = {"metadata": {}, "status": {"conditions": conditions}}
    if issuer is not None:
        api.objects[CLUSTER_ISSUER] = {"metadata": {}, "status": {"conditions": [{"type": "Ready", **issuer}]}}


def issued(root: Path) -> Settings:
    (root / "authorities.pem").write_text(authority("Root").pem)
    return settings(root, tls=ISSUED)


@pytest.mark.parametrize(("conditions", "issuer", "where", "evidence", "remedy"), UNISSUED)
def test_a_certificate_that_is_not_issued_is_told_with_the_reason_and_not_as_a_missing_deployment(
    api: KubernetesApi,
    tmp_path: Path,
    conditions: list[dict[str, str]],
    issuer: dict[str, str] | None,
    where: str,
    evidence: str,
    remedy: str,
) -> None:
    put_world(api)
    del api.objects[f"/apis/apps/v1/namespaces/{GRAPH}/deployments/teleport-access-graph"]
    put_certificate(api, conditions, issuer)
    (found,) = diagnose_stack(issued(tmp_path), Cluster.connect)
    assert found.where.startswith(where)
    assert evidence in found.evidence
    assert remedy in found.remedy


def test_a_renewal_that_was_refused_is_told_while_the_certificate_still_counts(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    put_certificate(api, [READY], None)
    assert diagnose_stack(issued(tmp_path), Cluster.connect) == []
    put_certificate(api, [READY, REFUSED], {"status": "True"})
    refused = f"Certificate teleport-access-graph in {GRAPH}"
    assert [one.where for one in diagnose_stack(issued(tmp_path), Cluster.connect)] == [refused]
    del api.objects[f"/apis/apps/v1/namespaces/{GRAPH}/deployments/teleport-access-graph"]
    put_release(api, 1, "deployed", {}, name=GRAPH, namespace=GRAPH, chart="teleport-access-graph")
    assert [one.where for one in diagnose_stack(issued(tmp_path), Cluster.connect)] == [
        refused,
        f"Deployment teleport-access-graph in {GRAPH}",
    ], "that it is gone has another reason"


def test_a_certificate_that_was_never_asked_for_is_no_finding(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    assert diagnose_stack(issued(tmp_path), Cluster.connect) == []


@pytest.mark.parametrize(("mode", "maker"), [("release", "`up --refresh`"), ("values", "the release's owner")])
def test_a_deployment_is_made_by_whoever_owns_the_release(
    mode: str, maker: str, api: KubernetesApi, tmp_path: Path
) -> None:
    stack = settings_of_mode(tmp_path, mode)
    if mode == "release":
        entry = {**configuration()["teleport"][CLUSTER], "adopt": False}
        stack = settings(tmp_path, teleport={CLUSTER: entry})
    put_world(api)
    gone(api, "teleport-auth")
    # Helm restores what it has recorded; to an `up`, with a refresh or without, nothing has changed.
    (found,) = diagnose_stack(stack, Cluster.connect)
    assert found.remedy == "helm --kube-context test --namespace teleport rollback teleport 2 --wait"
    gone(api, "sh.helm.release.v1.teleport.v2")
    (found,) = diagnose_stack(stack, Cluster.connect)
    assert found.remedy == f"{maker} makes it, if namespace and release are right"


OBJECTS = """
---
# Source: teleport-access-graph/templates/service.yaml
apiVersion: v1
kind: Service
metadata: {name: teleport-access-graph}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: teleport-access-graph}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: teleport-access-graph}
---
apiVersion: batch/v1
kind: Job
metadata: {name: may-have-been-deleted-after-its-end}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: of-a-kind-that-only-sounds-known}
---
"""


def test_an_object_of_a_release_that_somebody_deleted_is_told_with_the_revision_that_has_it(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """No preview shows it, not even with a refresh, and pods that run log nothing of it."""
    put_world(api)
    put_release(api, 3, "deployed", {}, name=GRAPH, namespace=GRAPH, chart=GRAPH, manifest=OBJECTS)
    service = api.put("Service", GRAPH, GRAPH)["metadata"]["name"]
    api.put("ClusterRole", GRAPH)
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []
    del api.objects[f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{GRAPH}"]
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.where == f"ClusterRole {GRAPH}", "it is in no namespace"
    api.put("ClusterRole", GRAPH)
    del api.objects[f"/api/v1/namespaces/{GRAPH}/services/{service}"]
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == (f"Service {GRAPH} in {GRAPH}", "does not exist")
    assert found.remedy == f"helm --kube-context test --namespace {GRAPH} rollback {GRAPH} 3 --wait"
    api.refuse[f"/services/{service}"] = 403
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == [], "what may not be read may exist"


def gone(api: KubernetesApi, name: str) -> None:
    (path,) = [path for path in api.objects if path.endswith(("/deployments/" + name, "/secrets/" + name))]
    del api.objects[path]


GAVE_UP = 'Upgrade "teleport" failed: context deadline exceeded'
BEFORE, DURING = "2026-06-01T11:00:00Z", "2026-06-01T12:00:40Z"


def put_event(
    api: KubernetesApi, about: str, at: str, text: str, *, namespace: str = "teleport", first: str | None = None
) -> None:
    reason, _, message = text.partition(": ")
    api.put(
        "Event",
        f"{about}.{len(api.objects)}",
        namespace,
        involvedObject={"kind": "Pod", "name": about},
        type="Normal" if reason == "ScalingReplicaSet" else "Warning",
        reason=reason,
        message=message,
        firstTimestamp=first or at,
        lastTimestamp=at,
    )


SCALED = f"ScalingReplicaSet: Scaled up replica set {GRAPH}-877c7d544 from 0 to 2"
MOUNTED = "FailedMount: MountVolume.SetUp failed for volume"


def test_an_installation_that_helm_took_back_is_told_with_what_was_said_of_its_pods(
    api: KubernetesApi, tmp_path: Path
) -> None:
    """When the first `up` fails, the engine reports only that Helm ran out of time; neither the pods nor Helm's record
    are left."""
    put_world(api)
    gone(api, GRAPH)
    pod = f"{GRAPH}-877c7d544-4wcbs"

    def said(at: str, text: str, first: str | None = None, about: str = pod) -> None:
        put_event(api, about, at, text, namespace=GRAPH, first=first)

    # Events of an earlier attempt, whose cause was corrected.
    said(BEFORE, SCALED, about=GRAPH)
    said(BEFORE, 'Failed: Failed to pull image "registry.example.com/graph:1.30.2": not found')
    assert diagnose_stack(settings(tmp_path), Cluster.connect)[0].cause.startswith("the image cannot be pulled")
    said("2026-06-01T12:00:00Z", SCALED, about=GRAPH)
    said(DURING, "BackOff: Back-off restarting failed container")
    reason, missing = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (reason.where, reason.evidence) == (f"event of {pod}", "BackOff: Back-off restarting failed container")
    assert "Helm has since removed" in reason.cause
    assert "ask again while the next `up` waits" in reason.remedy
    assert (missing.where, missing.evidence) == (f"Deployment {GRAPH} in {GRAPH}", "does not exist")
    assert missing.cause.startswith("Helm removed it again because it did not get ready")
    assert missing.remedy == "`up --refresh` makes it, once the causes found for its pods are corrected"
    # While Helm deletes the release, pods that never started miss its ConfigMap. That is a consequence, not the cause.
    said(DURING, f'{MOUNTED} "tls" : secret "own-tls" not found', "2026-06-01T12:00:01Z")
    said(DURING, f'{MOUNTED} "config" : configmap "{GRAPH}-config" not found')
    reason, missing = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert reason.evidence == f'{MOUNTED} "tls" : secret "own-tls" not found'
    assert reason.cause == "something that the pod mounts does not exist"
    assert "the Secrets that tls and database name" in reason.remedy
    assert missing.evidence == "does not exist"


def test_an_installation_of_which_nothing_is_said_any_more_is_missing_as_before(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    gone(api, GRAPH)
    put_event(api, f"{GRAPH}-877c7d544-4wcbs", DURING, "Unhealthy: of one that ran", namespace=GRAPH)
    (missing,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert missing.cause.startswith("it was never made")


def test_an_event_of_before_the_pods_were_there_again_is_over(api: KubernetesApi, tmp_path: Path) -> None:
    """A Secret that is missing for a while starts no rollout, and its events stay for an hour."""
    put_world(api)
    put_deployment(api, "teleport-auth", "teleport", rolled_out=BEFORE, available=DURING)
    put_event(api, "teleport-auth-7d4-k8", "2026-06-01T12:00:10Z", 'Failed: secret "own" not found')
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []
    put_event(api, "teleport-auth-7d4-k8", "2026-06-01T12:00:50Z", 'Failed: secret "own" not found')
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.cause == "something that the pod mounts does not exist"
    # The pod ran all the while, so nothing was rolled out or became available when it was made again.
    api.put("Secret", "own", "teleport")
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def put_failed_upgrade(api: KubernetesApi, reason: str = GAVE_UP) -> None:
    """Revision 3 did not become ready and Helm rolled back; the pods of revision 3 are gone."""
    put_world(api)
    put_release(api, 2, "superseded", {})
    put_release(api, 3, "failed", {}, description=reason)
    put_release(api, 4, "deployed", {}, description="Rollback to 2")


def test_a_failed_upgrade_is_told_with_helms_reason_and_the_pods_own(api: KubernetesApi, tmp_path: Path) -> None:
    put_failed_upgrade(api)
    put_event(api, "teleport-auth-7c9-x2", BEFORE, "FailedScheduling: 0/1 nodes are available")
    put_event(
        api, "teleport-auth-7d4-k8", DURING, 'FailedMount: MountVolume.SetUp failed: configmap "banner" not found'
    )
    put_event(api, "teleport-proxy-5f-aa", DURING, "Unhealthy: readiness probe failed")
    release, mount, other = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert release.evidence == f"revision 3 failed: {GAVE_UP}; revision 4: Rollback to 2"
    assert "what ran before runs again" in release.cause
    assert (mount.where, mount.cause) == (
        "event of teleport-auth-7d4-k8",
        "something that the pod mounts does not exist",
    )
    # The line matches no known cause, but it is all that there is about the proxies.
    assert other.evidence == "Unhealthy: readiness probe failed"
    assert "while revision 3 was being rolled out" in other.cause


def test_an_upgrade_that_was_cancelled_with_its_up_has_no_other_reason(api: KubernetesApi, tmp_path: Path) -> None:
    put_failed_upgrade(api, reason='Upgrade "teleport" failed: context canceled')
    put_event(api, "teleport-proxy-5f-aa", DURING, "Unhealthy: readiness probe failed")
    (release,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert release.cause.startswith("the last upgrade was cancelled with the `up`")
    assert release.remedy == "`up` again"


def test_a_release_that_was_taken_back_by_hand_is_told_with_the_way_forward(api: KubernetesApi, tmp_path: Path) -> None:
    """A plain `up` does not notice such a rollback."""
    put_world(api)
    put_release(api, 2, "superseded", {"log": {"level": "INFO"}})
    put_release(api, 3, "superseded", {"log": {"level": "DEBUG"}})
    put_release(api, 4, "deployed", {"log": {"level": "INFO"}}, description="Rollback to 2")
    # The revision that was rolled back has no access graph: it is from before the adoption.
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []
    put_release(api, 3, "superseded", {"auth": {"teleportConfig": {"access_graph": {"enabled": True}}}})
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.evidence == "revision 4: Rollback to 2"
    assert "rolled it back from revision 3 by hand" in found.cause
    assert f"change teleport.{CLUSTER}.timeoutSeconds" in found.remedy
    # Another owner of the release may do as he likes.
    assert diagnose_stack(settings_of_mode(tmp_path, "values"), Cluster.connect) == []


@pytest.mark.parametrize("former", ["deployed by hand", "pending"])
def test_a_release_that_was_given_its_own_values_again_is_sound(
    api: KubernetesApi, tmp_path: Path, former: str
) -> None:
    """Rolling a release back to the values that it has repairs what was edited behind Helm's back, and `recover` rolls
    back an upgrade that was killed."""
    put_world(api)
    if former == "pending":
        put_release(api, 2, "superseded", {})
        put_release(api, 3, "pending-upgrade", {"auth": {"teleportConfig": {"access_graph": {"enabled": True}}}})
    else:
        put_release(api, 3, "superseded", {})
    put_release(api, 4, "deployed", {}, description="Rollback to 3")
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def test_no_secret_of_a_log_an_event_or_helm_is_evidence(api: KubernetesApi, tmp_path: Path) -> None:
    """This holds even where the line is cut before the `@` that marks a password in a URI."""
    put_failed_upgrade(api, reason=f"{GAVE_UP} env DB_PASSWORD=canary")
    address = f"postgres://graph:canary{'x' * 300}@db.example.com/graph"
    api.logs["teleport-auth-0"] = CONNECTED + f"WARN Access Graph: could not find host CA {address}\n"
    put_event(api, "teleport-auth-7d4-k8", DURING, f'FailedMount: configmap "banner" not found {address}')
    put_event(api, "teleport-proxy-5f-aa", DURING, f"Unhealthy: {address}")
    found = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert [one.where for one in found] == [
        "release teleport",
        "log of teleport-auth-0",
        "event of teleport-auth-7d4-k8",
        "event of teleport-proxy-5f-aa",
    ]
    for one in found:
        assert "canary" not in one.evidence
        assert "[scrubbed]" in one.evidence


def test_an_upgrade_that_stays_failed_is_told_with_helms_reason(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_release(api, 3, "failed", {}, description=GAVE_UP)
    (release,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert release.evidence == f"revision 3 is failed: {GAVE_UP}"


def test_an_upgrade_that_worked_after_a_failed_one_ends_the_matter(api: KubernetesApi, tmp_path: Path) -> None:
    put_failed_upgrade(api)
    put_release(api, 5, "deployed", {}, description="Upgrade complete")
    put_event(api, "teleport-auth-7d4-k8", DURING, 'FailedMount: configmap "banner" not found')
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


def test_a_release_that_was_being_taken_away_is_told_once(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_release(api, 1, "uninstalling", {}, name=GRAPH, namespace=GRAPH)
    gone(api, GRAPH)
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == (f"release {GRAPH}", "revision 1 is uninstalling")
    assert "`recover` completes its removal" in found.remedy
    assert found.remedy.endswith(
        f"helm --kube-context test --namespace {GRAPH} rollback {GRAPH} 1 --wait brings it back"
    )


def test_an_event_after_the_rollout_counts(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_event(api, "teleport-auth-0", "2026-06-01T13:00:00Z", "FailedScheduling: 0/1 nodes are available")
    (event,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert event.cause == "no node takes the pod"


def of_auth(api: KubernetesApi) -> dict[str, Any]:
    return api.objects["/apis/apps/v1/namespaces/teleport/deployments/teleport-auth"]


QUOTA = 'pods "teleport-auth-7d4-k8" is forbidden: exceeded quota: compute'


@pytest.mark.parametrize(
    ("kind", "status", "reason", "message"),
    [
        ("ReplicaFailure", "True", "FailedCreate", QUOTA),
        ("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        ("Progressing", "False", "ProgressDeadlineExceeded", 'ReplicaSet "teleport-auth-7d4" has timed out.'),
    ],
)
def test_a_deployment_that_lacks_pods_is_a_finding_whatever_the_reason(
    kind: str, status: str, reason: str, message: str, api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    conditions = of_auth(api)["status"]["conditions"]
    conditions[:] = [one for one in conditions if one["type"] != kind]
    conditions.append({"type": kind, "status": status, "reason": reason, "message": message})
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == ("Deployment teleport-auth in teleport", f"{reason}: {message}")
    assert found.remedy.startswith("kubectl --context test --namespace teleport describe pods")
    # The cluster's latest message is quoted with the finding; a known cause comes before it.
    put_event(api, "teleport-auth-7d4-k8", "2026-06-01T13:00:00Z", "Unhealthy: readiness probe failed")
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.evidence == f"{reason}: {message}; Unhealthy: readiness probe failed"
    put_event(api, "teleport-auth-7d4-k8", "2026-06-01T13:00:00Z", "FailedScheduling: 0/1 nodes are available")
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert found.cause == "no node takes the pod"


def test_a_deployment_that_was_scaled_to_nothing_is_a_finding(api: KubernetesApi, tmp_path: Path) -> None:
    """A Deployment scaled to zero reports itself available, and has neither logs nor events to read."""
    put_world(api)
    of_auth(api)["spec"]["replicas"] = 0
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == ("Deployment teleport-auth in teleport", "spec.replicas is 0")
    assert found.remedy.startswith("kubectl --context test --namespace teleport scale deployment/teleport-auth ")


def test_a_namespace_that_is_held_says_by_what(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    waits = {"type": "NamespaceContentRemaining", "status": "True", "message": "configmaps. has 1 resource instances"}
    held = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "example.com/hold in 1 instances"}
    over = {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted"}
    api.put("Namespace", GRAPH, status={"phase": "Terminating", "conditions": [over, waits, held]})
    (found,) = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (found.where, found.evidence) == (f"namespace {GRAPH}", "example.com/hold in 1 instances")
    assert "it takes nothing new" in found.cause
    assert "kubectl patch <object>" in found.remedy

    api.put("Namespace", GRAPH, status={"phase": "Active"})
    assert diagnose_stack(settings(tmp_path), Cluster.connect) == []


LOCKED_OUT = f"{DIAL} could not find host CA"


def test_what_pods_say_is_told_where_helms_records_may_not_be_read(api: KubernetesApi, tmp_path: Path) -> None:
    """As with Kubernetes' built-in role `view`, which does not include Secrets."""
    put_world(api)
    api.logs["teleport-auth-0"] = LOCKED_OUT
    api.refuse = {"/namespaces/teleport/secrets": 403}
    unread, locked_out = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (unread.where, "not allowed to list Secrets in teleport (403)" in unread.evidence) == (
        "release teleport in teleport",
        True,
    )
    assert "does not know the host CA" in locked_out.cause


def test_what_pods_say_is_told_where_a_record_of_helms_is_damaged(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.logs["teleport-auth-0"] = LOCKED_OUT
    labels = {"owner": "helm", "name": "teleport"}
    api.put(
        "Secret", "sh.helm.release.v1.teleport.v9", "teleport", metadata={"labels": labels}, data={"release": "eA=="}
    )
    damaged, locked_out = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert damaged.where == "release teleport in teleport"
    assert damaged.remedy.endswith(
        "kubectl --context test --namespace teleport delete secret sh.helm.release.v1.teleport.v9"
    )
    assert "does not know the host CA" in locked_out.cause


def test_a_deployment_that_is_not_there_is_told_without_helms_records_too(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.refuse = {"/namespaces/teleport/secrets": 403}
    del api.objects["/apis/apps/v1/namespaces/teleport/deployments/teleport-auth"]
    _, missing = diagnose_stack(settings(tmp_path), Cluster.connect)
    assert (missing.where, missing.evidence) == ("Deployment teleport-auth in teleport", "does not exist")
    assert "the records that would tell cannot be read" in missing.cause
