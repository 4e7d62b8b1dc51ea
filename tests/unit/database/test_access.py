"""The login of Access Graph: who may fetch the master password, what the Job is, and that no secret appears in
plain."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.database_policies import service_account_trust
from components.database_script import MASTER_SECRET_DIRECTORY
from components.login_slots import active_slot, slot_passwords
from tests.unit.database.graph import CANARY_MASTER, DIGEST_KEY, MANAGED, OIDC_PROVIDER, TAGS, lineage, record_access
from tests.unit.monitor import Recording, Secret, leaves

pytestmark = pytest.mark.unit

LOGIN_PASSWORD = "canary-password-database-access-login-{slot}-0123456789abcdef0123456789"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_access()


def pod(recording: Recording) -> dict[str, Any]:
    found: dict[str, Any] = recording["database-access-job"].inputs["spec"]["template"]["spec"]
    return found


def test_resources_have_these_names_and_one_parent(recording: Recording) -> None:
    others = {name for name in lineage(recording) if name.startswith("random:index/randomId:")}
    assert lineage(recording) - others == {
        "teleport-access-graph:index:LoginRetirement::database-logins",
        "teleport-access-graph:index:LoginRetirement$kubernetes:batch/v1:Job::database-logins-job",
        "teleport-access-graph:index:DatabaseAccess::database-access",
        *(
            f"teleport-access-graph:index:DatabaseAccess${child}"
            for child in (
                "random:index/randomPassword:RandomPassword::database-access-login-a",
                "aws:iam/role:Role::database-access-role",
                "aws:iam/rolePolicy:RolePolicy::database-access-role-policy",
                "kubernetes:core/v1:ServiceAccount::database-access-service-account",
                "kubernetes:core/v1:Secret::database-access-secret",
                "kubernetes:batch/v1:Job::database-access-job",
            )
        ),
    }


@pytest.mark.slow
@pytest.mark.parametrize("managed", [True, False])
def test_plain_mapping_builds_the_same(managed: bool) -> None:
    assert record_access(managed=managed, as_mapping=True).in_order() == record_access(managed=managed).in_order()


def test_job_waits_for_all_that_it_needs(recording: Recording) -> None:
    assert recording.ancestors("database-access-job") == {
        "reachable",
        "database-access-login-a",
        "database-access-role",
        "database-access-role-policy",
        "database-access-service-account",
        "database-access-secret",
    }


def test_role_is_for_one_service_account_and_one_secret(recording: Recording) -> None:
    role = recording["database-access-role"].inputs
    assert role["tags"] == TAGS
    (statement,) = json.loads(role["assumeRolePolicy"])["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Federated": OIDC_PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                "oidc.eks.us-east-1.amazonaws.com/id/ABCDEF:sub": (
                    "system:serviceaccount:teleport-access-graph:teleport-access-graph-database-access"
                ),
                "oidc.eks.us-east-1.amazonaws.com/id/ABCDEF:aud": "sts.amazonaws.com",
            }
        },
    }
    assert json.loads(recording["database-access-role-policy"].inputs["policy"])["Statement"] == [
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": MANAGED["master_secret_arn"]},
        {
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": MANAGED["kms_key_arn"],
            "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": MANAGED["master_secret_arn"]}},
        },
    ]
    account = recording["database-access-service-account"].inputs
    assert account["metadata"]["annotations"] == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/database-access-role"
    }
    assert account["automountServiceAccountToken"] is False


def test_oidc_provider_of_another_partition_is_taken_as_it_is() -> None:
    arn = "arn:aws-cn:iam::123456789012:oidc-provider/oidc.eks.cn-north-1.amazonaws.com.cn/id/1"
    policy = json.loads(service_account_trust(oidc_provider_arn=arn, namespace="n", service_account="s"))
    assert policy["Statement"][0]["Principal"] == {"Federated": arn}
    assert "oidc.eks.cn-north-1.amazonaws.com.cn/id/1:sub" in policy["Statement"][0]["Condition"]["StringEquals"]


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::1:role/x", "https://oidc.eks.us-east-1.amazonaws.com/id/1", "arn:aws:iam::1:oidc-provider/"]
)
def test_anything_but_an_oidc_provider_is_refused(arn: str) -> None:
    with pytest.raises(ValueError, match=r"oidc_provider_arn: .* is no OIDC provider's ARN"):
        service_account_trust(oidc_provider_arn=arn, namespace="n", service_account="s")


@pytest.mark.parametrize("managed", [True, False])
def test_pod_fits_the_restricted_standard(managed: bool) -> None:
    spec = pod(record_access(managed=managed))
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    assert len(containers) == (2 if managed else 1)
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"].keys() == {"requests", "limits"}
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", "the engine shows why the Job failed"
    assert {next(iter(volume.keys() - {"name"})) for volume in spec["volumes"]} <= {"configMap", "emptyDir"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["restartPolicy"] == "Never"


def test_the_fetched_master_password_is_on_no_disk(recording: Recording) -> None:
    spec = pod(recording)
    (fetches,), (runs,) = spec["initContainers"], spec["containers"]
    handed = [
        {mount["name"] for mount in one["volumeMounts"] if mount["mountPath"] == MASTER_SECRET_DIRECTORY}
        for one in (fetches, runs)
    ]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert [volumes[name]["emptyDir"]["medium"] for (name,) in handed] == ["Memory", "Memory"]
    assert handed[0] == handed[1]


def test_job_ends_in_time_and_is_replaced_when_it_failed(recording: Recording) -> None:
    job = recording["database-access-job"].inputs
    assert job["metadata"]["annotations"] == {
        "pulumi.com/replaceUnready": "true",
        # Longer than the Job's deadline, so that the user reads the Job's own reason for the failure.
        "pulumi.com/timeoutSeconds": "720",
    }
    assert job["spec"].keys() == {"backoffLimit", "activeDeadlineSeconds", "template"}, (
        "no time to live: it would drift"
    )
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (2, 600)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"rotation": 1},
        {"image": "postgres:18"},
        {"aws_cli_image": "aws-cli:3"},
        {"host": "elsewhere"},
        {"port": 5433},
        {"database_name": "other"},
        {"master_username": "other"},
        {"extensions": ["vector"]},
        {"timeout_seconds": 60},
        {"digest_key": DIGEST_KEY[::-1]},
    ],
)
def test_whatever_changes_the_job_changes_its_name(recording: Recording, changes: dict[str, Any]) -> None:
    def name(made: Recording) -> str:
        found: str = made["database-access-job"].inputs["metadata"]["name"]
        return found

    assert name(record_access(**changes)) != name(recording)
    assert name(record_access()) == name(recording)


@pytest.mark.slow
@pytest.mark.parametrize("whose", ["the login's", "the master's"])
def test_another_password_runs_the_job_again_although_its_pod_is_the_same(whose: str) -> None:
    """Such as one that `up --replace` makes: with it in the URI and not in the database, TAG could not log in."""
    changes: dict[str, Any] = {"managed": False}
    before = record_access(**changes)
    if whose == "the login's":
        password = {"random:index/randomPassword:RandomPassword": {"!result": "another-password-0123456789abcdef"}}
        changes |= {"computed": password}
    else:
        changes |= {"master_password": "another"}
    jobs = [one["database-access-job"] for one in (before, record_access(**changes))]
    assert jobs[0].plain("spec") == jobs[1].plain("spec")
    assert jobs[0].plain("metadata.name") != jobs[1].plain("metadata.name")


def test_generated_master_password_is_a_key_of_the_jobs_secret() -> None:
    recording = record_access(managed=False)
    assert recording["database-access-secret"].plain("stringData.master-password") == CANARY_MASTER
    assert recording.of_type("aws:iam/role:Role") == []


@pytest.mark.slow
@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("rotation", [0, 1, 2])
def test_no_secret_is_anywhere_in_plain(managed: bool, rotation: int) -> None:
    recording = record_access(managed=managed, rotation=rotation)
    verifier = recording["database-access-secret"].plain("stringData.login-verifier")
    everything = [
        *(item.inputs for item in recording.registrations),
        *recording.component_outputs.values(),
        recording.outputs,
    ]
    plain = [
        text for values in everything for _, text, secret in leaves(values) if not secret and isinstance(text, str)
    ]
    for hidden in ("canary-", verifier, DIGEST_KEY):
        assert [text for text in plain if hidden in text] == []


def test_the_job_holds_no_login_password(recording: Recording) -> None:
    """The Job gets only the verifier that PostgreSQL stores; the password is only in the URI."""
    values = recording["database-access-secret"].plain("stringData")
    assert values.keys() == {"login-verifier"}
    assert values["login-verifier"].startswith("SCRAM-SHA-256$4096:")


def test_passwords_reach_the_pod_by_reference_alone() -> None:
    environment = {item["name"]: item for item in pod(record_access(managed=False))["containers"][0]["env"]}
    reference = {"name": "teleport-access-graph-database-access"}
    assert environment["PGPASSWORD"]["valueFrom"] == {"secretKeyRef": {**reference, "key": "master-password"}}
    assert environment["LOGIN_VERIFIER"]["valueFrom"] == {"secretKeyRef": {**reference, "key": "login-verifier"}}


def test_server_is_verified_by_the_job_too(recording: Recording) -> None:
    environment = {item["name"]: item.get("value") for item in pod(recording)["containers"][0]["env"]}
    assert environment["PGSSLMODE"] == "verify-full"
    assert environment["PGSSLROOTCERT"] == "/var/run/database-ca/bundle.pem"


@pytest.mark.slow
@pytest.mark.parametrize(("rotation", "slot"), [(0, "a"), (1, "b"), (2, "a"), (3, "b"), (100, "a")])
def test_uri_is_the_active_slots(rotation: int, slot: str) -> None:
    recording = record_access(rotation=rotation)
    assert active_slot(rotation) == slot
    outputs = recording.component_outputs["database-access"]
    password = LOGIN_PASSWORD.format(slot=slot)
    assert outputs["uri"] == Secret(
        f"postgres://access_graph_{slot}:{password}@db.abcdefghijkl.us-east-1.rds.amazonaws.com:5432/access_graph"
        f"?sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem"
    )
    assert outputs["login"] == f"access_graph_{slot}"
    assert outputs["owner"] == "access_graph_owner"
    assert outputs["ready"] == recording["database-access-job"].inputs["metadata"]["name"]


def test_a_rotation_renews_one_slot_and_leaves_the_other() -> None:
    assert [slot_passwords(rotation) for rotation in range(4)] == [
        {"a": (0, False)},
        {"a": (0, True), "b": (1, False)},
        {"b": (1, True), "a": (2, False)},
        {"a": (2, True), "b": (3, False)},
    ]
    recording = record_access(rotation=3)
    keepers = {
        item.name: item.inputs["keepers"] for item in recording.of_type("random:index/randomPassword:RandomPassword")
    }
    assert keepers == {"database-access-login-a": {"rotation": "2"}, "database-access-login-b": {"rotation": "3"}}


def test_a_password_that_is_not_in_use_stays_whatever_generation_made_it() -> None:
    """When a rotation is taken back half way and repeated, it finds the same password again: pods may already have
    it."""
    recording = record_access(rotation=3)
    assert recording["database-access-login-a"].ignore_changes == ("keepers",)
    assert recording["database-access-login-b"].ignore_changes == ()


def test_negative_rotation_is_refused() -> None:
    with pytest.raises(ValueError, match="rotation: -1 is negative"):
        slot_passwords(-1)


def test_uri_is_unknown_until_the_job_has_run() -> None:
    """A resource that waits for the URI also waits for the login that the URI names."""
    outputs = record_access(preview=True).component_outputs["database-access"]
    assert "uri" not in outputs or "postgres://" not in str(outputs["uri"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"master_password": "x"}, "exactly one of master_password and master_secret_arn"),
        ({"master_secret_arn": None}, "exactly one of master_password and master_secret_arn"),
        ({"kms_key_arn": None}, "needs kms_key_arn as well"),
        ({"oidc_provider_arn": None}, "exactly one of oidc_provider_arn and eks_cluster_name"),
        ({"eks_cluster_name": "prod"}, "exactly one of oidc_provider_arn and eks_cluster_name"),
        ({"authentication": "kerberos"}, "none of password, iam"),
        ({"authentication": "iam"}, "needs resource_ids and client_service_account as well"),
    ],
)
def test_contradictory_ways_to_the_master_password_are_refused(changes: dict[str, Any], message: str) -> None:
    from components.database_access import DatabaseAccess, DatabaseAccessArgs
    from tests.unit.database.graph import ACCESS

    arguments = {**ACCESS, **MANAGED, **changes}
    with pytest.raises(ValueError, match=message):
        DatabaseAccess("database-access", DatabaseAccessArgs(**arguments))
