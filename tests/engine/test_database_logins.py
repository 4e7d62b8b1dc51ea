"""The life of the logins on a real PostgreSQL server of every available major version: rotations there and back, a
change to IAM and back, and what a retirement leaves.
"""

from __future__ import annotations

import time

import psycopg
import pytest
from psycopg import sql

from components.database_script import PREPARE_DATABASE
from components.login_slots import IAM_ROLE, LOGIN_ROLES, OWNER_ROLE
from sandbox.cloud.roles import RDS_IAM, RDS_SUPERUSER
from tests.engine.database_server import (
    DATABASE,
    MASTER,
    MASTER_PASSWORD,
    PASSWORDS,
    Finished,
    Server,
    rds,
    server,
    succeed,
)

__all__ = ["rds", "server"]

pytestmark = pytest.mark.engine

A, B = LOGIN_ROLES["a"], LOGIN_ROLES["b"]


def use(server: Server, slot: str | None) -> psycopg.Connection:
    """A connection with the login of that slot, or with the IAM login if `slot` is None."""
    return server.connect(IAM_ROLE, None) if slot is None else server.login(slot)


def rotate(server: Server, slot: str | None) -> None:
    """One whole rotation: makes the login of `slot`, and retires the former ones."""
    succeed(server.run_access(slot))
    succeed(server.run_retirement(slot))


def refused(server: Server, slot: str | None) -> str:
    """The server's refusal of a retired login. For the IAM login it asks for a password, of which there is none."""
    said = "not permitted to log in|password authentication failed|no password supplied"
    with pytest.raises(psycopg.OperationalError, match=said) as refusal:
        use(server, slot)
    return str(refusal.value)


def is_iam_member(server: Server, login: str) -> bool:
    with server.superuser() as connection:
        row = connection.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", (login, RDS_IAM)).fetchone()
    return bool(row and row[0])


def everything_of(server: Server) -> list[tuple[str, str]]:
    """Every table, sequence, view, schema, function and type that somebody made in the database, with its owner."""
    query = """
        SELECT 'relation ' || relname, relowner FROM pg_class
          JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname !~ '^pg_|^information_schema$'
        UNION ALL SELECT 'schema ' || nspname, nspowner FROM pg_namespace
          WHERE nspname !~ '^pg_|^information_schema$|^public$'
        UNION ALL SELECT 'function ' || proname, proowner FROM pg_proc
          JOIN pg_namespace ON pg_namespace.oid = pronamespace
          WHERE nspname !~ '^pg_|^information_schema$'
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
        UNION ALL SELECT 'type ' || typname, typowner FROM pg_type
          JOIN pg_namespace ON pg_namespace.oid = typnamespace
          WHERE nspname !~ '^pg_|^information_schema$' AND typtype = 'e'
    """
    with server.superuser(DATABASE) as connection:
        rows = connection.execute(f"SELECT name, owner::regrole::text FROM ({query}) AS made (name, owner)").fetchall()
    return sorted((str(name), str(owner)) for name, owner in rows)


def make_one_of_each(connection: psycopg.Connection, by: str) -> None:
    for statement in (
        "CREATE SCHEMA {}",
        "CREATE TABLE {}.nodes (id serial PRIMARY KEY, kind text)",
        "CREATE VIEW {}.kinds AS SELECT DISTINCT kind FROM {}.nodes",
        "CREATE FUNCTION {}.answer() RETURNS int LANGUAGE sql AS 'SELECT 42'",
        "CREATE TYPE {}.colour AS ENUM ('red')",
        "CREATE TABLE public.{} (id int)",
    ):
        name = sql.Identifier(f"made_by_{by}")
        connection.execute(sql.SQL(statement).format(*[name] * statement.count("{}")))


def test_what_every_login_made_is_the_owners_through_rotations_there_and_back(rds: Server) -> None:
    for turn, slot in enumerate(("a", "b", "a", None, "b")):
        rotate(rds, slot)
        with use(rds, slot) as connection:
            make_one_of_each(connection, f"turn_{turn}")
            # This login may also change and drop what the former login made.
            if turn:
                before = f"made_by_turn_{turn - 1}"
                connection.execute(f"ALTER TABLE {before}.nodes ADD COLUMN label text")
                connection.execute(f"INSERT INTO {before}.nodes (kind, label) VALUES ('user', 'x')")
                connection.execute(f"DROP TABLE public.{before}")
    made = everything_of(rds)
    assert len(made) >= 5 * 7
    assert {owner for _, owner in made} == {OWNER_ROLE}


@pytest.mark.parametrize("slot", ["a", "b", None])
def test_exactly_one_login_can_log_in_after_a_retirement(rds: Server, slot: str | None) -> None:
    for each in ("a", "b", None):
        succeed(rds.run_access(each))
    assert rds.logins() == {A: True, B: True, IAM_ROLE: True}
    result = rds.run_retirement(slot)
    succeed(result)
    stays = IAM_ROLE if slot is None else LOGIN_ROLES[slot]
    assert rds.logins() == {login: login == stays for login in (A, B, IAM_ROLE)}
    use(rds, slot).close()
    for other in {"a", "b", None} - {slot}:
        refused(rds, other)
    assert is_iam_member(rds, IAM_ROLE) == (slot is None)
    with rds.superuser() as connection:
        query = "SELECT count(*) FROM pg_authid WHERE rolname = ANY (%s) AND rolname <> %s AND rolpassword IS NOT NULL"
        assert connection.execute(query, ([A, B, IAM_ROLE], stays)).fetchone() == (0,)
    assert f"{stays} is the only login" in result.stdout


def test_retired_sessions_end_and_the_present_ones_stay(rds: Server) -> None:
    succeed(rds.run_access("a"))
    old = [rds.login("a") for _ in range(3)]
    succeed(rds.run_access("b"))
    new = rds.login("b")
    succeed(rds.run_retirement("b"))
    for connection in old:
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert new.execute("SELECT session_user").fetchone() == (B,)
    new.close()


def test_a_master_who_may_end_no_session_retires_all_the_same(rds: Server) -> None:
    succeed(rds.run_access("a"))
    succeed(rds.run_access("b"))
    grant = "{} pg_signal_backend {} " + RDS_SUPERUSER
    with rds.superuser() as connection:
        connection.execute(grant.format("REVOKE", "FROM"))
    try:
        with rds.login("a") as old:
            result = rds.run_retirement("b")
            succeed(result)
            assert f"a session of {A} may not be ended by {MASTER}; it ends with its client" in result.stderr
            assert old.execute("SELECT 1").fetchone() == (1,)
    finally:
        with rds.superuser() as connection:
            connection.execute(grant.format("GRANT", "TO") + " WITH ADMIN OPTION")
    assert rds.logins() == {A: False, B: True}


def test_a_second_retirement_changes_nothing_and_does_not_wait(rds: Server) -> None:
    succeed(rds.run_access("a"))
    rotate(rds, None)
    rotate(rds, "b")
    state = (
        "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid ORDER BY 1",
        "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
    )
    with rds.superuser() as connection:
        before = [connection.execute(query).fetchall() for query in state]
        succeed(rds.run_retirement("b", grace=30))
        assert [connection.execute(query).fetchall() for query in state] == before


def test_pods_of_before_are_given_the_time_that_they_may_take_to_end(rds: Server) -> None:
    succeed(rds.run_access("a"))
    succeed(rds.run_access("b"))
    began = time.monotonic()
    succeed(rds.run_retirement("b", grace=2))
    assert time.monotonic() - began >= 2
    assert rds.logins() == {A: False, B: True}


def test_first_roll_out_has_nothing_to_retire(rds: Server) -> None:
    succeed(rds.run_access("a"))
    succeed(rds.run_retirement("a", grace=30))
    assert rds.logins() == {A: True}


@pytest.mark.parametrize("other", ["b", None])
def test_a_rotation_that_failed_before_its_end_can_be_taken_back(rds: Server, other: str | None) -> None:
    """The failed rotation has not touched the login in use. Taking it back leaves that login its password, and retires
    the new one."""
    rotate(rds, "a")
    with rds.login("a") as pods:
        succeed(rds.run_access(other))
        rds.login("a").close()
        succeed(rds.run_access("a"))
        succeed(rds.run_retirement("a"))
        assert pods.execute("SELECT 1").fetchone() == (1,)
    rds.login("a").close()
    refused(rds, other)


def test_a_retirement_that_was_taken_back_gives_the_login_its_password_again(rds: Server) -> None:
    rotate(rds, "a")
    rotate(rds, "b")
    assert A in refused(rds, "a")
    rotate(rds, "a")
    rds.login("a").close()


def test_nothing_is_retired_where_the_login_that_should_stay_cannot_log_in(rds: Server) -> None:
    """As in a database that was restored to a time before a rotation: at least one login must keep working."""
    succeed(rds.run_access("a"))
    result = rds.run_retirement("b")
    assert result.returncode != 0
    assert f"{B} cannot log in, so that the other logins are left as they are" in result.stderr
    assert rds.logins() == {A: True}


def test_login_of_iam_has_no_password_and_acts_as_the_owner(rds: Server) -> None:
    rotate(rds, None)
    with use(rds, None) as connection:
        assert connection.execute("SELECT session_user, current_user").fetchone() == (IAM_ROLE, OWNER_ROLE)
        connection.execute("CREATE SCHEMA cluster_one")
        connection.execute("CREATE TABLE public.events (id int)")
    with rds.superuser() as connection:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        assert connection.execute(query, (IAM_ROLE,)).fetchone() == (None,)
    assert is_iam_member(rds, IAM_ROLE)
    assert not is_iam_member(rds, OWNER_ROLE)


def test_master_does_not_act_as_a_login_of_iam(rds: Server) -> None:
    """In RDS a role that inherits rds_iam can no longer log in by password, so the next Job could not log in."""
    before = inherits_by_way_of(rds, IAM_ROLE)
    rotate(rds, None)
    assert before == []
    assert inherits_by_way_of(rds, IAM_ROLE) == []
    rds.connect(MASTER, MASTER_PASSWORD).close()
    succeed(rds.run_access(None))
    succeed(rds.run_access("a"))


def inherits_by_way_of(server: Server, role: str) -> list[str]:
    """`role`'s name if the master has its rights, otherwise nothing."""
    with server.superuser() as connection:
        query = "SELECT rolname FROM pg_roles WHERE rolname = %s AND pg_has_role(%s, oid, 'USAGE')"
        return [str(name) for (name,) in connection.execute(query, (role, MASTER)).fetchall()]


@pytest.mark.parametrize(("granted", "slot"), [(OWNER_ROLE, "a"), (OWNER_ROLE, None), (A, "a")])
def test_rds_iam_where_it_would_end_a_password_login_is_refused(rds: Server, granted: str, slot: str | None) -> None:
    succeed(rds.run_access("a"))
    with rds.superuser() as connection:
        connection.execute(f"GRANT {RDS_IAM} TO {granted}")
    result = rds.run_access(slot)
    assert result.returncode != 0
    assert f"role {granted} is a member of rds_iam" in result.stderr
    assert f"REVOKE rds_iam FROM {granted}" in result.stderr
    assert IAM_ROLE not in rds.logins()


def test_a_server_without_iam_is_told_of(rds: Server) -> None:
    """Without IAM authentication the server has no role rds_iam."""
    with rds.superuser() as connection:
        connection.execute(f"ALTER ROLE {RDS_IAM} RENAME TO rds_iam_gone")
    try:
        result = rds.run_access(None)
    finally:
        with rds.superuser() as connection:
            connection.execute(f"ALTER ROLE rds_iam_gone RENAME TO {RDS_IAM}")
    assert result.returncode != 0
    assert "this server has no role rds_iam" in result.stderr
    assert rds.logins() == {}


def test_a_server_that_is_too_old_is_told_of(rds: Server) -> None:
    """No server older than 14 is available, so the test raises the script's bound above this server's version."""
    raised = PREPARE_DATABASE.replace("140000", "990000")
    assert raised != PREPARE_DATABASE
    result: Finished = rds.run_access("a", script=raised)
    assert result.returncode != 0
    assert "needs PostgreSQL 14 or newer, and this server is" in result.stderr
    assert "Set database.engineVersion to 14 or newer." in result.stderr
    assert rds.logins() == {}


# Functions that PostgreSQL would call instead of its own if names were looked up in the database's schemas: the
# parameters fit better, or the schema comes first.
HOSTILE = {
    "fits better": ("format", ("text", "text"), "$1, VARIADIC ARRAY[$2]"),
    "fits a name better": ("format", ("text", "name"), "$1, VARIADIC ARRAY[$2::text]"),
    "found first": ("current_setting", ("text",), "$1"),
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_the_master_calls_nothing_that_access_graph_made(
    rds: Server, hostile: tuple[str, tuple[str, ...], str]
) -> None:
    """An attacker who has taken over Access Graph owns the database, and may leave a trap for the next Job."""
    name, parameters, handed_on = hostile
    function = sql.SQL(
        "CREATE FUNCTION public.{name}({parameters}) RETURNS text LANGUAGE plpgsql AS $function$ BEGIN "
        "IF current_user = {master} THEN ALTER ROLE {master_role} PASSWORD 'taken over'; END IF; "
        "RETURN pg_catalog.{name}({handed_on}); END $function$"
    ).format(
        name=sql.Identifier(name),
        parameters=sql.SQL(", ").join(sql.Identifier(each) for each in parameters),
        master=sql.Literal(MASTER),
        master_role=sql.Identifier(MASTER),
        handed_on=sql.SQL(handed_on),
    )
    rotate(rds, "a")
    with rds.login("a") as taken_over:
        taken_over.execute(function)
        database = sql.Identifier(DATABASE)
        taken_over.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, pg_catalog").format(database))
    rotate(rds, "b")
    rds.connect(MASTER, MASTER_PASSWORD, "postgres").close()


def test_a_login_acts_as_the_owner_of_one_database_and_as_nobody_else(rds: Server) -> None:
    rotate(rds, "a")
    with rds.login("a") as connection:
        roles = "SELECT rolname FROM pg_roles WHERE pg_has_role(%s, oid, 'MEMBER') ORDER BY 1"
        assert connection.execute(roles, (A,)).fetchall() == [(A,), (OWNER_ROLE,)]
        databases = "SELECT datname FROM pg_database WHERE pg_has_role(%s, datdba, 'MEMBER')"
        assert connection.execute(databases, (A,)).fetchall() == [(DATABASE,)]
        for role in (A, OWNER_ROLE):
            rights = (
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
                "FROM pg_roles WHERE rolname = %s"
            )
            assert connection.execute(rights, (role,)).fetchone() == (False,) * 5


def test_no_password_is_in_the_servers_log(rds: Server) -> None:
    rotate(rds, "a")
    rotate(rds, "b")
    log = (rds.directory / "server.log").read_text()
    assert "NOLOGIN PASSWORD NULL" in log, "the server logs every statement"
    assert [password for password in PASSWORDS.values() if password in log] == []
