"""Verify on a whole stack: if everything is right all proofs pass, and each fault fails the proof that is about it."""

from __future__ import annotations

import base64
import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from components.digests import content_checksum
from components.settings import RdsDatabaseSettings, ReplicaSettings
from components.teleport_args import PROXY_ANNOTATION
from components.teleport_values import patch_values
from operations.address_book import AddressBook
from operations.checks.database import OwnLogins, check_database
from operations.checks.values import check_values, check_workload
from operations.findings import WRITTEN_BACK, Finding, Outcome
from operations.teleport_log import SECONDS_BETWEEN_COMPLAINTS, is_good_news, last_statement
from operations.verify import Verification
from tests.unit.operations.certificates import authority
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.test_endpoint import server
from tests.unit.operations.world import (
    AUTH_READY,
    CLUSTER,
    GRAPH,
    HOST,
    OUTPUTS,
    PATCH,
    PROXY_STARTED,
    USERS,
    configuration,
    put_deployment,
    put_pod,
    put_world,
    settings,
    settings_of_mode,
)
from tests.unit.privileges.modes import settings_of

pytestmark = pytest.mark.slow

TELEPORT = f"teleport.{CLUSTER}."


def run(root: Path, book: AddressBook | None = None, **changes: Any) -> dict[str, Finding]:
    verification = Verification(
        settings=changes.pop("settings", None) or settings(root),
        outputs=changes.pop("outputs", OUTPUTS),
        book=book or AddressBook(entries={HOST: {"443": []}}),
        **changes,
    )
    return {finding.check: finding for finding in verification.run()}


def not_passed(findings: dict[str, Finding]) -> dict[str, Outcome]:
    return {name: finding.outcome for name, finding in findings.items() if finding.outcome is not Outcome.PASS}


def test_what_the_context_may_not_read_is_not_proven_and_the_rest_is_looked_at(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    api.refuse = {f"/secrets/{OUTPUTS['tlsSecretName']}": 403, "/secrets/database": 403}
    findings = run(tmp_path)
    assert {findings[name].outcome for name in ("endpoint", "database")} == {Outcome.NOT_PROVEN}
    assert "not allowed to read Secret" in findings["database"].reason
    assert findings[f"{TELEPORT}values"].outcome is Outcome.PASS


def test_another_cluster_proves_nothing(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.put("Namespace", "kube-system", uid="other")
    findings = run(tmp_path)
    assert set(findings) == {"endpoint", "database", f"teleport.{CLUSTER}"}
    for finding in findings.values():
        assert finding.outcome is Outcome.FAIL
        assert "test: is another cluster than the stack's: UID of kube-system is other" in finding.reason


def test_a_right_stack_passes_every_proof_but_the_database_that_is_not_there(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    identity = authority(CLUSTER).issue(tmp_path, "auth")
    with server(tmp_path, hosts=(HOST,)) as (way, current):
        plain = way.connect()
        address = plain.getpeername()
        plain.close()
        pair = base64.b64encode(current.encode()).decode()  # certificate and key in one PEM
        api.put("Secret", "teleport-access-graph-tls", GRAPH, data={"tls.crt": pair, "tls.key": pair})
        findings = run(
            tmp_path,
            AddressBook(entries={HOST: {"443": [f"{address[0]}:{address[1]}"]}}),
            outputs={**OUTPUTS, "caBundle": authority("graph-1").pem},
            host_identities={CLUSTER: identity},
        )
    assert not_passed(findings) == {"database.connects": Outcome.FAIL}
    assert "no key uri" in findings["database.connects"].reason
    assert [name.removeprefix(TELEPORT) for name in findings if name.startswith(TELEPORT)] == [
        "configuration",
        "trust",
        "auth-connected",
        "proxies",
        "values",
        "auth-volumes",
        "auth-annotations",
        "proxy-volumes",
        "proxy-annotations",
    ]
    assert [name for name in findings if not name.startswith(TELEPORT)] == [
        "outputs",
        "certificate.pair",
        "certificate.names",
        "certificate.uses",
        "certificate.dates",
        "certificate.chain",
        "endpoint.name",
        "endpoint.wrong-name",
        "endpoint.host-certificate",
        "endpoint.no-certificate",
        "endpoint.foreign-certificate",
        "endpoint.current-certificate",
        "database.connects",
    ]


def change_log(text: str) -> Callable[[KubernetesApi], None]:
    return lambda api: api.logs.update({"teleport-auth-0": text})


def change_values(**changes: Any) -> Callable[[KubernetesApi], None]:
    live = {**copy.deepcopy(OUTPUTS["teleportValues"][CLUSTER]), **changes}  # type: ignore[index]
    return lambda api: put_release(api, 3, "deployed", live)


def change_configuration(**changes: Any) -> Callable[[KubernetesApi], None]:
    text = yaml.safe_dump({"access_graph": {**PATCH.configuration(), **changes}})
    return lambda api: api.objects["/api/v1/namespaces/teleport/configmaps/teleport-auth"].update(
        data={"teleport.yaml": text}
    )


DEFECTS: dict[str, tuple[Callable[[KubernetesApi], Any], str, str]] = {
    "auth says the host CA is unknown": (
        change_log("INFO Connected to Access Graph\nWARN Access Graph: could not find host CA\n"),
        "auth-connected",
        "could not find host CA",
    ),
    "auth lost the connection": (
        change_log("INFO Connected to Access Graph\nWARN Access Graph service connection lost\n"),
        "auth-connected",
        "connection lost",
    ),
    "auth is told of another endpoint": (
        change_configuration(endpoint="other:443"),
        "configuration",
        "'endpoint': 'other:443'",
    ),
    "a proxy started before auth was ready": (
        lambda api: put_pod(api, "teleport-proxy", started="2026-06-01T12:00:30Z"),
        "proxies",
        "teleport-auth was ready 2026-06-01T12:01:00",
    ),
    "a proxy started before the access graph answered": (
        lambda api: (
            put_deployment(api, GRAPH, GRAPH, available="2026-06-01T12:05:00Z"),
            api.logs.update({"teleport-proxy-0": "INFO something else\n"}),
        ),
        "proxies",
        "teleport-access-graph was ready 2026-06-01T12:05:00",
    ),
    "a proxy got no answer": (
        lambda api: api.logs.update({"teleport-proxy-0": "WARN Access Graph: Unexpected end of JSON input\n"}),
        "proxies",
        "kubectl --context test --namespace teleport rollout restart deployment/teleport-proxy",
    ),
    "auth is still being rolled out": (
        lambda api: put_deployment(
            api, "teleport-auth", "teleport", rolled_out=AUTH_READY, reason="ReplicaSetUpdated", users=True
        ),
        "proxies",
        "the rollout of teleport-auth is not complete",
    ),
    "auth was changed, and its rollout has not begun": (
        lambda api: api.objects["/apis/apps/v1/namespaces/teleport/deployments/teleport-auth"]["metadata"].update(
            generation=2
        ),
        "proxies",
        "the rollout of teleport-auth is not complete",
    ),
    "the only auth is on its way out": (
        lambda api: api.objects["/api/v1/namespaces/teleport/pods/teleport-auth-0"]["metadata"].update(
            deletionTimestamp=AUTH_READY
        ),
        "auth-connected",
        "the Deployment teleport-auth has no pod",
    ),
    "no proxy runs": (
        lambda api: api.objects.pop("/api/v1/namespaces/teleport/pods/teleport-proxy-0"),
        "proxies",
        "has no pod",
    ),
    "a value of the user's is gone": (change_values(service={}), "values", "service.type"),
    "a value of the user's is another": (change_values(enterprise=False), "values", "enterprise"),
    "a volume is gone from the values": (
        change_values(auth={"extraVolumes": []}),
        "values",
        "auth.extraVolumes 'banner'",
    ),
    "a volume is gone from a Deployment": (
        lambda api: put_deployment(api, "teleport-proxy", "teleport", rolled_out=PROXY_STARTED),
        "proxy-volumes",
        "gone: volume 'banner'; mount 'banner' at /etc/banner",
    ),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_each_defect_fails_its_own_proof(api: KubernetesApi, tmp_path: Path, case: str) -> None:
    put_world(api)
    right = not_passed(run(tmp_path))
    break_it, check, reason = DEFECTS[case]
    break_it(api)
    findings = run(tmp_path)
    assert findings[TELEPORT + check].outcome is Outcome.FAIL
    assert reason in findings[TELEPORT + check].reason
    others = {TELEPORT + check, TELEPORT + "proxy-annotations"}
    assert {name: one for name, one in not_passed(findings).items() if name not in others} == right


def test_an_annotation_that_is_gone_from_a_deployment_is_told(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    assert run(tmp_path)[f"{TELEPORT}proxy-annotations"].outcome is Outcome.PASS
    put_deployment(api, "teleport-proxy", "teleport", rolled_out=PROXY_STARTED)
    found = run(tmp_path)[f"{TELEPORT}proxy-annotations"]
    assert (found.outcome, "pod annotation team: 'identity'" in found.reason) == (Outcome.FAIL, True)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({"readOnly": False, "subPath": "", "mountPropagation": None}, {}),
        ({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
        ({"emptyDir": {"sizeLimit": 500000000}}, {"emptyDir": {"sizeLimit": "500M"}}),
        ({"emptyDir": {"sizeLimit": "0.5Gi"}}, {"emptyDir": {"sizeLimit": "512Mi"}}),
        ({"emptyDir": {"sizeLimit": "1e3"}}, {"emptyDir": {"sizeLimit": "1k"}}),
        ({"emptyDir": {"sizeLimit": 2048}}, {"emptyDir": {"sizeLimit": "2Ki"}}),
        ({"secret": {"secretName": "x", "items": []}}, {"secret": {"secretName": "x", "defaultMode": 420}}),
    ],
)
def test_a_volume_in_the_form_that_the_api_server_gives_it_is_still_there(
    written: dict[str, Any], stored: dict[str, Any]
) -> None:
    deployment = put_deployment(KubernetesApi(), "auth", "teleport", extra=[{"name": "own", **stored}])
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["volumeMounts"].append({"name": "own", **stored})
    own = [{"name": "own", **written}]
    (volumes, _) = check_workload("t", "auth", {"extraVolumes": own, "extraVolumeMounts": own}, deployment)
    assert (volumes.outcome, volumes.reason) == (Outcome.PASS, "2 of 2")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ({"readOnly": True}, {}),
        ({"emptyDir": {}}, {"configMap": {"name": "own"}}),
        ({"emptyDir": {"sizeLimit": "1Gi"}}, {"emptyDir": {"sizeLimit": "1G"}}),
    ],
)
def test_a_volume_that_is_another_one_is_gone(written: dict[str, Any], stored: dict[str, Any]) -> None:
    deployment = put_deployment(KubernetesApi(), "auth", "teleport", extra=[{"name": "own", **stored}])
    (volumes, _) = check_workload("t", "auth", {"extraVolumes": [{"name": "own", **written}]}, deployment)
    assert (volumes.outcome, "gone: volume 'own'" in volumes.reason) == (Outcome.FAIL, True)


def test_no_secret_of_a_log_is_said(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    for pod in ("teleport-auth-0", "teleport-proxy-0"):
        api.logs[pod] = "WARN Access Graph: cannot connect with token=canary\n"
    findings = run(tmp_path)
    for check in ("auth-connected", "proxies"):
        assert "canary" not in findings[TELEPORT + check].reason
        assert "cannot connect with token=[scrubbed]" in findings[TELEPORT + check].reason


def test_a_log_that_says_nothing_proves_nothing(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    api.logs["teleport-auth-0"] = "INFO something else\n"
    assert run(tmp_path)[f"{TELEPORT}auth-connected"].outcome is Outcome.NOT_PROVEN


# Auth 14 to 18 writes these lines: taken from Teleport Enterprise's source and from Teleport's text log handler, which
# spreads an error over several lines.
STARTED = "2026-06-01T12:01:00.100Z INFO  [PROC:1]    Starting access graph service accessgraph/service.go:180"
UNLICENSED = [
    f"INFO  [PROC:1]    Access Graph specified in config, but {reason}. Access graph sync will not be enabled."
    for reason in (
        "the license does not include Teleport Access Graph and demo mode not enabled",
        "the license does not include Teleport Policy",
        "license is not for the Team plan",
    )
]
CUT_OFF = """\
2026-06-01T12:09:00.100Z ERROR [PROC:1]    Access graph sync process failed error:[
ERROR REPORT:
Original Error: *status.Error rpc error: code = Unavailable desc = error reading from server: EOF
Stack Trace:
\tgithub.com/gravitational/teleport/e/lib/accessgraph/sync.go:80 github.com/gravitational/teleport/e/lib/accessgraph.run
User Message: rpc error: code = Unavailable desc = error reading from server: EOF] accessgraph/service.go:260
"""


@pytest.mark.parametrize(
    ("log", "recent", "outcome", "reason"),
    [
        (STARTED, "", Outcome.NOT_PROVEN, "that it is connected only at level DEBUG"),
        (STARTED + "\n" + CUT_OFF, "", Outcome.NOT_PROVEN, "is over: 2026-06-01T12:09:00.100Z ERROR"),
        (STARTED + "\n" + CUT_OFF, CUT_OFF, Outcome.FAIL, "error reading from server: EOF"),
        (CUT_OFF, "DEBUG Successfully registered with the access graph service", Outcome.PASS, "Successfully"),
        *((line, "", Outcome.FAIL, "will not be enabled") for line in UNLICENSED),
    ],
    ids=[
        "never a complaint",
        "a complaint of before",
        "one that is repeated",
        "good news",
        "no licence, 18",
        "no licence, 17",
        "no licence, 14",
    ],
)
def test_auths_complaint_counts_for_as_long_as_it_is_repeated(
    log: str, recent: str, outcome: Outcome, reason: str, api: KubernetesApi, tmp_path: Path, waits: list[float]
) -> None:
    """Auth logs a restored connection only at level DEBUG: after a roll of TAG's pods, the complaint remains the last
    line."""
    put_world(api)
    api.logs |= {"teleport-auth-0": log, "teleport-auth-0:recent": recent}
    found = run(tmp_path)[f"{TELEPORT}auth-connected"]
    assert (found.outcome, reason in found.reason) == (outcome, True)
    assert waits == [SECONDS_BETWEEN_COMPLAINTS] * (CUT_OFF in log)


def test_a_proxy_that_was_answered_since_started_late_enough(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    put_deployment(api, GRAPH, GRAPH, available="2026-06-01T12:05:00Z")
    assert run(tmp_path)[f"{TELEPORT}proxies"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("endpoint", "bundle", "outcome"),
    [
        (f"{HOST}:443", "graph-1", Outcome.PASS),
        (f"{HOST}:443", "graph-2", Outcome.FAIL),
        ("other:443", "graph-1", Outcome.FAIL),
    ],
)
def test_a_proxy_may_be_older_than_an_auth_that_was_rolled_out_for_something_else(
    api: KubernetesApi, tmp_path: Path, endpoint: str, bundle: str, outcome: Outcome
) -> None:
    put_world(api)
    mark = {PROXY_ANNOTATION: content_checksum(endpoint, authority(bundle).pem)}
    put_pod(api, "teleport-proxy", started="2026-06-01T12:00:30Z", annotations=mark)
    finding = run(tmp_path)[f"{TELEPORT}proxies"]
    assert finding.outcome is outcome
    words = "has what auth says of it today" if outcome is Outcome.PASS else "teleport-auth was ready"
    assert words in finding.reason


def test_values_from_before_are_compared_too(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    before = tmp_path / "before.yaml"
    before.write_text(yaml.safe_dump({**USERS, "log": {"level": "DEBUG"}}), encoding="utf-8")
    finding = run(tmp_path, values_before=before)[f"teleport.{CLUSTER}.before.values"]
    assert finding.outcome is Outcome.FAIL
    assert "log.level" in finding.reason
    assert finding.statement == f"the release of {CLUSTER} has every value of {before}"


def test_a_value_that_a_secret_one_may_be_merged_over_is_not_proven(api: KubernetesApi, tmp_path: Path) -> None:
    """Nobody can see what the secret key holds. A missing value, however, cannot come from merging it."""
    put_world(api)
    put_release(api, 3, "deployed", patch_values({**USERS, "service": {"type": "y"}}, PATCH))
    check = f"teleport.{CLUSTER}.values"
    assert run(tmp_path)[check].outcome is Outcome.FAIL
    merged = run(tmp_path, secret_values=True)[check]
    assert merged.outcome is Outcome.NOT_PROVEN
    assert merged.reason == "other: service.type; teleportSecretValues, a secret key, should have them"
    put_release(api, 4, "deployed", patch_values({"clusterName": CLUSTER, "service": {"type": "y"}}, PATCH))
    missing = run(tmp_path, secret_values=True)[check]
    assert missing.outcome is Outcome.FAIL
    assert "enterprise" in missing.reason
    assert "service.type" not in missing.reason


def test_a_null_says_the_same_as_no_key_and_an_empty_map_the_same_as_any_map() -> None:
    users = {"null": None, "nullOver": None, "map": {}, "mapOver": {}}
    finding = check_values(CLUSTER, users, {"nullOver": 1, "map": {"by": "the patch"}, "mapOver": "text"}, "files")
    assert finding.outcome is Outcome.FAIL
    assert finding.reason.startswith("missing or other: nullOver; mapOver; ")


@pytest.mark.parametrize(
    ("changes", "login", "others"),
    [
        ({}, "access_graph_a", ["access_graph_b", "access_graph_iam"]),
        ({"rotation": 1}, "access_graph_b", ["access_graph_a", "access_graph_iam"]),
        ({"authentication": "iam"}, "access_graph_iam", ["access_graph_a", "access_graph_b"]),
    ],
    ids=["slot a", "slot b", "IAM"],
)
def test_the_logins_that_are_not_in_use_are_looked_at_too(
    api: KubernetesApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    login: str,
    others: list[str],
) -> None:
    """A login that still works after a rotation is exactly what the rotation is meant to prevent."""
    asked: list[Any] = []

    def looked_at(_: str, **arguments: Any) -> list[Finding]:
        asked.append(arguments["own"])
        return []

    monkeypatch.setattr("operations.verify.check_database", looked_at)
    put_world(api)
    uri = base64.b64encode(b"postgres://graph").decode()
    api.put("Secret", "teleport-access-graph-postgres", GRAPH, data={"uri": uri})
    rds = settings_of("the least")
    assert isinstance(rds.database, RdsDatabaseSettings)
    database = rds.database.model_copy(update=changes)
    run(tmp_path, settings=dataclasses.replace(settings(tmp_path), database=database, aws=rds.aws))
    (own,) = asked
    assert (own.login, own.others, own.token is not None) == (login, others, login == "access_graph_iam")


def test_both_uris_have_to_be_there_where_there_is_a_replica(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    uri = base64.b64encode(b"postgres://graph").decode()
    api.put("Secret", "teleport-access-graph-postgres", GRAPH, data={"uri": uri})
    rds = settings_of("the least")
    assert isinstance(rds.database, RdsDatabaseSettings)
    database = rds.database.model_copy(update={"replica": ReplicaSettings()})
    findings = run(tmp_path, settings=dataclasses.replace(settings(tmp_path), database=database, aws=rds.aws))
    assert findings["database.connects"].outcome is Outcome.FAIL
    assert "has no key replica-uri; run `up --refresh`" in findings["database.connects"].reason


@pytest.mark.parametrize(("allowed", "outcome"), [(False, Outcome.FAIL), (True, Outcome.NOT_PROVEN)])
def test_a_uri_that_does_not_verify_passes_for_permitted_only_where_the_settings_permit_it(
    allowed: bool, outcome: Outcome, api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    put_uri(api, "postgresql://graph:hunter2@localhost:1/graph?sslmode=require")
    database = {"mode": "existing", "secret": {"name": "database"}, "allowUnverified": allowed}
    findings = run(tmp_path, settings=settings(tmp_path, database=database))
    assert findings["database.verify-full"].outcome is outcome


@pytest.mark.parametrize("seen", ["other", None])
def test_outputs_of_another_configuration_are_noticed(seen: str | None, api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    findings = run(tmp_path, outputs={**OUTPUTS, "serviceHost": seen})
    assert findings["outputs"].outcome is Outcome.FAIL


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
def test_a_certificate_is_judged_by_this_machines_store_where_teleport_verifies_by_its_own(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    pem = base64.b64encode(authority("somebody").issue(tmp_path, "server", (HOST,)).read_bytes()).decode()
    api.put("Secret", "teleport-access-graph-tls", GRAPH, data={"tls.crt": pem, "tls.key": pem})
    chain = run(tmp_path, settings=settings(tmp_path, tls={"mode": "generated", "trust": "system"}))[
        "certificate.chain"
    ]
    assert chain.outcome is Outcome.FAIL
    assert chain.reason.startswith("its issuer is CN=somebody,O=somebody, and this machine's trust store has ")
    assert "; put the issuer's root into this machine's trust store, and " in chain.reason


def test_the_host_certificate_that_is_tried_is_of_a_teleport_that_is_connected(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def looked_at(_: Any, **arguments: Any) -> list[Finding]:
        asked.append((arguments["cluster"], arguments["identity"]))
        return []

    monkeypatch.setattr("operations.verify.check_endpoint", looked_at)
    put_world(api)
    entry = configuration()["teleport"][CLUSTER]
    second = {"mode": "manual", "hostAuthorities": {"mode": "inline", "certificates": [authority("second").pem]}}
    both = {CLUSTER: {**entry, "connected": False}, "second": second}
    identities = {CLUSTER: tmp_path / "first.pem", "second": tmp_path / "second.pem"}
    run(tmp_path, settings=settings(tmp_path, teleport=both), host_identities=identities)
    assert asked == [("second", identities["second"])]


@pytest.mark.parametrize("generated", [True, False])
def test_what_mends_a_certificate_that_was_replaced_by_hand_depends_on_whose_it_is(
    generated: bool, api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    pem = base64.b64encode(authority("somebody").issue(tmp_path, "server", (HOST,)).read_bytes()).decode()
    api.put("Secret", "certificate", GRAPH, data={"tls.crt": pem, "tls.key": pem})
    (tmp_path / "ca.pem").write_text(authority("graph-1").pem)
    theirs = {"mode": "existingSecret", "secretName": "certificate", "trustBundleFile": "ca.pem"}
    findings = run(
        tmp_path,
        settings=settings(tmp_path, **({} if generated else {"tls": theirs})),
        outputs={**OUTPUTS, "caBundle": authority("graph-1").pem, "tlsSecretName": "certificate"},
    )
    assert findings["certificate.names"].outcome is Outcome.PASS
    chain = findings["certificate.chain"]
    assert (
        chain.outcome,
        "the stack issued it: to renew what is due or was changed" in chain.reason,
    ) == (Outcome.FAIL, generated)


def test_what_cannot_be_reached_is_one_line_each(api: KubernetesApi, tmp_path: Path) -> None:
    findings = run(tmp_path)
    assert {name: one.outcome for name, one in findings.items()} == {
        "outputs": Outcome.PASS,
        "certificate.pair": Outcome.FAIL,
        "endpoint.reached": Outcome.FAIL,
        "database.connects": Outcome.FAIL,
        f"teleport.{CLUSTER}": Outcome.FAIL,
    }
    assert "there is no Deployment teleport-auth in teleport" in findings[f"teleport.{CLUSTER}"].reason


def put_uri(api: KubernetesApi, uri: str) -> None:
    api.put("Secret", "database", GRAPH, data={"uri": base64.b64encode(uri.encode()).decode()})


@pytest.mark.parametrize(
    "place", ["db.example.com:abc", f"{'a' * 70}.example.com:5432", "a..b:5432", "one,two:5432", "db:１"]
)
def test_a_uri_that_leads_nowhere_is_a_finding_without_its_text(api: KubernetesApi, tmp_path: Path, place: str) -> None:
    put_world(api)
    put_uri(api, f"postgresql://graph:hunter2@{place}/graph?sslmode=verify-full")
    findings = run(tmp_path)
    assert findings["database.connects"].reason == "the Secret holds no PostgreSQL URI of one server"
    assert "hunter2" not in str(findings.values())


@pytest.mark.parametrize(
    ("parameter", "used"),
    [
        ("", True),
        ("&sslrootcert=/var/run/database-ca/bundle.pem", True),
        ("&sslrootcert=%2Fvar%2Frun%2Fdatabase-ca%2Fbundle.pem", True),
        ("&sslrootcert=%2Fetc%2Fother.pem", False),
    ],
)
def test_the_bundle_is_the_one_that_the_uri_names_however_it_is_encoded(
    api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameter: str, used: bool
) -> None:
    asked: list[Any] = []

    def looked_at(_: str, **arguments: Any) -> list[Finding]:
        asked.append(arguments["authorities"])
        return []

    monkeypatch.setattr("operations.verify.check_database", looked_at)
    put_world(api)
    put_uri(api, f"postgresql://graph@db.example.com/graph?sslmode=verify-full{parameter}")
    api.put("ConfigMap", "teleport-access-graph-database-ca", GRAPH, data={"bundle.pem": "the bundle"})
    run(tmp_path)
    assert asked == ["the bundle" if used else None]


def test_a_comment_in_any_language_is_no_obstacle_in_a_bundle(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    bundle = f"# Müller's authority\n{authority('graph-1').pem}"
    put_uri(api, "postgresql://graph@localhost:1/graph?sslmode=verify-full&sslrootcert=/etc/access-graph/x.pem")
    api.put("ConfigMap", "teleport-access-graph-ca", "teleport", data={"ca.pem": bundle})
    with server(tmp_path, hosts=(HOST,)) as (way, current):
        plain = way.connect()
        address = plain.getpeername()
        plain.close()
        pair = base64.b64encode(current.encode()).decode()
        api.put("Secret", "teleport-access-graph-tls", GRAPH, data={"tls.crt": pair, "tls.key": pair})
        findings = run(
            tmp_path,
            AddressBook(entries={HOST: {"443": [f"{address[0]}:{address[1]}"]}}),
            outputs={**OUTPUTS, "caBundle": bundle},
        )
    for check in ("certificate.chain", "endpoint.name", f"{TELEPORT}trust"):
        assert findings[check].outcome is Outcome.PASS, findings[check]


@pytest.mark.parametrize(
    ("uri", "check", "said"),
    [
        ("postgres://x", "database.connects", "it leads to x:5432, and the stack's instance is at localhost:1"),
        ("a database", "database.connects", "the Secret holds no PostgreSQL URI of one server"),
        ("postgres://g@localhost:1/g?sslmode=require", "database.verify-full", "only verify-full does"),
    ],
)
def test_a_secret_of_the_stacks_own_that_somebody_changed_is_written_back(uri: str, check: str, said: str) -> None:
    """Nobody can write a URI into a Secret that the stack fills; and where it leads to says nothing of the stack."""
    own = OwnLogins(login="graph", others=[], endpoint="localhost:1")
    book = AddressBook(entries={"localhost": {"1": ["127.0.0.1:1"]}})
    found = {one.check: one for one in check_database(uri, authorities=None, book=book, own=own)}
    assert found[check].outcome is Outcome.FAIL
    assert said in found[check].reason
    assert found[check].reason.endswith(f"run {WRITTEN_BACK}")


def test_a_database_bundle_with_such_a_comment_is_written_as_it_is(tmp_path: Path) -> None:
    found = check_database(
        "postgresql://graph@localhost:1/graph?sslmode=verify-full",
        authorities=f"# Müller\n{authority('graph-1').pem}",
        book=AddressBook(entries={"localhost": {"1": ["127.0.0.1:1"]}}),
    )
    assert "refused" in {one.check: one for one in found}["database.connects"].reason


@pytest.mark.parametrize(("known", "outcome"), [(True, Outcome.FAIL), (False, Outcome.NOT_PROVEN)])
def test_a_database_that_does_not_answer_has_failed_only_where_there_is_a_way_to_it(
    known: bool, outcome: Outcome
) -> None:
    """Outside the database's network nobody can tell; but if this machine was given an address for the database, it has
    to answer."""
    found = check_database(
        "postgresql://graph@localhost:1/graph?sslmode=verify-full",
        authorities=authority("graph-1").pem,
        book=AddressBook(entries={"localhost": {"1": ["127.0.0.1:1"]}} if known else {}),
    )
    connects = {one.check: one for one in found}["database.connects"]
    assert (connects.outcome, "refused" in connects.reason) == (outcome, True)


def test_outputs_with_hidden_values_are_findings_that_quote_nothing(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    pair = base64.b64encode(authority("graph-1").pem.encode()).decode()
    api.put("Secret", "teleport-access-graph-tls", GRAPH, data={"tls.crt": pair, "tls.key": pair})
    hidden = "[secret]"
    findings = run(tmp_path, outputs={**OUTPUTS, "caBundle": hidden, "teleportConfig": hidden})
    reason = findings[f"teleport.{CLUSTER}"].reason
    assert reason.startswith("what was read does not have the form that this stack gives it (AttributeError); ")
    assert all(one.outcome is Outcome.FAIL for name, one in findings.items() if name.startswith("certificate.chain"))


@pytest.mark.parametrize("error", [ValueError("hunter2"), x509.InvalidVersion("hunter2", 1)])
def test_what_cannot_be_read_is_one_finding_that_does_not_quote_it(
    error: Exception, api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_world(api)

    def broken(self: Verification) -> list[Finding]:
        raise error

    monkeypatch.setattr(Verification, "_database", broken)
    found = run(tmp_path)["database"]
    assert (found.outcome, "hunter2" in found.reason) == (Outcome.FAIL, False)


@pytest.mark.parametrize(
    ("mode", "roller"),
    [("release", f"change {TELEPORT}timeoutSeconds by a second and `up`"), ("values", "let the release's owner")],
)
def test_what_brings_auths_configuration_back_depends_on_who_changed_it(
    mode: str, roller: str, api: KubernetesApi, tmp_path: Path
) -> None:
    """The engine compares with Helm's record, so no `up` undoes what was edited without Helm."""
    stack = settings_of_mode(tmp_path, mode)
    put_world(api)
    change_configuration(endpoint="other:443")(api)
    edited = run(tmp_path, settings=stack)[f"{TELEPORT}configuration"].reason
    assert "rollback teleport 2 --wait, then restart auth and the proxies" in edited
    assert "`up" not in edited
    put_release(api, 3, "deployed", USERS)
    assert roller in run(tmp_path, settings=stack)[f"{TELEPORT}configuration"].reason


def test_switched_off_teleport_has_its_owners_values_and_nothing_else(api: KubernetesApi, tmp_path: Path) -> None:
    put_world(api)
    off = settings(tmp_path, accessGraph={"enabled": False})
    still = run(tmp_path, settings=off)
    assert {name.removeprefix(TELEPORT): one.outcome for name, one in still.items()} == {
        "configuration": Outcome.FAIL,
        "values": Outcome.FAIL,
    }
    put_release(api, 3, "deployed", USERS)
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": "version: v3\n"})
    assert not_passed(run(tmp_path, settings=off)) == {}


def put_given_back(api: KubernetesApi, values: dict[str, Any]) -> None:
    put_world(api)
    put_release(api, 3, "deployed", values)
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": "version: v3\n"})


def test_switched_off_teleport_keeps_its_secret_values(api: KubernetesApi, tmp_path: Path) -> None:
    """Nobody outside can compare the secret values; verify lists them, as preflight does."""
    put_given_back(api, {**USERS, "auth": {"extraEnv": [{"name": "DB_PASSWORD", "value": "hunter2"}]}})
    off = settings(tmp_path, accessGraph={"enabled": False})
    found = {given: run(tmp_path, settings=off, secret_values=given)[f"{TELEPORT}values"] for given in (True, False)}
    assert {given: finding.outcome for given, finding in found.items()} == {
        True: Outcome.NOT_PROVEN,
        False: Outcome.FAIL,
    }
    for finding in found.values():
        assert finding.reason.startswith("+ auth.extraEnv")
        assert "hunter2" not in finding.reason
    # Secret values do not explain why a value of the files is missing.
    put_given_back(api, {"clusterName": CLUSTER, "auth": {"extraEnv": [{"name": "DB_PASSWORD", "value": "hunter2"}]}})
    other = run(tmp_path, settings=off, secret_values=True)[f"{TELEPORT}values"]
    assert (other.outcome, "- enterprise" in other.reason) == (Outcome.FAIL, True)


def test_switched_off_a_teleport_that_is_not_helms_may_still_be_told_of_the_access_graph(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    for path in [path for path in api.objects if "sh.helm.release" in path]:
        del api.objects[path]
    stack = settings_of_mode(tmp_path, "values")
    off = dataclasses.replace(stack, access_graph=stack.access_graph.model_copy(update={"enabled": False}))
    configured = run(tmp_path, settings=off)[f"{TELEPORT}configuration"]
    assert configured.outcome is Outcome.FAIL
    assert configured.reason.endswith(
        "let the release's owner roll out what this stack hands over (output teleportValues)"
    )


def test_switched_off_a_teleport_of_somebody_elses_may_have_values_of_theirs(
    api: KubernetesApi, tmp_path: Path
) -> None:
    theirs = {"log": {"level": "DEBUG"}, "auth": {"extraVolumes": [{"name": "theirs", "emptyDir": {}}]}}
    stack = settings_of_mode(tmp_path, "values")
    off = dataclasses.replace(stack, access_graph=stack.access_graph.model_copy(update={"enabled": False}))
    put_given_back(api, {**USERS, **theirs})
    assert not_passed(run(tmp_path, settings=off)) == {}
    put_given_back(api, patch_values({**USERS, **theirs}, PATCH))
    left = run(tmp_path, settings=off)[f"{TELEPORT}values"]
    assert left.outcome is Outcome.FAIL
    assert left.reason.startswith("+ auth.teleportConfig.access_graph, + auth.extraVolumes (+ live only")
    put_given_back(api, theirs)
    assert run(tmp_path, settings=off)[f"{TELEPORT}values"].reason.startswith("- annotations.pod.team, - clusterName")


def test_switched_off_a_teleport_may_be_told_that_it_is(api: KubernetesApi, tmp_path: Path) -> None:
    put_given_back(api, USERS)
    said = yaml.safe_dump({"access_graph": {"enabled": False, "endpoint": f"{HOST}:443"}})
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": said})
    found = run(tmp_path, settings=settings(tmp_path, accessGraph={"enabled": False}))
    assert found[f"{TELEPORT}configuration"].outcome is Outcome.PASS


def test_a_teleport_that_is_let_go_is_looked_at_as_one_without_an_access_graph(
    api: KubernetesApi, tmp_path: Path
) -> None:
    put_world(api)
    put_release(api, 3, "deployed", USERS)
    api.put("ConfigMap", "teleport-auth", "teleport", data={"teleport.yaml": "version: v3\n"})
    entry = {**configuration()["teleport"][CLUSTER], "connected": False}
    by_hand = {"mode": "manual", "hostAuthorities": entry["hostAuthorities"]}
    findings = run(tmp_path, settings=settings(tmp_path, teleport={CLUSTER: entry, "hand.example.com": by_hand}))
    about = {name.removeprefix(TELEPORT): one.outcome for name, one in findings.items() if name.startswith(TELEPORT)}
    assert about == {"configuration": Outcome.PASS, "values": Outcome.PASS}
    assert findings["teleport.hand.example.com"].statement == "hand.example.com is connected"


CONNECTED = "INFO [AUTH] Connected to the access graph service"
TURNED_AWAY = "ERROR [AUTH] access graph: could not find host CA"


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        ([CONNECTED, "ERROR [BACKEND] cannot reach etcd"], CONNECTED),
        ([CONNECTED, "INFO [CACHE] event stream connected"], CONNECTED),
        ([CONNECTED, "DEBUG [AUTH] access_graph section read"], CONNECTED),
        ([CONNECTED, TURNED_AWAY], TURNED_AWAY),
        (["ERROR [BACKEND] cannot reach etcd", "DEBUG [AUTH] access_graph section read"], None),
    ],
    ids=["another's trouble", "another's connection", "no news", "its own trouble", "nothing"],
)
def test_of_auths_log_the_last_news_of_the_access_graph_counts_and_no_other_line(
    lines: list[str], last: str | None
) -> None:
    assert last_statement("\n".join(lines)) == last
    assert [is_good_news(line) for line in lines] == [line == CONNECTED for line in lines]
