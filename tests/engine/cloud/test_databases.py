"""The server behind an RDS instance: who gets in, over what, and with which rights."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from sandbox.cloud.programs import installations
from tests.engine.cloud.conftest import MASTER, Cloud

pytestmark = pytest.mark.engine

OTHER_MAJORS = [major for major in installations() if major != 17]


def test_a_verified_connection_to_the_endpoint_name_works_with_the_managed_secret(
    cloud: Cloud, database: dict[str, Any]
) -> None:
    with cloud.connect(database) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (MASTER, "access_graph")
        encrypted = connection.execute("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert encrypted is not None
        assert encrypted[0] is True
        assert encrypted[1] in ("TLSv1.2", "TLSv1.3")


def test_another_name_is_refused_by_verify_full(cloud: Cloud, database: dict[str, Any]) -> None:
    other = database["Endpoint"]["Address"].replace("shared.", "other.")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        cloud.connect(database, host=other)


def test_a_client_that_trusts_another_root_is_refused(
    cloud: Cloud, database: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    from sandbox.cloud.authority import RdsAuthority

    stranger = RdsAuthority.at(tmp_path_factory.mktemp("root"), "us-east-1")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        cloud.connect(database, sslrootcert=str(stranger.bundle))


def test_plaintext_is_refused_because_ssl_is_forced_from_version_15_on(cloud: Cloud, database: dict[str, Any]) -> None:
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        cloud.connect(database, sslmode="disable")


def test_tls_below_1_2_is_refused(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        assert connection.execute("SHOW ssl_min_protocol_version").fetchone() == ("TLSv1.2",)


def test_a_wrong_password_is_refused(cloud: Cloud, database: dict[str, Any]) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        cloud.connect(database, password="wrong")


def test_a_parameter_group_may_let_plaintext_in_and_the_change_needs_no_restart(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    rds.create_db_parameter_group(
        DBParameterGroupName="plain", DBParameterGroupFamily="postgres17", Description="without forced TLS"
    )
    force = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    slow = {"ParameterName": "log_min_duration_statement", "ParameterValue": "1234", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName="plain", Parameters=[force, slow])
    instance = cloud.create("plain", DBParameterGroupName="plain")
    with cloud.connect(instance, sslmode="disable") as connection:
        assert connection.execute("SHOW log_min_duration_statement").fetchone() == ("1234ms",)
        started = connection.execute("SELECT pg_postmaster_start_time()").fetchone()

    rds.modify_db_parameter_group(DBParameterGroupName="plain", Parameters=[{**force, "ParameterValue": "1"}])
    cloud.settled("plain")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        cloud.connect(instance, sslmode="disable")
    with cloud.connect(instance) as connection:
        assert connection.execute("SELECT pg_postmaster_start_time()").fetchone() == started


def test_a_value_that_rds_has_by_itself_is_no_modification_and_keeps_no_method(cloud: Cloud) -> None:
    """A program that sets another apply method therefore sets it in every `up`: terraform-provider-aws #39252."""
    rds = cloud.client("rds")

    def forced(major: str, value: str) -> tuple[str, str]:
        name = f"forced-{major}-{value}"
        rds.create_db_parameter_group(
            DBParameterGroupName=name, DBParameterGroupFamily=f"postgres{major}", Description=name
        )
        force = {"ParameterName": "rds.force_ssl", "ParameterValue": value, "ApplyMethod": "immediate"}
        rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[force])
        (found,) = rds.describe_db_parameters(DBParameterGroupName=name)["Parameters"]
        rds.delete_db_parameter_group(DBParameterGroupName=name)
        return found["Source"], found["ApplyMethod"]

    assert forced("17", "1") == ("system", "pending-reboot")
    assert forced("17", "0") == ("user", "immediate")


def test_rds_refuses_parameters_as_the_real_one_does(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    rds.create_db_parameter_group(DBParameterGroupName="odd", DBParameterGroupFamily="postgres17", Description="odd")

    def change(name: str, method: str = "immediate") -> None:
        parameter = {"ParameterName": name, "ParameterValue": "1", "ApplyMethod": method}
        rds.modify_db_parameter_group(DBParameterGroupName="odd", Parameters=[parameter])

    with pytest.raises(ClientError, match="Could not find parameter with name: force_ssl"):
        change("force_ssl")
    with pytest.raises(ClientError, match="cannot be modified"):
        change("listen_addresses")
    with pytest.raises(ClientError, match="static parameter max_connections"):
        change("max_connections")
    change("max_connections", "pending-reboot")


def test_the_master_is_what_rds_gives(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        rights = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = %s",
            [MASTER],
        ).fetchone()
        assert rights == (False, True, True, False, False)
        memberships = connection.execute(
            "SELECT roleid::regrole::text FROM pg_auth_members WHERE member = %s::regrole", [MASTER]
        ).fetchall()
        assert memberships == [("rds_superuser",)]
        owner = connection.execute(
            "SELECT datdba::regrole::text FROM pg_database WHERE datname = 'access_graph'"
        ).fetchone()
        assert owner == (MASTER,)
        assert connection.execute("SELECT rolname FROM pg_roles WHERE rolname = 'rds_iam'").fetchone() == ("rds_iam",)


def test_the_master_needs_set_on_a_role_before_it_gives_it_a_database(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        connection.execute("CREATE ROLE new_owner NOLOGIN")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="must be able to SET ROLE"):
            connection.execute("CREATE DATABASE owned OWNER new_owner")
        connection.execute(f"GRANT new_owner TO {MASTER} WITH SET TRUE")
        connection.execute("CREATE DATABASE owned OWNER new_owner")
        owner = connection.execute("SELECT datdba::regrole::text FROM pg_database WHERE datname = 'owned'").fetchone()
        assert owner == ("new_owner",)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "COPY (SELECT 1) TO '/tmp/never'",
        "ALTER ROLE rdsadmin PASSWORD 'mine'",
        "CREATE ROLE another_superuser SUPERUSER",
        "GRANT rdsadmin TO tag_admin",
        "SET ROLE rdsadmin",
        "ALTER SYSTEM SET ssl = off",
        "CREATE EXTENSION file_fdw",
    ],
)
def test_the_master_cannot_do_what_takes_a_superuser(cloud: Cloud, database: dict[str, Any], statement: str) -> None:
    with (
        cloud.connect(database) as connection,
        pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidGrantOperation)),
    ):
        connection.execute(statement)  # type: ignore[call-overload]


def test_the_master_may_create_trusted_extensions(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        assert connection.execute("SELECT similarity('graph', 'graph')").fetchone() == (1.0,)


def test_no_superuser_logs_in_over_the_network(cloud: Cloud, database: dict[str, Any]) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        cloud.connect(database, user="rdsadmin", password="any", dbname="postgres")
    with cloud.connect(database) as connection:
        assert connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper").fetchall() == [("rdsadmin",)]


def test_a_member_of_rds_iam_has_no_password_login(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        connection.execute("CREATE ROLE by_token LOGIN PASSWORD 'a-password'")
    cloud.connect(database, user="by_token", password="a-password", dbname="postgres").close()
    with cloud.connect(database) as connection:
        connection.execute("GRANT rds_iam TO by_token")
    with pytest.raises(psycopg.OperationalError, match='PAM authentication failed for user "by_token"'):
        cloud.connect(database, user="by_token", password="a-password", dbname="postgres")


def test_a_managed_password_holds_characters_that_a_uri_must_encode(cloud: Cloud, database: dict[str, Any]) -> None:
    password = cloud.master_password(database)
    assert len(password) == 28
    assert not re.search(r"[/@\" ]", password), "RDS never uses these four"


@pytest.mark.skipif(not OTHER_MAJORS, reason="no PostgreSQL of another major version on this machine")
def test_another_major_version_of_this_machine_serves_as_well(cloud: Cloud) -> None:
    major = OTHER_MAJORS[0]
    instance = cloud.create(f"major-{major}", EngineVersion=str(major))
    assert instance["EngineVersion"] == installations()[major].version
    with cloud.connect(instance) as connection:
        assert connection.info.server_version // 10000 == major
        assert connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
        connection.execute("CREATE ROLE owner_of_old NOLOGIN")
        connection.execute(f"GRANT owner_of_old TO {MASTER}")
        connection.execute("CREATE DATABASE old OWNER owner_of_old")


def test_passwords_are_kept_as_scram_verifiers(cloud: Cloud, database: dict[str, Any]) -> None:
    with cloud.connect(database) as connection:
        assert connection.execute("SHOW password_encryption").fetchone() == ("scram-sha-256",)
    log = (cloud.home.logs / "database-shared.log").read_text()
    assert cloud.master_password(database) not in log
