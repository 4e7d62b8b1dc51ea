"""Red marks what cannot be undone, green marks what is due, and a label says which step is which and why."""

from __future__ import annotations

import pytest

from operations.preview.judgement import Severity, assess
from tests.unit.preview.previews import (
    AUTHORITY_KEY,
    GRAPH_RELEASE,
    INSTANCE,
    KEY,
    LEAF,
    TELEPORT_RELEASE,
    preview_of,
    recorded,
    step,
    urn,
)

pytestmark = pytest.mark.unit

AUTHORITY = "teleport-access-graph:index:Certificates$tls:index/selfSignedCert:SelfSignedCert"
LOG = "teleport-access-graph:index:Database$aws:cloudwatch/logGroup:LogGroup"
NAMESPACE = "teleport-access-graph:index:AccessGraphNamespace$kubernetes:core/v1:Namespace"
SERVICE = "teleport-access-graph:index:ExternalService$kubernetes:core/v1:Service"
PROVIDER = "pulumi:providers:kubernetes"
CONFIG_MAP = "teleport-access-graph:index:TeleportCluster$kubernetes:core/v1:ConfigMap"


def judged(name: str) -> dict[str, tuple[str, str]]:
    return {
        one.step.name: (one.severity.name, one.reason)
        for one in assess(recorded(name)).judgements
        if one.severity is not Severity.PLAIN
    }


def test_a_replaced_database_is_red_and_stands_first() -> None:
    assert list(judged("replaced-database").items()) == [
        ("database-instance", ("RED", "lost: the database with everything in it (because of dbName)")),
        ("access-graph-release", ("AMBER", "restarts the access graph, 2 pods")),
    ]


def test_a_renewed_authority_is_green_with_the_certificate_it_issues_again() -> None:
    found = judged("renewed-authority")
    assert found["certificates-ca-1"] == ("GREEN", "a certificate's renewal: it is in the last part of its validity")
    assert found["certificates-server"] == ("GREEN", "issued again, by the renewed authority")
    assert {name for name, (severity, _) in found.items() if severity == "AMBER"} == {
        "access-graph-release",
        "teleport-teleport.example.com-release",
        "teleport-teleport.example.com-proxies",
    }


REQUEST = "teleport-access-graph:index:Certificates$tls:index/certRequest:CertRequest"


@pytest.mark.parametrize(
    ("reasons", "severity", "said"),
    [
        (["caCertPem"], "GREEN", "issued again, by the renewed authority"),
        (["caCertPem", "caPrivateKeyPem", "readyForRenewal"], "GREEN", "issued again, by the renewed authority"),
        (
            ["caCertPem", "certRequestPem"],
            "AMBER",
            "issued again as another one, without b.example.com, for c.example.com too (because of certRequestPem)",
        ),
    ],
)
def test_a_certificate_with_other_names_is_no_renewal_even_beside_one(
    reasons: list[str], severity: str, said: str
) -> None:
    before, after = (["a.example.com", f"{one}.example.com"] for one in "bc")
    authority = step("replace", AUTHORITY, "certificates-ca-1", reasons=["readyForRenewal"])
    request = step("replace", REQUEST, "certificates-server-request", old={"dnsNames": before}, new={"dnsNames": after})
    needs = [authority["urn"], request["urn"]]
    certificate = step("replace", LEAF, "certificates-server", reasons=reasons, dependencies=needs)
    of = {one.step.name: one for one in assess(preview_of(authority, request, certificate)).judgements}
    found = of["certificates-server"]
    assert (found.severity.name, found.reason) == (severity, said)


@pytest.mark.parametrize("reasons", [["certRequestPem"], ["readyForRenewal", "allowedUses"]])
def test_nor_is_one_of_which_something_else_changes(reasons: list[str]) -> None:
    (only,) = assess(preview_of(step("replace", LEAF, "certificates-server", reasons=reasons))).judgements
    assert only.severity is Severity.AMBER
    assert only.reason == f"issued again as another one (because of {reasons[-1]})"


def test_one_that_is_protected_is_not_replaced_at_all() -> None:
    protected = step("replace", LEAF, "certificates-server", reasons=["certRequestPem"])
    for side in ("oldState", "newState"):
        protected[side]["protect"] = True
    (only,) = assess(preview_of(protected)).judgements
    assert only.severity is Severity.RED
    assert "the engine refuses that it is replaced" in only.reason


def test_names_that_are_not_known_yet_are_not_called_gone() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    request = step(
        "replace", REQUEST, "certificates-server-request", old={"dnsNames": ["a"]}, new={"dnsNames": [unknown]}
    )
    leaf = step("replace", LEAF, "certificates-server", reasons=["certRequestPem"], dependencies=[request["urn"]])
    of = {one.step.name: one for one in assess(preview_of(request, leaf)).judgements}
    assert of["certificates-server"].reason == "issued again as another one (because of certRequestPem)"


def test_switching_off_uninstalls_a_release() -> None:
    assert judged("switched-off")["access-graph-release"] == (
        "RED",
        "lost: a Helm release: every object of it is uninstalled",
    )


def test_the_worst_stands_first_whatever_the_engines_order() -> None:
    steps = (
        step("update", CONFIG_MAP, "plain", old={"a": "1"}, new={"a": "2"}),
        step("replace", LEAF, "green", reasons=["readyForRenewal"]),
        step("delete", CONFIG_MAP, "amber", retainOnDelete=True),
        step("delete", INSTANCE, "red"),
    )
    assert [one.step.name for one in assess(preview_of(*steps)).judgements] == ["red", "amber", "green", "plain"]


@pytest.mark.parametrize("name", ["quiet", "replicas", "refused"])
def test_what_hurts_nobody_is_plain(name: str) -> None:
    assert judged(name) == {}


def test_the_first_preview_has_nothing_red() -> None:
    assert assess(recorded("first")).worst is Severity.AMBER
    assert assess(recorded("first")).of(Severity.RED) == ()


@pytest.mark.parametrize("operation", ["delete", "replace", "delete-replaced", "create-replacement"])
@pytest.mark.parametrize("type_", [INSTANCE, KEY, LOG, NAMESPACE, GRAPH_RELEASE, PROVIDER])
def test_the_loss_of_anything_stateful_is_red(operation: str, type_: str) -> None:
    (only,) = assess(preview_of(step(operation, type_, "x"))).judgements
    assert only.severity is Severity.RED
    assert only.reason


@pytest.mark.parametrize(
    "type_",
    [
        "aws:rds/clusterSnapshot:ClusterSnapshot",
        "aws:backup/vault:Vault",
        "aws:kms/externalKey:ExternalKey",
        "aws:secretsmanager/secret:Secret",
        "aws:dynamodb/table:Table",
        "aws:ebs/volume:Volume",
        "aws:efs/fileSystem:FileSystem",
        "aws:s3/bucketV2:BucketV2",
        "kubernetes:core/v1:PersistentVolume",
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
    ],
)
def test_so_is_what_another_program_may_keep_beside_it(type_: str) -> None:
    (only,) = assess(preview_of(step("delete", type_, "x"))).judgements
    assert only.severity is Severity.RED


@pytest.mark.parametrize("operation", ["discard", "discard-replaced", "read-replacement"])
def test_what_was_only_read_is_not_lost(operation: str) -> None:
    (only,) = assess(preview_of(step(operation, NAMESPACE, "x", external=True))).judgements
    assert only.severity is Severity.PLAIN


@pytest.mark.parametrize(
    ("operation", "kind", "severity", "said"),
    [
        ("delete", "LoadBalancer", "AMBER", "does not get through"),
        ("replace", "LoadBalancer", "AMBER", "does not get through, until DNS has the new one (because of metadata)"),
        ("delete", "ClusterIP", "PLAIN", ""),
        ("update", "LoadBalancer", "PLAIN", ""),
    ],
)
def test_a_load_balancer_goes_with_its_address(operation: str, kind: str, severity: str, said: str) -> None:
    spec = {"spec": {"type": kind}}
    reasons = ["metadata"] if operation == "replace" else None
    preview = preview_of(step(operation, SERVICE, "external-service", old=spec, new=spec, reasons=reasons))
    (one,) = assess(preview).judgements
    assert one.severity.name == severity
    assert one.reason.endswith(said)


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        ("LoadBalancer", "ClusterIP", "AMBER"),
        ("LoadBalancer", "LoadBalancer", "PLAIN"),
        ("ClusterIP", "LoadBalancer", "PLAIN"),
    ],
)
def test_so_does_the_one_of_the_charts_own_service(before: str, after: str, severity: str) -> None:
    old, new = ({"values": {"service": {"type": kind}, "replicaCount": 2}} for kind in (before, after))
    changed = ["values.service.type"] if before != after else ["values.replicaCount"]
    (one,) = assess(preview_of(step("update", GRAPH_RELEASE, "r", old=old, new=new, paths=changed))).judgements
    assert one.severity.name == severity


@pytest.mark.parametrize("name", ["certificates-ca-1-key", "certificates-ca-12-key"])
def test_the_key_of_an_authority_is_red(name: str) -> None:
    (only,) = assess(preview_of(step("replace", AUTHORITY_KEY, name, reasons=["ecdsaCurve"]))).judgements
    assert (only.severity, only.reason) == (
        Severity.RED,
        "lost: the authority that signs the access graph's certificate (because of ecdsaCurve)",
    )


def test_a_servers_key_is_no_authority() -> None:
    (only,) = assess(preview_of(step("replace", AUTHORITY_KEY, "certificates-server-key"))).judgements
    assert only.severity is Severity.PLAIN


def test_a_retired_authority_may_go() -> None:
    settings = {"teleport-access-graph:tls": '{"authority": {"generation": 2, "phase": "stable"}}'}
    (only,) = assess(preview_of(step("delete", AUTHORITY_KEY, "certificates-ca-1-key"), config=settings)).judgements
    assert (only.severity, only.reason) == (Severity.AMBER, "a retired authority's: the last step of a rotation")
    (newest,) = assess(preview_of(step("delete", AUTHORITY_KEY, "certificates-ca-2-key"), config=settings)).judgements
    assert newest.severity is Severity.RED


def test_whatever_is_protected_is_red_whatever_it_is() -> None:
    (only,) = assess(preview_of(step("delete", CONFIG_MAP, "x", protect=True))).judgements
    assert (only.severity, only.reason) == (Severity.RED, "it is protected: the engine refuses that it is deleted")


def test_what_is_only_forgotten_is_amber_but_its_replacement_is_red() -> None:
    (forgotten,) = assess(preview_of(step("delete", INSTANCE, "x", retainOnDelete=True))).judgements
    assert forgotten.severity is Severity.AMBER
    (replaced,) = assess(preview_of(step("replace", INSTANCE, "x", retainOnDelete=True))).judgements
    assert replaced.severity is Severity.RED


@pytest.mark.parametrize("operation", ["same", "update"])
def test_lifted_protection_is_told_even_where_nothing_else_changes(operation: str) -> None:
    lifted = step(operation, INSTANCE, "database-instance", protect=True)
    del lifted["newState"]["protect"]
    (only,) = assess(preview_of(lifted)).judgements
    assert (only.severity, only.reason) == (
        Severity.AMBER,
        "its protection is lifted: a later `destroy` can delete it",
    )


@pytest.mark.parametrize("operation", ["same", "update"])
def test_so_is_that_a_destroy_no_longer_leaves_it(operation: str) -> None:
    """Until then, a `destroy` keeps an adopted Teleport; afterwards, a `destroy` uninstalls it."""
    lifted = step(operation, TELEPORT_RELEASE, "teleport-a-release", retainOnDelete=True)
    assert all(one.severity is Severity.PLAIN for one in assess(preview_of(lifted)).judgements)
    del lifted["newState"]["retainOnDelete"]
    (only,) = assess(preview_of(lifted)).judgements
    assert (only.severity, only.reason) == (
        Severity.AMBER,
        "a later `destroy` no longer leaves it where it is, but deletes it",
    )


def test_a_replaced_certificate_is_no_renewal_when_anything_else_is_the_reason() -> None:
    (only,) = assess(
        preview_of(step("replace", AUTHORITY, "certificates-ca-1", reasons=["subject", "readyForRenewal"]))
    ).judgements
    assert only.severity is Severity.RED


def test_a_leaf_is_green_only_with_its_own_authority() -> None:
    leaf = step("replace", LEAF, "certificates-server", reasons=["caCertPem"], dependencies=[urn(AUTHORITY, "other")])
    renewed = step("replace", AUTHORITY, "certificates-ca-1", reasons=["readyForRenewal"])
    found = {one.step.name: one.severity for one in assess(preview_of(leaf, renewed)).judgements}
    assert found == {"certificates-ca-1": Severity.GREEN, "certificates-server": Severity.PLAIN}


@pytest.mark.parametrize(
    ("path", "new", "severity", "words"),
    [
        ("engineVersion", {"engineVersion": "18"}, Severity.AMBER, "another version of PostgreSQL"),
        ("instanceClass", {"instanceClass": "db.m7g.large"}, Severity.AMBER, "connections to the database break"),
        ("deletionProtection", {"deletionProtection": False}, Severity.AMBER, "its deletion protection is lifted"),
        ("deletionProtection", {"deletionProtection": True}, Severity.PLAIN, ""),
        ("publiclyAccessible", {"publiclyAccessible": True}, Severity.RED, "an address on the internet"),
        ("backupRetentionPeriod", {"backupRetentionPeriod": 9}, Severity.PLAIN, ""),
        ("skipFinalSnapshot", {"skipFinalSnapshot": True}, Severity.AMBER, "leaves no snapshot"),
        ("iamDatabaseAuthenticationEnabled", {}, Severity.AMBER, "refuses logins by IAM"),
    ],
)
def test_an_instances_update_is_judged_by_what_it_does(
    path: str, new: dict[str, object], severity: Severity, words: str
) -> None:
    (only,) = assess(preview_of(step("update", INSTANCE, "database-instance", new=new, paths=[path]))).judgements
    assert only.severity is severity
    assert words in only.reason


@pytest.mark.parametrize(
    ("type_", "name", "before", "after", "severity", "words"),
    [
        (INSTANCE, "backupRetentionPeriod", 35, 7, Severity.AMBER, "backups of more than 7 days are deleted"),
        (INSTANCE, "backupRetentionPeriod", 35, 0, Severity.RED, "every automated backup of the database is deleted"),
        (INSTANCE, "backupRetentionPeriod", 7, 35, Severity.PLAIN, ""),
        (LOG, "retentionInDays", 365, 30, Severity.AMBER, "logs of more than 30 days are deleted"),
        (LOG, "retentionInDays", None, 30, Severity.AMBER, "logs of more than 30 days are deleted"),
        (LOG, "retentionInDays", 30, 365, Severity.PLAIN, ""),
        (LOG, "retentionInDays", 30, 0, Severity.PLAIN, ""),
        (LOG, "retentionInDays", 30, None, Severity.PLAIN, ""),
        (KEY, "isEnabled", True, False, Severity.RED, "the key is disabled"),
        (KEY, "isEnabled", False, True, Severity.PLAIN, ""),
        (KEY, "isEnabled", False, False, Severity.PLAIN, ""),
        (KEY, "deletionWindowInDays", 30, 7, Severity.PLAIN, ""),
    ],
)
def test_what_an_update_deletes_or_locks_away_is_told(
    type_: str, name: str, before: object, after: object, severity: Severity, words: str
) -> None:
    old = {} if before is None else {name: before}
    new = {} if after is None else {name: after}
    (only,) = assess(preview_of(step("update", type_, "x", old=old, new=new, paths=[name]))).judgements
    assert only.severity is severity
    assert words in only.reason


@pytest.mark.parametrize(
    ("type_", "name", "severity"),
    [
        ("pulumi:providers:kubernetes", "context", Severity.AMBER),
        ("pulumi:providers:aws", "region", Severity.AMBER),
        ("pulumi:providers:aws", "allowedAccountIds", Severity.AMBER),
        ("pulumi:providers:aws", "version", Severity.PLAIN),
        ("pulumi:providers:aws", "defaultTags", Severity.PLAIN),
    ],
)
def test_a_provider_that_reaches_elsewhere_is_told(type_: str, name: str, severity: Severity) -> None:
    """The engine shows only the provider as updated, and everything else as unchanged."""
    (only,) = assess(preview_of(step("update", type_, "x", old={name: "one"}, new={name: "another"}))).judgements
    assert only.severity is severity
    assert (name in only.reason) is (severity is Severity.AMBER)
