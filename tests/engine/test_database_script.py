"""The access Job's script on a real PostgreSQL server of every available major version."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from components.database_uri import database_uri
from components.login_slots import LOGIN_ROLES, OWNER_ROLE
from tests.engine.database_server import (
    ADDRESS,
    DATABASE,
    HOST,
    MASTER,
    MASTER_PASSWORD,
    PASSWORDS,
    Server,
    rds,
    rds_with_vector,
    server,
    server_with_vector,
    succeed,
)
from tests.engine.postgresql_servers import installations

__all__ = ["rds", "rds_with_vector", "server", "server_with_vector"]

pytestmark = pytest.mark.engine


def test_the_major_versions_of_this_machine_are_all_tested() -> None:
    """The sandbox's own version is always available; the others come from Debian and from npm."""
    assert 17 in [installation.major for installation in installations()]


def test_login_acts_as_the_owner_of_the_database(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with rds.login("a") as connection:
        assert connection.execute("SELECT session_user, current_user").fetchone() == (LOGIN_ROLES["a"], OWNER_ROLE)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == (OWNER_ROLE,)
        connection.execute("CREATE SCHEMA cluster_one")
        connection.execute("CREATE TABLE public.events (id int)")
        table_owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'events'"
        assert connection.execute(table_owner).fetchone() == (OWNER_ROLE,)
        rights = (
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = session_user"
        )
        assert connection.execute(rights).fetchone() == (False, False, False, False, False)


def test_second_run_changes_nothing(rds: Server) -> None:
    succeed(rds.run_access("a"))
    state = (
        "SELECT rolname, rolpassword, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = pg_authid.oid) "
        "FROM pg_authid ORDER BY 1",
        "SELECT datname, datacl::text, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1",
        "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
    )
    with rds.superuser() as connection:
        before = [connection.execute(query).fetchall() for query in state]
        succeed(rds.run_access("a"))
        assert [connection.execute(query).fetchall() for query in state] == before


def test_rotation_keeps_the_other_slot_and_shares_what_either_made(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with rds.login("a") as old:
        old.execute("CREATE TABLE made_by_a (id int)")
        succeed(rds.run_access("b"))
        with rds.login("b") as new:
            new.execute("ALTER TABLE made_by_a ADD COLUMN label text")
            new.execute("CREATE TABLE made_by_b (id int)")
        # Open and new connections with the old slot's login still work, because pods use it until they are replaced.
        old.execute("DROP TABLE made_by_b")
        with rds.login("a") as again:
            again.execute("DROP TABLE made_by_a")


def test_other_roles_cannot_connect(rds: Server) -> None:
    succeed(rds.run_access("a"))
    with rds.superuser() as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    try:
        uri = database_uri(
            host=HOST, port=rds.port, database=DATABASE, user="stranger", password="stranger", ca_path=str(rds.ca)
        )
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(uri, hostaddr=ADDRESS)
    finally:
        with rds.superuser() as connection:
            connection.execute("DROP ROLE stranger")


@pytest.fixture
def former_user(rds: Server) -> Iterator[str]:
    """The user of an access graph that was set up by hand; it owns the database and what is in it."""
    with rds.connect(MASTER, MASTER_PASSWORD) as master:
        master.execute("CREATE ROLE former LOGIN PASSWORD 'former'")
        master.execute("GRANT former TO CURRENT_USER")
        master.execute(sql.SQL("ALTER DATABASE {} OWNER TO former").format(sql.Identifier(DATABASE)))
        master.execute("REVOKE former FROM CURRENT_USER")
    with rds.connect("former", "former") as connection:
        connection.execute("CREATE SCHEMA cluster_one")
        connection.execute("CREATE TABLE cluster_one.events (id int)")
    yield "former"
    for database in (DATABASE, "postgres"):
        with rds.superuser(database) as connection:
            connection.execute("REASSIGN OWNED BY former TO CURRENT_USER")
            connection.execute("DROP OWNED BY former")
    with rds.superuser() as connection:
        connection.execute("DROP ROLE former")


def test_a_database_of_somebody_elses_is_handed_over_by_what_the_job_says(rds: Server, former_user: str) -> None:
    refused = rds.run_access("a")
    assert refused.returncode != 0
    assert f"belongs to {former_user}, and {MASTER} may not hand it over" in refused.stderr
    statements = refused.stderr.partition("in that database: ")[2].splitlines()[0]
    with rds.connect(MASTER, MASTER_PASSWORD) as master:
        for statement in statements.split(";")[:-1]:
            master.execute(statement.encode())
    succeed(rds.run_access("a"))
    with rds.login("a") as connection:
        connection.execute("ALTER TABLE cluster_one.events ADD COLUMN label text")
        connection.execute("CREATE TABLE cluster_one.more (id int)")


def test_extensions_are_made_where_they_are_available(rds: Server) -> None:
    with rds.superuser() as connection:
        available = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions").fetchall()}
    result = rds.run_access("a", extensions="pg_trgm vector no_such_extension")
    succeed(result)
    assert "no_such_extension is not available" in result.stderr
    with rds.superuser(DATABASE) as connection:
        made = {row[0] for row in connection.execute("SELECT extname FROM pg_extension").fetchall()}
    assert made - {"plpgsql"} == {"pg_trgm", "vector"} & available


def test_vector_is_made_where_the_server_has_it(rds_with_vector: Server) -> None:
    succeed(rds_with_vector.run_access("a"))
    with rds_with_vector.login("a") as connection:
        assert connection.execute("SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector").fetchone() == (1.0,)
        assert connection.execute("SELECT similarity('graph', 'graphs') > 0.5").fetchone() == (True,)


def test_untrusted_extension_only_warns(rds: Server) -> None:
    with rds.superuser() as connection:
        query = (
            "SELECT min(name) FROM pg_available_extension_versions WHERE superuser AND NOT trusted AND schema IS NULL"
        )
        row = connection.execute(query).fetchone()
    assert row is not None
    untrusted = str(row[0])
    assert untrusted != "None", "every server comes with one"
    result = rds.run_access("a", extensions=untrusted)
    succeed(result)
    assert f"extension {untrusted} may not be created by tag_admin" in result.stderr


def test_generated_master_password_comes_from_the_environment(rds: Server) -> None:
    succeed(rds.run_access("a", managed=False))
    rds.login("a").close()


@pytest.mark.parametrize(
    "secret",
    [
        '{"password":' + json.dumps(MASTER_PASSWORD) + "}",
        '\n{ "engine" : "postgres",\n "port": 5432, "password" : '
        + json.dumps(MASTER_PASSWORD)
        + ' , "username":"tag_admin" }',
        '{"password":"' + "".join(f"\\u{ord(character):04X}" for character in MASTER_PASSWORD) + '"}',
    ],
    ids=["alone", "spaced", "escaped"],
)
def test_every_spelling_of_the_master_secret_is_read(rds: Server, secret: str) -> None:
    succeed(rds.run_access("a", secret=secret))


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "is not the JSON object"),
        ("{}", "has no password"),
        ('{"username":"x"}', "has no password"),
        ('{"password":"x', "ends within a string"),
        ('{"password":"\\u0007"}', "has a character that no RDS password has"),
    ],
)
def test_unreadable_master_secret_fails_with_a_reason(rds: Server, secret: str, message: str) -> None:
    result = rds.run_access("a", secret=secret)
    assert result.returncode != 0
    assert f"master secret: {message}" in result.stderr


def test_neither_password_is_in_the_server_log(rds: Server) -> None:
    succeed(rds.run_access("a"))
    log = (rds.directory / "server.log").read_text()
    assert "ALTER ROLE" in log, "the server logs every statement"
    assert PASSWORDS["a"] not in log
    assert rds.installation.psql.exists()


def test_failure_leaves_nothing_half_made(rds: Server) -> None:
    """The script's transaction fails, and none of its roles stays."""
    with rds.superuser() as connection:
        connection.execute(f"ALTER ROLE {MASTER} NOCREATEROLE")
    result = rds.run_access("a")
    assert result.returncode != 0
    assert "permission denied" in result.stderr
    with rds.superuser() as connection:
        made = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'access_graph%'").fetchone()
    assert made == (0,)
