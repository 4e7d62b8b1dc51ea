"""A database that admits the access graph only by IAM, with both ways in which pods get their role."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.auth
import psycopg
import pytest

from components.login_slots import IAM_ROLE, LOGIN_ROLES, OWNER_ROLE
from sandbox.cloud.landing_zone import CLUSTER
from sandbox.cloud.roles import RDS_IAM
from sandbox.home import CHECKOUT, Cache
from tests.engine.conftest import COMMAND_SECONDS, RunningSandbox
from tests.engine.pgx_client import pgx_client, run_client
from tests.engine.stacks import (
    OwnStack,
    Settings,
    aws,
    aws_position,
    aws_writes,
    graph_pods,
    own_stack,
    pod_environment,
    secret_values,
    superuser,
)

pytestmark = pytest.mark.engine

URI = "TAG_POSTGRES_CONNECTION"
BOOK = "ACCESS_GRAPH_ADDRESS_BOOK"
WAYS: dict[str, dict[str, str] | None] = {
    "irsa": None,
    "pod-identity": {"mode": "podIdentity", "clusterName": CLUSTER},
}
# The variables that each way gives a pod. It gives none of the other way's.
VARIABLES = {
    "irsa": {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"},
    "pod-identity": {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"},
}
REFUSED = f'PAM authentication failed for user "{IAM_ROLE}"'
Environment = dict[str, str]


@pytest.fixture(scope="module", params=list(WAYS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stack(way: str, running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    def change(settings: Settings) -> None:
        settings["database"]["authentication"] = "iam"
        if WAYS[way] is not None:
            settings["aws"]["workloadIdentity"] = WAYS[way]

    with own_stack(running_sandbox, f"iam-{way}", change) as stack:
        stack.pulumi("up")
        yield stack


def environment_of_a_pod(stack: OwnStack) -> Environment:
    """Variables about AWS and the database, from the process in one of the access graph's pods."""
    pods = graph_pods(stack, stack.namespace)
    assert len(pods) == 2, "every replica is ready"
    found = pod_environment(stack, pods[0]["metadata"]["uid"])
    assert found is not None
    return {name: value for name, value in found.items() if name.startswith("AWS_") or name in (URI, BOOK)}


@pytest.fixture(scope="module")
def environment(stack: OwnStack) -> Environment:
    return environment_of_a_pod(stack)


@pytest.fixture
def as_the_pod(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def token(stack: OwnStack, uri: str, user: str = IAM_ROLE) -> str:
    """A token for `user`, made by AWS's SDK with the credentials in the environment."""
    parts = urlsplit(uri)
    # A new session, because the default one keeps the credentials that it found first.
    client = boto3.Session(region_name=stack.cloud().region).client("rds")
    return str(client.generate_db_auth_token(DBHostname=parts.hostname, Port=parts.port, DBUsername=user))


def log_in(stack: OwnStack, uri: str, password: str, **changes: str) -> tuple[str, str]:
    """Logs in, and returns the session's user and the role as which it acts."""
    parts = urlsplit(uri)
    book = json.loads((stack.home.names / "databases.json").read_text())
    address, _, port = book[parts.hostname][str(parts.port)][0].rpartition(":")
    options: dict[str, Any] = {
        "host": parts.hostname,
        "hostaddr": address,
        "port": port,
        "user": parts.username,
        "dbname": parts.path.lstrip("/"),
        "sslmode": "verify-full",
        "sslrootcert": str(stack.cloud().rds_authorities),
        "connect_timeout": 10,
        "password": password,
        **changes,
    }
    with psycopg.connect(**options) as connection:
        row = connection.execute("SELECT session_user::text, current_user::text").fetchone()
    assert row is not None
    return row[0], row[1]


def refusal(stack: OwnStack, uri: str, password: str, **changes: str) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        log_in(stack, uri, password, **changes)
    return str(caught.value)


def signed_at(monkeypatch: pytest.MonkeyPatch, seconds_from_now: int, sign: Callable[[], str]) -> str:
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds_from_now)
    with monkeypatch.context() as patched:
        patched.setattr(botocore.auth, "get_current_datetime", lambda: moment)
        made = sign()
    assert f"X-Amz-Date={moment:%Y%m%dT%H%M%SZ}" in made
    return made


def sessions(stack: OwnStack) -> dict[str, int]:
    """The number of open sessions of each of the access graph's logins."""
    with superuser(stack, stack.identifier, "access_graph") as connection:
        rows = connection.execute(
            "SELECT usename, count(*) FROM pg_stat_activity WHERE usename LIKE 'access_graph%' GROUP BY 1"
        ).fetchall()
    return dict(rows)


def verify(stack: OwnStack) -> dict[str, str]:
    """The outcomes of `verify`'s checks of the database, by check."""
    done = subprocess.run(
        [sys.executable, "-m", "operations", "verify", "--json", "--config-file", str(stack.configuration)],
        cwd=CHECKOUT,
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    found = json.loads(done.stdout)["findings"]
    return {one["check"]: one["outcome"] for one in found if one["check"].startswith("database.")}


def test_the_access_graph_is_ready_with_a_uri_that_has_no_password(
    stack: OwnStack, way: str, environment: Environment
) -> None:
    parts = urlsplit(environment[URI])
    assert (parts.username, parts.password) == (IAM_ROLE, None)
    assert (
        secret_values(stack, stack.namespace, stack.outputs()["databaseSecretName"])["uri"].partition("?")[0]
        == (environment[URI].partition("?")[0])
    )
    every = set.union(*VARIABLES.values())
    assert every & environment.keys() == VARIABLES[way]
    assert sessions(stack) == {IAM_ROLE: 2}, "one for each replica"


def test_a_second_up_changes_nothing(stack: OwnStack) -> None:
    position, audit = aws_position(stack), stack.audit_position()
    stack.pulumi("up", "--expect-no-changes")
    assert aws_writes(stack, position) == []
    assert stack.writes(audit) == []


def test_the_real_pgx_logs_in_with_the_pods_own_credentials(stack: OwnStack, environment: Environment) -> None:
    program: Path = pgx_client(Cache.from_environment())
    by_iam = {**environment, "PGX_CLIENT_IAM_REGION": stack.cloud().region}
    proof = run_client(program, by_iam)
    assert (proof["login"], proof["actsAs"], proof["rows"]) == (IAM_ROLE, OWNER_ROLE, 2)
    without_token = {name: environment[name] for name in (URI, BOOK)}
    assert REFUSED in run_client(program, without_token, fails=True)["error"]


def test_the_pods_token_logs_in_as_its_login_and_acts_as_the_owner(stack: OwnStack, as_the_pod: Environment) -> None:
    assert log_in(stack, as_the_pod[URI], token(stack, as_the_pod[URI])) == (IAM_ROLE, OWNER_ROLE)


def test_no_token_is_good_for_anybody_else(stack: OwnStack, as_the_pod: Environment) -> None:
    """The pods' role may log in as one database user, and only that user needs no password."""
    for_owner = token(stack, as_the_pod[URI], OWNER_ROLE)
    assert REFUSED in refusal(stack, as_the_pod[URI], for_owner)
    assert f'password authentication failed for user "{OWNER_ROLE}"' in (
        refusal(stack, as_the_pod[URI], for_owner, user=OWNER_ROLE)
    )
    with superuser(stack, stack.identifier, "access_graph") as connection:
        connection.execute("CREATE ROLE another_iam LOGIN")
        connection.execute("GRANT rds_iam TO another_iam")
    other = token(stack, as_the_pod[URI], "another_iam")
    assert 'PAM authentication failed for user "another_iam"' in (
        refusal(stack, as_the_pod[URI], other, user="another_iam")
    )


@pytest.mark.parametrize("position", [0.02, 0.3, 0.6, 0.9])
def test_a_tampered_token_is_refused(stack: OwnStack, as_the_pod: Environment, position: float) -> None:
    good = token(stack, as_the_pod[URI])
    at = int(len(good) * position)
    tampered = good[:at] + ("a" if good[at] != "a" else "b") + good[at + 1 :]
    assert REFUSED in refusal(stack, as_the_pod[URI], tampered)


def test_a_token_is_refused_after_15_minutes_and_before_it_was_signed(
    stack: OwnStack, as_the_pod: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sign() -> str:
        return token(stack, as_the_pod[URI])

    assert REFUSED in refusal(stack, as_the_pod[URI], signed_at(monkeypatch, -901, sign))
    assert REFUSED in refusal(stack, as_the_pod[URI], signed_at(monkeypatch, 60, sign))
    assert log_in(stack, as_the_pod[URI], signed_at(monkeypatch, -800, sign))[0] == IAM_ROLE


def test_a_token_needs_tls(stack: OwnStack, as_the_pod: Environment) -> None:
    said = refusal(stack, as_the_pod[URI], token(stack, as_the_pod[URI]), sslmode="disable")
    assert "no encryption" in said


def test_verify_proves_that_iam_is_the_only_way_in(stack: OwnStack) -> None:
    assert verify(stack) == dict.fromkeys(
        [
            "database.verify-full",
            "database.connects",
            "database.wrong-name",
            "database.owner",
            "database.create-schema",
            "database.create-table",
            "database.login",
            "database.retired",
            "database.iam",
        ],
        "pass",
    )


def test_verify_proves_nothing_of_a_login_that_iam_no_longer_decides(stack: OwnStack) -> None:
    with superuser(stack, stack.identifier, "access_graph") as connection:
        query = "SELECT grantor::regrole::text FROM pg_auth_members WHERE (roleid, member) = (%s::regrole, %s::regrole)"
        row = connection.execute(query, [RDS_IAM, IAM_ROLE]).fetchone()
        assert row is not None
        # Only whoever granted a membership can revoke it.
        giver = f"GRANTED BY {row[0]}"
        connection.execute(f"REVOKE rds_iam FROM {IAM_ROLE} {giver}")
    try:
        outcomes = verify(stack)
    finally:
        with superuser(stack, stack.identifier, "access_graph") as connection:
            connection.execute(f"GRANT rds_iam TO {IAM_ROLE} {giver}")
    assert (outcomes["database.connects"], outcomes["database.iam"]) == ("not proven", "not proven")


def roles(stack: OwnStack) -> list[str]:
    found = aws(stack, "iam").list_roles()["Roles"]
    return [role["RoleName"] for role in found if role["RoleName"].startswith(stack.identifier)]


def associated(stack: OwnStack) -> list[str]:
    """The ServiceAccounts that get a role by EKS Pod Identity."""
    found = aws(stack, "eks").list_pod_identity_associations(clusterName=CLUSTER, namespace=stack.namespace)
    return sorted(one["serviceAccount"] for one in found["associations"])


def test_it_goes_to_passwords_and_back(stack: OwnStack, way: str) -> None:
    by_iam = environment_of_a_pod(stack)[URI]
    before = len(roles(stack))
    jobs, graph = "teleport-access-graph-database-access", "teleport-access-graph"
    assert associated(stack) == ([graph, jobs] if way == "pod-identity" else [])

    stack.database(authentication="password")
    stack.pulumi("up")
    environment = environment_of_a_pod(stack)
    assert (urlsplit(environment[URI]).username, sessions(stack)) == (LOGIN_ROLES["a"], {LOGIN_ROLES["a"]: 2})
    assert len(roles(stack)) == before - 1, "its pods have no role any more"
    assert associated(stack) == ([jobs] if way == "pod-identity" else [])
    assert f'password authentication failed for user "{IAM_ROLE}"' in refusal(stack, by_iam, "any")
    assert verify(stack).get("database.iam") is None
    assert set(verify(stack).values()) == {"pass"}

    stack.database(authentication="iam")
    stack.pulumi("up")
    environment_by_iam = environment_of_a_pod(stack)
    assert environment_by_iam[URI].partition("?")[0] == by_iam.partition("?")[0]
    assert sessions(stack) == {IAM_ROLE: 2}
    assert VARIABLES[way] <= environment_by_iam.keys()
    password = urlsplit(environment[URI]).password
    assert password is not None
    assert f'password authentication failed for user "{LOGIN_ROLES["a"]}"' in (
        refusal(stack, environment[URI], password)
    )
    assert set(verify(stack).values()) == {"pass"}
