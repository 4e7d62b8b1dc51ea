"""Proves with the live Secret's own URI what TAG may do in its database, and who else can log in."""

from __future__ import annotations

import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo, sql

from components.settings.names import DATABASE_CA_CONFIG_MAP_NAME, DEFAULT_POSTGRES_PORT
from operations.address_book import AddressBook
from operations.aws_session import NoSession
from operations.checks.given_uri import check_given_uri
from operations.findings import WRITTEN_BACK, Finding, failed, not_proven, passed

TIMEOUT = 10
# libpq's messages for "this machine has no way to the server", as opposed to "the server refused".
_NO_WAY = re.compile(
    r"could not translate host name|timeout expired|timed out|no route to host|network is unreachable"
    r"|connection refused",
    re.IGNORECASE,
)
# The server's messages for a refused login; RDS checks IAM tokens through PAM.
_REFUSED = re.compile(r"authentication failed|not permitted to log in|no password supplied|no pg_hba.conf entry")
# To the engine a completed Job is unchanged, so only a new run restores what the Job had made.
_ANEW = "delete the Job teleport-access-graph-database-{}-..., and `up --refresh` runs it anew"
_STATEMENTS = {
    "database.verify-full": "the URI authenticates the database server",
    "database.connects": "the URI connects with verify-full",
    "database.wrong-name": "a server of another name would be refused",
    "database.owner": "the URI's role owns its database",
    "database.create-schema": "the URI's role can create a schema",
    "database.create-table": "the URI's role can create a table in public",
    "database.login": "the login is the one of this configuration and acts as the owner",
    "database.retired": "no other login of the access graph is let in",
    "database.iam": "the login comes in by IAM alone",
    "database.replica": "the replica is let in to and only reads",
}

# (host, port, user) -> a token that serves as the password. Raises `NoSession`.
Token = Callable[[str, int, str], str]


@dataclass(frozen=True, kw_only=True)
class OwnLogins:
    """The logins that the stack makes on its own instance."""

    login: str
    """The login in use."""
    others: Sequence[str]
    """Logins that were retired, or never made."""
    token: Token | None = None
    """Set when the login uses IAM."""
    endpoint: str | None = None
    """`host:port` of the instance, by the stack's outputs; None where they do not tell."""

    def is_at(self, host: str, port: int) -> bool:
        return self.endpoint in (None, f"{host}:{port}")


@dataclass(frozen=True, kw_only=True)
class _Client:
    """Connects as TAG does, by the URI, but with verify-full whatever the URI says."""

    parts: dict[str, Any] = field(repr=False)
    book: AddressBook
    bundle: Path | None
    token: Token | None

    @property
    def place(self) -> tuple[str, int]:
        return str(self.parts.get("host", "")), int(self.parts.get("port") or DEFAULT_POSTGRES_PORT)

    @property
    def user(self) -> str:
        return str(self.parts.get("user", ""))

    def connect(self, **changes: str) -> psycopg.Connection[tuple[Any, ...]]:
        """Raises `psycopg.OperationalError`, and `OSError` for a name that does not resolve."""
        host, port = self.place
        address, number = (self.book.find(host, port) or _addresses(host, port))[0]
        password = (
            {} if self.token is None or "password" in changes else {"password": self.token(host, port, self.user)}
        )
        return psycopg.connect(
            **{
                **self.parts,
                "sslmode": "verify-full",
                "sslrootcert": "system" if self.bundle is None else str(self.bundle),
                "hostaddr": address,
                "port": number,
                "connect_timeout": TIMEOUT,
                **password,
                **changes,
            }
        )

    def is_known(self) -> bool:
        """Whether the address book has the server's address, so that failing to reach it is a fault."""
        return self.book.find(*self.place) is not None


def check_database(
    uri: str,
    *,
    authorities: str | None,
    book: AddressBook,
    allow_unverified: bool = False,
    own: OwnLogins | None = None,
    replica_uri: str | None = None,
) -> list[Finding]:
    """`authorities` is the PEM of the database's CA bundle; None when the URI relies on the system's store. `own` is
    set for an instance that the stack makes.

    Nothing stays behind: everything created is rolled back. No finding contains a password.
    """
    parts = _parts(uri)
    if parts is None:
        reason = "the Secret holds no PostgreSQL URI of one server"
        remedy = f"; run {WRITTEN_BACK}" if own else ""
        return [failed("database.connects", _STATEMENTS["database.connects"], f"{reason}{remedy}")]
    findings = []
    if own is None:
        findings.append(
            check_given_uri(uri, ca_bundle_given=authorities is not None, allow_unverified=allow_unverified)
        )
    remedy = f"run {WRITTEN_BACK}" if own else "write it into the URI"
    findings.append(_verifies(parts.get("sslmode"), remedy, allow_unverified=allow_unverified))
    with tempfile.TemporaryDirectory() as directory:
        bundle = None
        if authorities:
            bundle = Path(directory) / "authorities.pem"
            bundle.touch(mode=0o600)
            bundle.write_text(authorities, encoding="utf-8")
        client = _Client(parts=parts, book=book, bundle=bundle, token=own.token if own else None)
        findings += _primary(client, own)
        if replica_uri is not None:
            findings.append(_replica(replica_uri, client))
    return findings


def _primary(client: _Client, own: OwnLogins | None) -> list[Finding]:
    host, port = client.place
    checks = ["connects", "wrong-name", "owner", "create-schema", "create-table"]
    if own is not None:
        checks += ["login", "retired", *(["iam"] if own.token else [])]
    names = [f"database.{check}" for check in checks]
    if own is not None and not own.is_at(host, port):
        # Where it leads may answer, or may be out of this machine's reach: neither would say anything of the stack's.
        reason = f"it leads to {host}:{port}, and the stack's instance is at {own.endpoint}; run {WRITTEN_BACK}"
        return [failed("database.connects", _STATEMENTS["database.connects"], reason)]
    try:
        with client.connect() as connection:
            findings = [_proven("database.connects", f"as {connection.info.user} to {host}:{port}")]
            findings.append(_wrong_name(client))
            findings += _rights(connection)
            if own is not None:
                findings += [_login(connection, own), _retired(connection, client, own)]
                findings += [_by_iam(connection, client)] if own.token else []
            return findings
    except NoSession as error:
        return _not_looked_at(names, str(error))
    except OSError as error:
        return _not_looked_at(names, _elsewhere(f"{host} does not resolve here ({error.strerror})"))
    except psycopg.OperationalError as error:
        reason = _one_line(error)
        if not client.is_known() and _NO_WAY.search(reason):
            return _not_looked_at(names, _elsewhere(reason))
        if client.token is not None and _REFUSED.search(reason):
            return _not_looked_at(names, f"{reason}; take credentials that may rds-db:connect as {client.user}")
        if own is not None and "certificate" in reason:
            reason += f"; if somebody changed the ConfigMap {DATABASE_CA_CONFIG_MAP_NAME}, run {WRITTEN_BACK}"
        return [failed("database.connects", _STATEMENTS["database.connects"], reason)]


def _verifies(mode: str | int | None, remedy: str, *, allow_unverified: bool) -> Finding:
    check = "database.verify-full"
    if mode == "verify-full":
        return _proven(check, "sslmode=verify-full")
    if allow_unverified:
        return not_proven(check, _STATEMENTS[check], f"sslmode={mode}, which database.allowUnverified permits")
    return failed(check, _STATEMENTS[check], f"sslmode={mode}; only verify-full does, {remedy}")


def _rights(connection: psycopg.Connection[tuple[Any, ...]]) -> list[Finding]:
    findings = []
    row = connection.execute(
        "SELECT current_user, current_database(), pg_get_userbyid(datdba), pg_has_role(current_user, datdba, 'USAGE')"
        " FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None  # the current database always has a row
    user, database, owner, owns = row
    if owns:
        findings.append(
            _proven("database.owner", f"{user} owns {database}" + ("" if user == owner else f" as {owner}"))
        )
    else:
        remedy = f"ALTER DATABASE {database} OWNER TO ..., or correct the URI"
        findings.append(failed("database.owner", _STATEMENTS["database.owner"], f"{owner} owns {database}; {remedy}"))
    name = f"verify_{secrets.token_hex(8)}"
    for check, statement in (
        ("database.create-schema", sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name))),
        ("database.create-table", sql.SQL("CREATE TABLE public.{} (id integer)").format(sql.Identifier(name))),
    ):
        try:
            with connection.transaction(force_rollback=True):
                connection.execute(statement)
        except psycopg.DatabaseError as error:
            reason = f"{_one_line(error)}; grant it, or let the role own the database"
            findings.append(failed(check, _STATEMENTS[check], reason))
        else:
            findings.append(_proven(check, "done, and rolled back"))
    return findings


def _login(connection: psycopg.Connection[tuple[Any, ...]], own: OwnLogins) -> Finding:
    check = "database.login"
    row = connection.execute(
        "SELECT session_user, current_user, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None
    login, acts_as, owner = row
    if login != own.login:
        return failed(
            check, _STATEMENTS[check], f"it is {login}, the configuration makes it {own.login}; run {WRITTEN_BACK}"
        )
    if acts_as != owner or login == owner:
        reason = f"{login} acts as {acts_as}, not as {owner}: what it makes is lost to the next login"
        return failed(check, _STATEMENTS[check], f"{reason}; {_ANEW.format('access')}")
    return _proven(check, f"{login} acts as {owner}")


def _retired(connection: psycopg.Connection[tuple[Any, ...]], client: _Client, own: OwnLogins) -> Finding:
    """The catalogue says whether other logins can log in; trying each with the current login's password proves it."""
    check = "database.retired"
    rows = connection.execute(
        "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = ANY (%s) ORDER BY 1", (list(own.others),)
    ).fetchall()
    live = [name for name, can_log_in in rows if can_log_in]
    if live:
        reason = f"{', '.join(live)} can log in; {_ANEW.format('logins')}"
        return failed(check, _STATEMENTS[check], reason)
    for name, _ in rows:
        said = _knock(client, user=name, password=str(client.parts.get("password", "none")))
        if said is None or not _REFUSED.search(said):
            return failed(check, _STATEMENTS[check], f"{name}: {said or 'is let in'}")
    names = ", ".join(name for name, _ in rows)
    return _proven(check, f"{names} is refused" if names else "there is none")


def _by_iam(connection: psycopg.Connection[tuple[Any, ...]], client: _Client) -> Finding:
    check = "database.iam"
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam' AND pg_has_role(session_user, oid, 'MEMBER'))"
    ).fetchone()
    if row is None or not row[0]:
        reason = f"{client.user} is no member of rds_iam; {_ANEW.format('access')}"
        return failed(check, _STATEMENTS[check], reason)
    if client.parts.get("password"):
        return failed(check, _STATEMENTS[check], f"the URI has a password; run {WRITTEN_BACK}")
    said = _knock(client, password=secrets.token_hex(16))
    if said is None or not _REFUSED.search(said):
        return failed(check, _STATEMENTS[check], f"with a made-up token: {said or 'it is let in'}")
    return _proven(check, "by a token, and refused with a made-up one")


def _replica(uri: str, primary: _Client) -> Finding:
    check = "database.replica"
    parts = _parts(uri)
    if parts is None or parts.get("sslmode") != "verify-full":
        reason = "the replica's URI in the Secret does not authenticate the server; run `up`"
        return failed(check, _STATEMENTS[check], reason)
    client = _Client(parts=parts, book=primary.book, bundle=primary.bundle, token=primary.token)
    host, port = client.place
    try:
        with client.connect() as connection:
            row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(f"CREATE TABLE public.verify_{secrets.token_hex(8)} (id integer)")
            except psycopg.errors.ReadOnlySqlTransaction:
                follows = "follows its primary and" if row and row[0] else "is no standby, yet"
                return _proven(check, f"{host}:{port} {follows} refuses to write")
            return failed(
                check, _STATEMENTS[check], f"{host}:{port} writes: it is no replica; correct database.replica"
            )
    except NoSession as error:
        return not_proven(check, _STATEMENTS[check], str(error))
    except OSError as error:
        reason = _elsewhere(f"{host} does not resolve here ({error.strerror})")
        return not_proven(check, _STATEMENTS[check], reason)
    except psycopg.Error as error:
        reason = _one_line(error)
        if not client.is_known() and _NO_WAY.search(reason):
            return not_proven(check, _STATEMENTS[check], _elsewhere(reason))
        return failed(check, _STATEMENTS[check], reason)


def _wrong_name(client: _Client) -> Finding:
    check = "database.wrong-name"
    said = _knock(client, host=f"wrong.{client.place[0]}")
    if said is None:
        return failed(check, _STATEMENTS[check], "it was let in; does the URI's sslrootcert take effect?")
    if "does not match host name" in said or "certificate verify failed" in said:
        return _proven(check, "refused: the server's certificate is for another name")
    return failed(check, _STATEMENTS[check], f"failed for another reason: {said}")


def _knock(client: _Client, **changes: str) -> str | None:
    """The server's refusal as text; None when it lets the client in."""
    try:
        client.connect(**changes).close()
    except psycopg.OperationalError as error:
        return _one_line(error)
    return None


def _not_looked_at(checks: Sequence[str], reason: str) -> list[Finding]:
    """Not a failure: this machine could not reach the server, so nothing is known against it."""
    return [not_proven(check, _STATEMENTS[check], reason) for check in checks]


def _elsewhere(reason: str) -> str:
    return f"{reason}; run this in the access graph's network, for example in a pod"


def _parts(uri: str) -> dict[str, Any] | None:
    try:
        parts = dict(conninfo.conninfo_to_dict(uri))
    except psycopg.ProgrammingError:
        return None
    host, port = str(parts.get("host", "")), str(parts.get("port") or DEFAULT_POSTGRES_PORT)
    # libpq accepts lists of hosts and ports; one of them may be anybody's.
    if "," in host + port or not (port.isascii() and port.isdigit()):
        return None
    try:
        host.encode("idna")  # as the lookup will; a label has at most 63 characters
    except UnicodeError:
        return None
    return parts


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]


def _proven(check: str, reason: str) -> Finding:
    return passed(check, _STATEMENTS[check], reason)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
