"""A pod's token is checked against the role's trust policy, and its session against the role's policies."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from moto.core.base_backend import BackendDict
from moto.iam.models import iam_backends
from moto.kms.models import kms_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import AssumedRole, sts_backends

from sandbox.cloud import web_identity
from sandbox.cloud.calls import Call
from sandbox.cloud.landing_zone import ACCOUNT, OIDC_AUDIENCE, OIDC_ISSUER, REGION
from sandbox.cloud.web_identity import Gate, Refusal

pytestmark = pytest.mark.engine

ISSUER = OIDC_ISSUER.removeprefix("https://")
SUBJECT = "system:serviceaccount:teleport-access-graph:database-access"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/database-access"


@functools.cache
def signing_key() -> RSAKey:
    """One key for all clusters of these tests, because generating it takes a fifth of a second."""
    return RSAKey.generate_key(2048, auto_kid=True)


class Cluster:
    """Signs tokens as an API server does."""

    def __init__(self) -> None:
        self.key = signing_key()
        self.published = [self.key]

    def keys(self) -> Mapping[str, Any]:
        return KeySet(self.published).as_dict(private=False)

    def token(self, key: RSAKey | None = None, **changes: Any) -> str:
        claims = {"iss": OIDC_ISSUER, "sub": SUBJECT, "aud": [OIDC_AUDIENCE], "exp": int(time.time()) + 600, **changes}
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def gate(cluster: Cluster) -> Iterator[Gate]:
    web_identity.install()
    iam = iam_backends[ACCOUNT]["aws"]
    iam.create_open_id_connect_provider(OIDC_ISSUER, ["0" * 40], [OIDC_AUDIENCE], {})
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Principal": {"Federated": provider},
            "Condition": {"StringEquals": {f"{ISSUER}:sub": SUBJECT, f"{ISSUER}:aud": OIDC_AUDIENCE}},
        },
    }
    iam.create_role("database-access", json.dumps(trust), "/", None, "", [], "3600")
    yield Gate(ACCOUNT, cluster.keys)
    BackendDict.reset()


def assume(token: str, role: str = ROLE) -> Call:
    parameters = {"RoleArn": role, "WebIdentityToken": token, "RoleSessionName": "pod"}
    return Call("sts", "AssumeRoleWithWebIdentity", parameters, None, None, REGION, speaks_json=False)


def refusal(gate: Gate, call: Call) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        gate.check(call)
    return caught.value.status, caught.value.code


def test_the_trusted_service_account_may_assume_the_role(gate: Gate, cluster: Cluster) -> None:
    gate.check(assume(cluster.token()))


def test_another_service_account_may_not(gate: Gate, cluster: Cluster) -> None:
    token = cluster.token(sub="system:serviceaccount:default:default")
    assert refusal(gate, assume(token)) == (403, "AccessDenied")


def test_a_role_that_is_not_there_is_refused_in_the_same_words(gate: Gate, cluster: Cluster) -> None:
    assert refusal(gate, assume(cluster.token(), role=ROLE + "-x")) == (403, "AccessDenied")


def test_a_token_for_another_audience_is_refused(gate: Gate, cluster: Cluster) -> None:
    assert refusal(gate, assume(cluster.token(aud=["https://kubernetes.default.svc"]))) == (400, "InvalidIdentityToken")


def test_a_token_of_an_issuer_that_the_account_does_not_know_is_refused(gate: Gate, cluster: Cluster) -> None:
    assert refusal(gate, assume(cluster.token(iss="https://elsewhere.example"))) == (400, "InvalidIdentityToken")


def test_an_expired_token_is_refused(gate: Gate, cluster: Cluster) -> None:
    assert refusal(gate, assume(cluster.token(exp=int(time.time()) - 1))) == (400, "ExpiredTokenException")


def test_a_token_signed_with_another_key_is_refused(gate: Gate, cluster: Cluster) -> None:
    stranger = RSAKey.generate_key(2048, auto_kid=True)
    assert refusal(gate, assume(cluster.token(stranger))) == (400, "InvalidIdentityToken")
    forged = RSAKey.generate_key(2048, parameters={"kid": cluster.key.kid})
    assert refusal(gate, assume(cluster.token(forged))) == (400, "InvalidIdentityToken")


def test_a_tampered_token_is_refused(gate: Gate, cluster: Cluster) -> None:
    header, _, signature = cluster.token().split(".")
    other = cluster.token(sub="system:serviceaccount:kube-system:admin").split(".")[1]
    assert refusal(gate, assume(f"{header}.{other}.{signature}")) == (400, "InvalidIdentityToken")
    assert refusal(gate, assume("no token")) == (400, "InvalidIdentityToken")


def test_a_key_that_the_cluster_came_to_later_is_fetched(gate: Gate, cluster: Cluster) -> None:
    gate.check(assume(cluster.token()))
    newer = RSAKey.generate_key(2048, auto_kid=True)
    cluster.published.append(newer)
    gate.check(assume(cluster.token(newer)))


# What a session may do


@pytest.fixture
def session(gate: Gate) -> AssumedRole:
    return sts_backends[ACCOUNT]["aws"].assume_role_with_web_identity(
        region_name=REGION, role_session_name="pod", role_arn=ROLE, policy=None, duration=900, external_id=None
    )


def read_secret(session: AssumedRole, secret: str) -> Call:
    return Call(
        "secretsmanager",
        "GetSecretValue",
        {"SecretId": secret},
        session.access_key_id,
        session.session_token,
        REGION,
        speaks_json=True,
    )


def make_secret(name: str, kms_key_id: str | None = None) -> str:
    backend = secretsmanager_backends[ACCOUNT][REGION]
    return str(backend.create_managed_secret("rds", name, secret_string="{}", kms_key_id=kms_key_id).arn)


def grant(*statements: dict[str, Any]) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam_backends[ACCOUNT]["aws"].put_role_policy("database-access", "rights", document)


def allow(action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def test_a_session_reads_the_secret_that_its_role_may_read_and_no_other(gate: Gate, session: AssumedRole) -> None:
    mine, other = make_secret("mine"), make_secret("other")
    assert refusal(gate, read_secret(session, mine)) == (400, "AccessDeniedException")
    grant(allow("secretsmanager:GetSecretValue", mine))
    gate.check(read_secret(session, mine))
    gate.check(read_secret(session, "mine"))
    assert refusal(gate, read_secret(session, other)) == (400, "AccessDeniedException")


def test_a_session_may_do_nothing_else(gate: Gate, session: AssumedRole) -> None:
    grant(allow("secretsmanager:GetSecretValue", "*"))
    read = read_secret(session, make_secret("mine"))
    assert refusal(gate, replace(read, action="DeleteSecret")) == (400, "AccessDeniedException")
    assert refusal(gate, replace(read, service="rds", action="DescribeDBInstances")) == (400, "AccessDeniedException")
    gate.check(replace(read, service="sts", action="GetCallerIdentity"))


def test_a_secret_under_an_own_key_needs_the_key_as_well(gate: Gate, session: AssumedRole) -> None:
    key = kms_backends[ACCOUNT][REGION].create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "", None)
    secret = make_secret("mine", key.id)
    grant(allow("secretsmanager:GetSecretValue", secret))
    assert refusal(gate, read_secret(session, secret)) == (400, "AccessDeniedException")
    through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
    grant(allow("secretsmanager:GetSecretValue", secret), {**allow("kms:Decrypt", key.arn), "Condition": through})
    gate.check(read_secret(session, secret))


def test_a_sessions_token_belongs_to_its_key(gate: Gate, session: AssumedRole) -> None:
    secret = make_secret("mine")
    grant(allow("secretsmanager:GetSecretValue", secret))
    call = replace(read_secret(session, secret), session_token="another")
    assert refusal(gate, call) == (403, "UnrecognizedClientException")


def test_other_credentials_are_the_accounts_administrator(gate: Gate) -> None:
    secret = make_secret("mine")
    call = Call("secretsmanager", "GetSecretValue", {"SecretId": secret}, "any", None, REGION, speaks_json=True)
    gate.check(call)
