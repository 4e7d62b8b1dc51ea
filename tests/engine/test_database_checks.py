"""The database's proofs against a real PostgreSQL server: the program's URI passes all, each defect fails its own."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from components.database_access import OWNER_ROLE
from components.database_logins import LOGIN_ROLES
from components.database_uri import database_uri
from operations.address_book import AddressBook
from operations.checks.database import check_database
from operations.findings import Finding
from tests.engine.database_server import ADDRESS, DATABASE, HOST, PASSWORDS, Server, rds, server, succeed

__all__ = ["rds", "server"]

MOUNTED = "/var/run/database-ca/bundle.pem"
ALL = {
    "database.verify-full": "pass",
    "database.connects": "pass",
    "database.wrong-name": "pass",
    "database.owner": "pass",
    "database.create-schema": "pass",
    "database.create-table": "pass",
}


def uri(server: Server, **changes: str) -> str:
    parts = {"user": LOGIN_ROLES["a"], "password": PASSWORDS["a"], "ca_path": MOUNTED, **changes}
    return database_uri(host=HOST, port=server.port, database=DATABASE, **parts)


def book(server: Server) -> AddressBook:
    return AddressBook(entries={HOST: {str(server.port): [f"{ADDRESS}:{server.port}"]}})


def outcomes(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.check: finding.outcome.value for finding in findings}


def test_the_programs_own_uri_proves_everything_and_leaves_nothing(rds: Server) -> None:
    succeed(rds.run_access("a"))
    findings = check_database(uri(rds), authorities=rds.ca.read_text(), book=book(rds))
    assert outcomes(findings) == ALL, findings
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
        findings = check_database(
            uri(rds, user="stranger", password="stranger"), authorities=rds.ca.read_text(), book=book(rds)
        )
        denied = dict.fromkeys(("database.owner", "database.create-schema"), "fail")
        # Before PostgreSQL 15 everyone who is let in may create in public.
        table = {"database.create-table": "fail"} if rds.major >= 15 else {}
        assert outcomes(findings) == {**ALL, **denied, **table}
        assert f"{OWNER_ROLE} owns" in next(one.reason for one in findings if one.check == "database.owner")
    finally:
        with rds.superuser(DATABASE) as connection:
            connection.execute("DROP OWNED BY stranger")
            connection.execute("DROP ROLE stranger")


def test_a_wrong_password_or_another_authority_fails_to_connect(rds: Server) -> None:
    succeed(rds.run_access("a"))
    wrong = check_database(uri(rds, password="nope"), authorities=rds.ca.read_text(), book=book(rds))
    assert outcomes(wrong) == {"database.verify-full": "pass", "database.connects": "fail"}
    assert "password authentication failed" in wrong[-1].reason
    foreign = check_database(uri(rds), authorities=None, book=book(rds))
    assert outcomes(foreign) == {"database.verify-full": "pass", "database.connects": "fail"}
    assert "certificate verify failed" in foreign[-1].reason


def test_a_uri_that_does_not_verify_the_server_fails(rds: Server) -> None:
    succeed(rds.run_access("a"))
    lax = uri(rds).replace("verify-full", "require")
    findings = check_database(lax, authorities=rds.ca.read_text(), book=book(rds))
    assert outcomes(findings) == {**ALL, "database.verify-full": "fail"}
    permitted = check_database(lax, authorities=rds.ca.read_text(), book=book(rds), allow_unverified=True)
    assert outcomes(permitted) == {**ALL, "database.verify-full": "not proven"}


@pytest.mark.parametrize("host", ["127.0.0.1", "nowhere.invalid"])
def test_no_way_to_the_database_is_no_finding_against_it(host: str) -> None:
    findings = check_database(f"postgres://a:b@{host}:9/c?sslmode=verify-full", authorities=None, book=AddressBook())
    assert outcomes(findings) == {**dict.fromkeys(ALL, "not proven"), "database.verify-full": "pass"}


def test_a_database_that_the_address_book_knows_must_answer() -> None:
    known = AddressBook(entries={"db.test": {"5432": ["127.0.0.1:9"]}})
    findings = check_database("postgres://a:b@db.test/c?sslmode=verify-full", authorities=None, book=known)
    assert outcomes(findings) == {"database.verify-full": "pass", "database.connects": "fail"}


def test_what_is_no_uri_is_told_without_showing_it() -> None:
    findings = check_database("hunter2", authorities=None, book=AddressBook())
    assert outcomes(findings) == {"database.connects": "fail"}
    assert "hunter2" not in str(findings)
