"""The Access Graph stand-in's database: the connection URI as pgx reads it, and the objects the service creates.

Owns what a URI may contain and how the server is verified. Session search and the graph itself are left out: their
tables exist but stay empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg import sql

from operations.address_book import AddressBook
from sandbox.workloads.journal import Journal, StartRefused
from sandbox.workloads.surroundings import inside

_CONNECT_SECONDS = 10
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Read by pgx (pgconn.ParseConfig, pgx.ParseConfig, pgxpool.ParseConfig) and libpq alike: passed on unchanged.
_SHARED = {"sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "connect_timeout", "target_session_attrs"}
# Read only by pgx: they mean nothing to the server or libpq.
_PGX_ONLY = {
    "sslsni", "sslnegotiation", "krbspn", "krbsrvname", "min_read_buffer_size", "min_protocol_version",
    "max_protocol_version", "channel_binding", "default_query_exec_mode", "statement_cache_capacity",
    "description_cache_capacity", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter", "pool_max_conn_idle_time", "pool_health_check_period",
}  # fmt: skip
_FILES = {"sslrootcert", "sslcert", "sslkey"}
# All replicas try to create the objects; this lock admits one at a time.
_LOCK = 7_364_991_180


@dataclass(frozen=True)
class ConnectionString:
    """A PostgreSQL URI. `settings` go to libpq. `server_settings` go to the server: pgx sends it every parameter that
    pgx itself does not know, and the server refuses those it does not know either."""

    host: str
    port: int
    database: str
    user: str
    password: str
    settings: dict[str, str]
    server_settings: dict[str, str]

    @property
    def sslmode(self) -> str:
        return self.settings.get("sslmode", "prefer")


PRIMARY = "TAG_POSTGRES_CONNECTION"
REPLICA = "TAG_POSTGRES_REPLICA_CONNECTION"


def parse_connection_string(text: str, variable: str = PRIMARY) -> ConnectionString:
    """Raises StartRefused; the text names the variable but never shows the URI, which contains the password."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or 5432
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise StartRefused(f"{variable}: cannot parse the URI: {type(error).__name__}") from None
    if parts.scheme not in ("postgres", "postgresql"):
        raise StartRefused(f"{variable}: not a postgres:// URI")
    if not host:
        raise StartRefused(f"{variable}: the URI names no host")
    settings: dict[str, str] = {}
    server: dict[str, str] = {}
    for key, value in query:
        if key in _SHARED:
            settings[key] = str(inside(value)) if key in _FILES and value != "system" else value
        elif key not in _PGX_ONLY:
            server[key] = value
    mode = settings.get("sslmode", "prefer")
    if mode not in _SSL_MODES:
        raise StartRefused(f"{variable}: sslmode is invalid: {mode}")
    if mode.startswith("verify-"):
        # Without a file pgx trusts the system's store, which libpq calls "system".
        settings.setdefault("sslrootcert", "system")
    root = settings.get("sslrootcert", "system")
    if root != "system" and not inside(root).is_file():
        raise StartRefused(f"{variable}: unable to read CA file: open {root}: no such file or directory")
    return ConnectionString(
        host,
        port,
        unquote(parts.path.lstrip("/")) or unquote(parts.username or ""),
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        settings,
        server,
    )


class Database:
    """One persistent connection, reopened when it is lost."""

    def __init__(self, uri: str, backend: dict[str, Any], journal: Journal, variable: str = PRIMARY) -> None:
        self._target = parse_connection_string(uri, variable)
        self._variable = variable
        self._region = (backend.get("aws") or {}).get("region") if "aws" in backend else None
        self._by_iam = "aws" in backend
        self._journal = journal
        self._connection: psycopg.Connection[Any] | None = None

    def open(self) -> None:
        """Connect. Raises StartRefused with the reason given by the server or the TLS library."""
        target = self._target
        if target.sslmode != "verify-full":
            self._journal.warning("the database server is not authenticated", sslmode=target.sslmode)
        try:
            self._connection = self._connect()
        except (psycopg.Error, OSError) as error:
            raise StartRefused(
                f"{self._variable}: failed to connect to `user={target.user} database={target.database}`: {error}"
            ) from None
        version = self._connection.info.server_version
        if version < 140000:
            raise StartRefused(f"PostgreSQL {version // 10000} is too old: 14 or newer is required")
        self._journal.info(
            "connected to the database", host=target.host, user=target.user, tls=self._connection.pgconn.ssl_in_use
        )

    def _connect(self) -> psycopg.Connection[Any]:
        target = self._target
        addresses = AddressBook.from_environment().resolve(target.host, target.port)
        if not addresses:
            raise OSError(f"lookup {target.host}: no such host")
        failure: Exception = OSError("no address")
        for address, port in addresses:
            try:
                return psycopg.connect(
                    host=target.host,
                    hostaddr=address,
                    port=port,
                    dbname=target.database,
                    user=target.user,
                    password=self._password() or None,
                    options=" ".join(f"-c {key}={_escaped(value)}" for key, value in target.server_settings.items()),
                    application_name="access-graph",
                    autocommit=True,
                    **{"connect_timeout": str(_CONNECT_SECONDS), **target.settings},
                )
            except psycopg.Error as error:
                failure = error
        raise failure

    def _password(self) -> str:
        if not self._by_iam:
            return self._target.password
        # A heavy import, needed only where the pods log in by IAM.
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        target = self._target
        try:
            client = boto3.client("rds", **({"region_name": self._region} if self._region else {}))
            return str(client.generate_db_auth_token(DBHostname=target.host, Port=target.port, DBUsername=target.user))
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"failed to build an authentication token: {error}") from None

    def create_objects(self, clusters: list[str]) -> None:
        """Create the service's own table, and one schema per cluster that may register. Raises StartRefused."""
        assert self._connection is not None
        try:
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS public.access_graph_clusters "
                    "(name text PRIMARY KEY, schema_name text NOT NULL)"
                )
                for cluster in clusters:
                    schema = schema_name(cluster)
                    self._connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
                    self._connection.execute(
                        sql.SQL("CREATE TABLE IF NOT EXISTS {}.nodes (id text PRIMARY KEY, kind text NOT NULL)").format(
                            sql.Identifier(schema)
                        )
                    )
                    self._connection.execute(
                        "INSERT INTO public.access_graph_clusters VALUES (%s, %s) ON CONFLICT DO NOTHING",
                        (cluster, schema),
                    )
        except psycopg.Error as error:
            raise StartRefused(f"failed to migrate the database: {error}") from None
        for extension in ("pg_trgm", "vector"):
            row = self._connection.execute("SELECT 1 FROM pg_extension WHERE extname = %s", (extension,)).fetchone()
            if row is None:
                self._journal.warning("session search is limited: a database extension is missing", extension=extension)

    def check(self) -> None:
        """Notice a lost connection and reconnect: with what was loaded at the start, never with a newer Secret."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            self._connection.execute("SELECT 1")
        except (psycopg.Error, OSError) as error:
            self._journal.error("database is not reachable", host=self._target.host, error=str(error).strip())
            self._connection = None


def schema_name(cluster: str) -> str:
    """`tele.example.com` -> `cluster_tele_example_com`, within PostgreSQL's 63 bytes."""
    return ("cluster_" + re.sub(r"[^a-z0-9]+", "_", cluster.lower()))[:63]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
