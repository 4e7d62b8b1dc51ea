"""The database checks of `verify` on a real PostgreSQL server: the program's URI passes all, and each defect fails the
check that is meant for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from components.database_uri import database_uri
from components.login_slots import ALL_LOGINS, IAM_ROLE, LOGIN_ROLES, OWNER_ROLE
from operations.address_book import AddressBook
from operations.aws_session import NoSession
from operations.checks.database import OwnLogins, Token, check_database
from operations.findings import WRITTEN_BACK, Finding
from sandbox.cloud.roles import RDS_IAM
from tests.engine.database_server import (
    ADDRESS,
    DATABASE,
    HOST,
    MASTER,
    MASTER_PASSWORD,
    PASSWORDS,
    Server,
    rds,
    server,
    standby,
    succeed,
)

__all__ = ["rds", "server"]

pytestmark = pytest.mark.engine

A, B = LOGIN_ROLES["a"], LOGIN_ROLES["b"]
# The checks for every URI, for one that the stack made, and for one that others made.
ALWAYS = {
    "database.verify-full": "pass",
    "database.connects": "pass",
    "database.wrong-name": "pass",
    "database.owner": "pass",
    "database.create-schema": "pass",
    "database.create-table": "pass",
}
OWN = {**ALWAYS, "database.login": "pass", "database.retired": "pass"}
ALL = {"database.uri": "pass", **ALWAYS}
BY_IAM = {**OWN, "database.iam": "pass"}
TOKEN = "token-" + "t" * 40


def uri(server: Server, **changes: str) -> str:
    parts = {"user": A, "password": PASSWORDS["a"], **changes}
    return database_uri(host=HOST, port=server.port, database=DATABASE, **parts)


def uri_of_iam(server: Server, password: str | None = None) -> str:
    return database_uri(host=HOST, port=server.port, database=DATABASE, user=IAM_ROLE, password=password)


def book(server: Server) -> AddressBook:
    ports = {str(port): [f"{ADDRESS}:{port}"] for port in (server.port, server.port + 100)}
    return AddressBook(entries={HOST: ports})


def own_logins(login: str = A, token: Token | None = None) -> OwnLogins:
    return OwnLogins(login=login, others=[other for other in ALL_LOGINS if other != login], token=token)


def check(server: Server, text: str, own: OwnLogins | None = None, replica_uri: str | None = None) -> list[Finding]:
    authorities = server.ca.read_text()
    return check_database(text, authorities=authorities, book=book(server), own=own, replica_uri=replica_uri)


def outcomes(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.check: finding.outcome.value for finding in findings}


def reason(findings: Sequence[Finding], check: str) -> str:
    return next(finding.reason for finding in findings if finding.check == check)


@contextmanager
def tokens_are_checked(server: Server) -> Iterator[None]:
    """Makes the server check IAM tokens, as RDS does: `TOKEN` is the only valid one. Otherwise it takes any token."""
    succeed(server.run_access(None))
    trusted = f"+{RDS_IAM} all trust"
    with server.client_authentication(trusted, trusted.replace("trust", "scram-sha-256")):
        with server.superuser() as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(IAM_ROLE), sql.Literal(TOKEN)))
        yield


def signed(host: str, port: int, user: str) -> str:
    assert (host, user) == (HOST, IAM_ROLE)
    return TOKEN


def test_the_programs_own_uri_proves_everything_and_leaves_nothing(rds: Server) -> None:
    succeed(rds.run_access("a"))
    findings = check(rds, uri(rds), own_logins())
    assert outcomes(findings) == OWN, findings
    assert reason(findings, "database.login") == f"{A} acts as {OWNER_ROLE}"
    assert reason(findings, "database.retired") == "there is none"
    assert PASSWORDS["a"] not in str(findings)
    with rds.login("a") as connection:
        left = (
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'verify%'"
            " UNION SELECT relname FROM pg_class WHERE relname LIKE 'verify%'"
        )
        assert connection.execute(left).fetchall() == []


def test_a_role_that_owns_nothing_fails_what_it_cannot_do(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with rds.superuser(DATABASE) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
        name = psycopg.sql.Identifier(DATABASE)
        connection.execute(psycopg.sql.SQL("GRANT CONNECT ON DATABASE {} TO stranger").format(name))
    try:
        findings = check(rds, uri(rds, user="stranger", password="stranger"))
        denied = dict.fromkeys(("database.owner", "database.create-schema"), "fail")
        # Before PostgreSQL 15 everyone who can connect may create tables in the schema `public`.
        table = {"database.create-table": "fail"} if rds.major >= 15 else {}
        assert outcomes(findings) == {**ALL, **denied, **table}
        assert f"{OWNER_ROLE} owns" in reason(findings, "database.owner")
    finally:
        with rds.superuser(DATABASE) as connection:
            connection.execute("DROP OWNED BY stranger")
            connection.execute("DROP ROLE stranger")


def test_a_wrong_password_or_another_authority_fails_to_connect(rds: Server) -> None:
    succeed(rds.run_access("a"))
    refused = {"database.verify-full": "pass", "database.connects": "fail"}
    wrong = check(rds, uri(rds, password="nope"), own_logins())
    assert outcomes(wrong) == refused
    assert "password authentication failed" in wrong[-1].reason
    foreign = check_database(uri(rds), authorities=None, book=book(rds), own=own_logins())
    assert outcomes(foreign) == refused
    assert "certificate verify failed" in foreign[-1].reason


def test_a_uri_that_does_not_verify_the_server_fails(rds: Server) -> None:
    succeed(rds.run_access("a"))
    lax = uri(rds).replace("verify-full", "require")
    findings = check(rds, lax)
    assert outcomes(findings) == {**ALL, "database.uri": "fail", "database.verify-full": "fail"}
    permitted = check_database(lax, authorities=rds.ca.read_text(), book=book(rds), allow_unverified=True)
    assert outcomes(permitted) == {**ALL, "database.verify-full": "not proven"}


def test_a_uri_that_the_driver_does_not_read_fails_though_libpq_does(rds: Server) -> None:
    succeed(rds.run_access("a"))
    findings = check(rds, uri(rds) + "&gssencmode=disable")
    assert outcomes(findings) == {**ALL, "database.uri": "fail"}
    assert reason(findings, "database.uri").startswith("it has the parameter gssencmode, which")
    assert PASSWORDS["a"] not in str(findings)
    # The program writes its own URI, so the check for other people's URIs is left out.
    assert "database.uri" not in outcomes(check(rds, uri(rds), own_logins()))


def test_another_login_than_the_configurations_fails(rds: Server) -> None:
    succeed(rds.run_access("a"))
    findings = check(rds, uri(rds), OwnLogins(login=B, others=[]))
    assert outcomes(findings) == {**OWN, "database.login": "fail"}
    assert reason(findings, "database.login") == f"it is {A}, the configuration makes it {B}; run {WRITTEN_BACK}"


def test_a_login_that_does_not_act_as_the_owner_fails(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with rds.superuser() as connection:
        connection.execute(f"ALTER ROLE {A} RESET role")
    findings = check(rds, uri(rds), own_logins())
    assert outcomes(findings)["database.login"] == "fail"
    assert f"{A} acts as {A}, not as {OWNER_ROLE}" in reason(findings, "database.login")


def test_a_login_that_owns_the_database_itself_fails(rds: Server) -> None:
    """The login would own what it makes, and the next login could not use that."""
    succeed(rds.run_access("a"))
    with rds.superuser() as connection:
        connection.execute(f"ALTER ROLE {A} RESET role")
        handed_over = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(DATABASE), sql.Identifier(A))
        connection.execute(handed_over)
    findings = check(rds, uri(rds), own_logins())
    assert outcomes(findings) == {**OWN, "database.login": "fail"}
    assert f"{A} acts as {A}, not as {A}: what it makes is lost" in reason(findings, "database.login")


def test_a_login_that_was_not_retired_fails_until_it_is(rds: Server) -> None:
    for slot in ("a", "b", None):
        succeed(rds.run_access(slot))
    findings = check(rds, uri(rds), own_logins())
    assert outcomes(findings) == {**OWN, "database.retired": "fail"}
    assert f"{B}, {IAM_ROLE} can log in" in reason(findings, "database.retired")
    succeed(rds.run_retirement("a"))
    findings = check(rds, uri(rds), own_logins())
    assert outcomes(findings) == OWN
    assert reason(findings, "database.retired") == f"{B}, {IAM_ROLE} is refused"


def test_a_login_of_iam_proves_that_a_token_alone_lets_it_in(rds: Server) -> None:
    with tokens_are_checked(rds):
        findings = check(rds, uri_of_iam(rds), own_logins(IAM_ROLE, signed))
    assert outcomes(findings) == BY_IAM, findings
    assert reason(findings, "database.iam") == "by a token, and refused with a made-up one"
    assert TOKEN not in str(findings)


def test_a_server_that_takes_any_token_fails(rds: Server) -> None:
    succeed(rds.run_access(None))
    findings = check(rds, uri_of_iam(rds), own_logins(IAM_ROLE, signed))
    assert outcomes(findings) == {**BY_IAM, "database.iam": "fail"}
    assert reason(findings, "database.iam") == "with a made-up token: it is let in"


def test_a_login_that_is_no_member_of_rds_iam_fails(rds: Server) -> None:
    """The database would then take its token for an ordinary password."""
    with tokens_are_checked(rds):
        with rds.connect(MASTER, MASTER_PASSWORD) as connection:
            connection.execute(f"REVOKE {RDS_IAM} FROM {IAM_ROLE}")
        findings = check(rds, uri_of_iam(rds), own_logins(IAM_ROLE, signed))
    assert outcomes(findings) == {**BY_IAM, "database.iam": "fail"}
    assert f"{IAM_ROLE} is no member of rds_iam" in reason(findings, "database.iam")


def test_a_uri_of_iam_with_a_password_fails_and_does_not_show_it(rds: Server) -> None:
    with tokens_are_checked(rds):
        findings = check(rds, uri_of_iam(rds, "left-over"), own_logins(IAM_ROLE, signed))
    assert outcomes(findings) == {**BY_IAM, "database.iam": "fail"}
    assert "left-over" not in str(findings)


def unsigned(host: str, port: int, user: str) -> str:
    raise NoSession("boto3 is not installed here")


@pytest.mark.parametrize(
    ("token", "said"),
    [(unsigned, "boto3 is not installed here"), (lambda *_: "not-allowed", "may rds-db:connect as access_graph_iam")],
    ids=["no-credentials", "credentials-that-may-not"],
)
def test_who_cannot_sign_a_token_has_proven_nothing(rds: Server, token: Token, said: str) -> None:
    with tokens_are_checked(rds):
        findings = check(rds, uri_of_iam(rds), own_logins(IAM_ROLE, token))
    assert outcomes(findings) == {**dict.fromkeys(BY_IAM, "not proven"), "database.verify-full": "pass"}
    assert said in reason(findings, "database.connects")


def replica_of(server: Server, port: int) -> str:
    return uri(server).replace(f":{server.port}/", f":{port}/")


def test_a_replica_that_follows_and_only_reads_passes(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with standby(rds) as port:
        findings = check(rds, uri(rds), own_logins(), replica_of(rds, port))
    assert outcomes(findings) == {**OWN, "database.replica": "pass"}
    assert reason(findings, "database.replica") == f"{HOST}:{port} follows its primary and refuses to write"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text, "writes: it is no replica"),
        (lambda text: text.replace(f":{PASSWORDS['a']}@", ":nope@"), "password authentication failed"),
        (lambda text: text.replace("verify-full", "require"), "does not authenticate the server"),
    ],
    ids=["the-primary-itself", "a-password-of-before", "a-uri-that-does-not-verify"],
)
def test_what_is_no_replica_fails(rds: Server, change: Callable[[str], str], said: str) -> None:
    succeed(rds.run_access("a"))
    findings = check(rds, uri(rds), own_logins(), change(uri(rds)))
    assert outcomes(findings) == {**OWN, "database.replica": "fail"}
    assert said in reason(findings, "database.replica")


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_no_way_to_the_database_is_no_finding_against_it(host: str) -> None:
    findings = check_database(f"postgres://a:b@{host}:9/c?sslmode=verify-full", authorities=None, book=AddressBook())
    unknown = dict.fromkeys(ALL, "not proven")
    assert outcomes(findings) == {**unknown, "database.uri": "pass", "database.verify-full": "pass"}


def test_a_database_that_the_address_book_knows_must_answer() -> None:
    known = AddressBook(entries={"db.test": {"5432": ["127.0.0.1:9"]}})
    findings = check_database("postgres://a:b@db.test/c?sslmode=verify-full", authorities=None, book=known)
    assert outcomes(findings) == {
        "database.uri": "pass",
        "database.verify-full": "pass",
        "database.connects": "fail",
    }


@pytest.mark.parametrize(
    "text", ["hunter2", "postgres://a:hunter2@one,other/c?sslmode=verify-full", "postgres://a:hunter2@h:1,2/c"]
)
def test_what_is_no_uri_of_one_server_is_told_without_showing_it(text: str) -> None:
    findings = check_database(text, authorities=None, book=AddressBook())
    assert outcomes(findings) == {"database.connects": "fail"}
    assert "hunter2" not in str(findings)
