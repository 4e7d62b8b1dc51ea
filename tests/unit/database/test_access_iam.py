"""Logins without a password: who may take which role, and that a role allows login only as one user and only to these
instances.

Also the read replica, which accepts the same login.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi_random as random
import pytest

from components.database_access import DatabaseAccess, DatabaseAccessArgs
from components.database_policies import database_login_policy, pod_identity_trust
from tests.unit.database.graph import (
    ACCESS,
    BY_IAM,
    BY_POD_IDENTITY,
    CANARY_MASTER,
    MANAGED,
    OIDC_PROVIDER,
    TAGS,
    lineage,
    record_access,
)
from tests.unit.monitor import Recording, Secret, leaves, record

pytestmark = pytest.mark.unit

ISSUER = "oidc.eks.us-east-1.amazonaws.com/id/ABCDEF"
HOST = "db.abcdefghijkl.us-east-1.rds.amazonaws.com"
REPLICA: dict[str, Any] = {"replica_host": "replica.abcdefghijkl.us-east-1.rds.amazonaws.com"}


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_access(**BY_IAM)


def statement(recording: Recording, role: str) -> dict[str, Any]:
    (found,) = json.loads(recording[role].inputs["assumeRolePolicy"])["Statement"]
    return dict(found)


def environment(recording: Recording, job: str = "database-access-job") -> dict[str, Any]:
    container = recording[job].inputs["spec"]["template"]["spec"]["containers"][0]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container["env"]}


def test_nothing_is_made_that_only_a_password_needs(recording: Recording) -> None:
    made = {name.rpartition("::")[2] for name in lineage(recording)}
    assert made == {
        "reachable",
        "release",
        "database-access",
        "database-access-role",
        "database-access-role-policy",
        "database-access-client-role",
        "database-access-client-role-policy",
        "database-access-service-account",
        "database-access-job",
        "database-logins",
        "database-logins-job",
    }


def test_the_job_makes_the_login_of_iam_without_a_password(recording: Recording) -> None:
    found = environment(recording)
    assert (found["LOGIN_ROLE"], found["AUTHENTICATION"]) == ("access_graph_iam", "iam")
    assert "LOGIN_VERIFIER" not in found
    assert environment(recording, "database-logins-job")["LOGIN_ROLE"] == "access_graph_iam"


def test_uri_has_no_password_and_is_secret_all_the_same(recording: Recording) -> None:
    outputs = recording.component_outputs["database-access"]
    assert outputs["uri"] == Secret(
        f"postgres://access_graph_iam@{HOST}:5432/access_graph"
        "?sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem"
    )
    assert outputs["login"] == "access_graph_iam"


def test_access_graph_may_connect_as_one_user_to_one_instance(recording: Recording) -> None:
    assert json.loads(recording["database-access-client-role-policy"].inputs["policy"])["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "rds-db:connect",
            "Resource": ["arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/access_graph_iam"],
        }
    ]


def test_a_replica_is_one_more_instance_to_connect_to_by_a_right_that_can_go_by_itself() -> None:
    """The right is removed together with the replica, as the last step, after the pods that use it."""
    recording = record_access(**BY_IAM, **REPLICA, replica_resource_id="db-TWO")
    allowed = {
        item.name: json.loads(item.inputs["policy"])["Statement"][0]["Resource"]
        for item in recording.of_type("aws:iam/rolePolicy:RolePolicy")
        if "client" in item.name
    }
    prefix, role = "arn:aws:rds-db:us-east-1:123456789012:dbuser", "database-access-client-role-policy"
    assert allowed == {
        role: [f"{prefix}:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/access_graph_iam"],
        "database-access-client-replica-policy": [f"{prefix}:db-TWO/access_graph_iam"],
    }
    # Formerly this right was in the client role's own policy, which may lose it only once this policy exists.
    assert "database-access-client-replica-policy" in recording.edges()[role]


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-central-1", "aws"), ("us-gov-west-1", "aws-us-gov"), ("cn-north-1", "aws-cn")]
)
def test_policies_are_of_the_regions_partition(region: str, partition: str) -> None:
    login = json.loads(
        database_login_policy(region=region, account_id="123456789012", resource_ids=["db-1"], user="u")
    )["Statement"][0]
    assert login["Resource"] == [f"arn:{partition}:rds-db:{region}:123456789012:dbuser:db-1/u"]
    trust = json.loads(
        pod_identity_trust(
            region=region, account_id="123456789012", cluster_name="c", namespace="n", service_account="s"
        )
    )["Statement"][0]
    assert trust["Condition"]["StringEquals"]["aws:RequestTag/eks-cluster-arn"] == (
        f"arn:{partition}:eks:{region}:123456789012:cluster/c"
    )


def test_access_graphs_role_is_its_service_accounts_alone(recording: Recording) -> None:
    assert statement(recording, "database-access-client-role") == {
        "Effect": "Allow",
        "Principal": {"Federated": OIDC_PROVIDER},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {
            "StringEquals": {
                f"{ISSUER}:sub": "system:serviceaccount:teleport-access-graph:teleport-access-graph",
                f"{ISSUER}:aud": "sts.amazonaws.com",
            }
        },
    }


def test_annotations_name_the_role_of_those_who_need_one(recording: Recording) -> None:
    annotations = {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/database-access-client-role"}
    assert recording.component_outputs["database-access"]["client_annotations"] == annotations
    assert record_access().component_outputs["database-access"]["client_annotations"] == {}


@pytest.mark.slow
def test_pods_are_told_by_whatever_eks_gives_them_when_they_are_admitted() -> None:
    role = "arn:aws:iam::123456789012:role/database-access-client-role"
    identities = [
        record_access(**arguments).component_outputs["database-access"].get("client_identity")
        for arguments in (BY_IAM, {**BY_IAM, **BY_POD_IDENTITY}, {}, BY_POD_IDENTITY)
    ]
    assert identities == [role, f"database-access-client-pod-identity-id {role}", None, None]


@pytest.mark.parametrize("identity", [{}, BY_POD_IDENTITY])
def test_annotations_come_after_the_permissions_that_they_stand_for(identity: dict[str, Any]) -> None:
    """A pod that starts before its permissions exist is rejected."""

    def program() -> None:
        arguments: dict[str, Any] = {**ACCESS, **MANAGED, **BY_IAM, **identity}
        access = DatabaseAccess("database-access", DatabaseAccessArgs(**arguments))
        random.RandomId("pod", byte_length=4, keepers=access.client_annotations)

    permissions = {"database-access-client-role", "database-access-client-role-policy"}
    if identity:
        permissions |= {"database-access-client-pod-identity"}
    assert permissions <= record(program).edges()["pod"]


def test_the_two_roles_are_not_each_others(recording: Recording) -> None:
    (secrets, key) = json.loads(recording["database-access-role-policy"].inputs["policy"])["Statement"]
    assert (secrets["Resource"], key["Resource"]) == (MANAGED["master_secret_arn"], MANAGED["kms_key_arn"])
    access = statement(recording, "database-access-role")["Condition"]["StringEquals"]
    client = statement(recording, "database-access-client-role")["Condition"]["StringEquals"]
    assert access[f"{ISSUER}:sub"] != client[f"{ISSUER}:sub"]


@pytest.mark.slow
@pytest.mark.parametrize("identity", [{}, BY_POD_IDENTITY], ids=["irsa", "pod-identity"])
def test_every_role_has_path_boundary_and_tags(identity: dict[str, Any]) -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"
    recording = record_access(**BY_IAM, **identity, role_path="/graph/", permissions_boundary_arn=boundary)
    roles = recording.of_type("aws:iam/role:Role")
    assert len(roles) == 2
    for role in roles:
        assert (role.inputs["path"], role.inputs["permissionsBoundary"], role.inputs["tags"]) == (
            "/graph/",
            boundary,
            TAGS,
        )
        assert len(role.inputs["namePrefix"]) <= 38


@pytest.mark.slow
def test_generated_master_password_needs_no_role_of_the_job() -> None:
    recording = record_access(managed=False, oidc_provider_arn=OIDC_PROVIDER, **BY_IAM)
    assert {role.name for role in recording.of_type("aws:iam/role:Role")} == {"database-access-client-role"}
    assert recording["database-access-secret"].plain("stringData") == {"master-password": CANARY_MASTER}


@pytest.mark.slow
@pytest.mark.parametrize("changes", [BY_IAM, {**BY_IAM, **BY_POD_IDENTITY}, {**BY_POD_IDENTITY}, {**REPLICA}])
def test_plain_mapping_builds_the_same(changes: dict[str, Any]) -> None:
    assert record_access(as_mapping=True, **changes).in_order() == record_access(**changes).in_order()


def test_pod_identity_gives_a_role_to_one_service_account_of_one_cluster() -> None:
    recording = record_access(**BY_IAM, **BY_POD_IDENTITY)
    accounts = {
        "database-access": "teleport-access-graph-database-access",
        "database-access-client": "teleport-access-graph",
    }
    for role, service_account in accounts.items():
        assert statement(recording, f"{role}-role") == {
            "Effect": "Allow",
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {
                "StringEquals": {
                    "aws:RequestTag/eks-cluster-arn": "arn:aws:eks:us-east-1:123456789012:cluster/prod",
                    "aws:RequestTag/kubernetes-namespace": "teleport-access-graph",
                    "aws:RequestTag/kubernetes-service-account": service_account,
                }
            },
        }
        association = recording[f"{role}-pod-identity"].inputs
        assert association == {
            "clusterName": "prod",
            "namespace": "teleport-access-graph",
            "serviceAccount": service_account,
            "roleArn": f"arn:aws:iam::123456789012:role/{role}-role",
            "tags": TAGS,
        }
    assert recording["database-access-service-account"].inputs["metadata"]["annotations"] == {}
    assert recording.component_outputs["database-access"]["client_annotations"] == {}


def test_a_pod_comes_after_its_association() -> None:
    """EKS injects credentials when it admits a pod, so the association must exist before the Job's pod."""
    recording = record_access(**BY_IAM, **BY_POD_IDENTITY)
    assert {"database-access-pod-identity", "database-access-role-policy"} <= recording.ancestors("database-access-job")


@pytest.mark.slow
def test_replicas_uri_is_the_same_login_at_its_own_address() -> None:
    password = "canary-password-database-access-login-a-0123456789abcdef0123456789"
    query = "?sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem"
    outputs = record_access(**REPLICA).component_outputs["database-access"]
    assert outputs["replica_uri"] == Secret(
        f"postgres://access_graph_a:{password}@{REPLICA['replica_host']}:5432/access_graph{query}"
    )
    outputs = record_access(**REPLICA, replica_port=6432, **BY_IAM).component_outputs["database-access"]
    assert outputs["replica_uri"] == Secret(
        f"postgres://access_graph_iam@{REPLICA['replica_host']}:6432/access_graph{query}"
    )
    assert "replica_uri" not in record_access().component_outputs["database-access"]


def test_master_password_is_nowhere_in_plain() -> None:
    recording = record_access(managed=False, oidc_provider_arn=OIDC_PROVIDER, **BY_IAM, **REPLICA)
    everything = [*(item.inputs for item in recording.registrations), *recording.component_outputs.values()]
    plain = [
        text for values in everything for _, text, secret in leaves(values) if not secret and isinstance(text, str)
    ]
    assert [text for text in plain if "canary-" in text or "postgres://" in text] == []
