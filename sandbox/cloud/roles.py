"""What RDS adds to a new PostgreSQL: its own roles, the master user, and the first database.

The master is no superuser. It has CREATEDB and CREATEROLE and is a member of `rds_superuser`, which holds the
predefined roles that RDS gives it:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Roles.rds_superuser.html
"""

from __future__ import annotations

import psycopg
from psycopg import sql

SUPERUSER = "rdsadmin"
"""The service's own superuser and database; the superuser logs in only over the unix socket."""

RDS_SUPERUSER = "rds_superuser"
RDS_IAM = "rds_iam"

OWN_ROLES = (RDS_SUPERUSER, RDS_IAM, "rds_password", "rds_replication", "rds_ad", "rdsrepladmin", "rds_reserved")

# Granted only if the server's major version has them.
GRANTED_TO_RDS_SUPERUSER = (
    "pg_monitor",
    "pg_signal_backend",
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_checkpoint",
    "pg_use_reserved_connections",
    "pg_create_subscription",
    "pg_maintain",
    RDS_IAM,
    "rds_password",
    "rds_replication",
    "rds_reserved",
)

RESERVED_NAMES = frozenset({SUPERUSER, *OWN_ROLES})


def set_up(connection: psycopg.Connection, master: str, password: str, database: str | None) -> None:
    """Turn a fresh server into what RDS hands over. Repeatable, so that an interrupted first start can resume.

    `connection` is the superuser's, in autocommit mode, to database `postgres`.
    """
    existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for role in OWN_ROLES:
        if role not in existing:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    existing.update(OWN_ROLES)
    for role in GRANTED_TO_RDS_SUPERUSER:
        if role in existing:
            connection.execute(
                sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(sql.Identifier(role), sql.Identifier(RDS_SUPERUSER))
            )
    if master not in existing:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE VALID UNTIL 'infinity'").format(sql.Identifier(master))
        )
    connection.execute(
        sql.SQL("GRANT {} TO {} WITH ADMIN OPTION").format(sql.Identifier(RDS_SUPERUSER), sql.Identifier(master))
    )
    set_password(connection, master, password)

    databases = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
    for owned in ("postgres", "template1"):
        connection.execute(
            sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(owned), sql.Identifier(master))
        )
    if SUPERUSER not in databases:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(SUPERUSER)))
    if database and database not in databases:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(master))
        )


def set_password(connection: psycopg.Connection, role: str, password: str) -> None:
    """Set a role's password. It is hashed on this side, so that no server log can show it."""
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(verifier)))


def client_authentication(force_ssl: bool, front: str) -> str:
    """pg_hba.conf: who may log in, and how; the first matching line decides.

    The superuser may use only the unix socket, as the operating-system user that runs the service. Users let in by IAM
    come from the front's address `front` with a certificate for the user. The front passes all others on unchanged;
    members of rds_iam never get that far.
    """
    kinds = ["hostssl"] if force_ssl else ["hostssl", "hostnossl"]
    lines = [
        f"local all {SUPERUSER} peer map=service",
        f"local replication {SUPERUSER} peer map=service",
        "local all all reject",
        f"host all {SUPERUSER} all reject",
        f"host {SUPERUSER} all all reject",
        f"hostssl all all {front}/32 cert",
        *(f"{kind} all all all scram-sha-256" for kind in kinds),
    ]
    return "\n".join(lines) + "\n"


def user_map(names: list[str]) -> str:
    """pg_ident.conf: the operating-system users that act as the service."""
    return "".join(f"service {name} {SUPERUSER}\n" for name in sorted(set(names)))
