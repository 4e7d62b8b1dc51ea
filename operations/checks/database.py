"""Proves with the live Secret's own URI what the access graph may do in its database."""

from __future__ import annotations

import re
import secrets
import socket
import tempfile
from pathlib import Path

import psycopg
from psycopg import conninfo, sql

from operations.address_book import AddressBook
from operations.findings import Finding, failed, not_proven, passed

TIMEOUT = 10
# libpq's words for "there is no way from here", as against "the server said no".
_NO_WAY = re.compile(
    r"could not translate host name|timeout expired|timed out|no route to host|network is unreachable"
    r"|connection refused",
    re.IGNORECASE,
)
_STATEMENTS = {
    "database.verify-full": "the URI authenticates the database server",
    "database.connects": "the URI connects with verify-full",
    "database.wrong-name": "a server of another name would be refused",
    "database.owner": "the URI's role owns its database",
    "database.create-schema": "the URI's role can create a schema",
    "database.create-table": "the URI's role can create a table in public",
}


def check_database(
    uri: str, *, authorities: str | None, book: AddressBook, allow_unverified: bool = False
) -> list[Finding]:
    """`authorities` is the PEM of the database's CA bundle; None when the URI relies on the system's.

    Nothing stays behind: what is created is rolled back. No finding has the URI's password.
    """
    try:
        parts = conninfo.conninfo_to_dict(uri)
    except psycopg.ProgrammingError:
        return [failed("database.connects", _STATEMENTS["database.connects"], "the Secret holds no PostgreSQL URI")]
    findings = [_verifies(parts.get("sslmode"), allow_unverified=allow_unverified)]
    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "authorities.pem"
        bundle.touch(mode=0o600)
        bundle.write_text(authorities or "", encoding="ascii")
        verified = {"sslmode": "verify-full", "sslrootcert": str(bundle) if authorities else "system"}
        host, port = str(parts.get("host", "")), int(parts.get("port", 5432))
        try:
            addresses = book.find(host, port) or _addresses(host, port)
        except OSError as error:
            return [*findings, *_unreachable(f"{host} does not resolve here ({error.strerror})", known=False)]
        address, number = addresses[0]
        target = {**parts, **verified, "hostaddr": address, "port": number, "connect_timeout": TIMEOUT}
        try:
            with psycopg.connect(**target) as connection:  # type: ignore[arg-type]
                findings.append(_said("database.connects", f"as {connection.info.user} to {host}:{port}"))
                findings.append(_wrong_name({**target, "host": f"wrong.{host}"}))
                findings += _rights(connection)
        except psycopg.OperationalError as error:
            return [*findings, *_unreachable(_one_line(error), known=book.find(host, port) is not None)]
    return findings


def _verifies(mode: str | int | None, *, allow_unverified: bool) -> Finding:
    check = "database.verify-full"
    if mode == "verify-full":
        return _said(check, "sslmode=verify-full")
    if allow_unverified:
        return not_proven(check, _STATEMENTS[check], f"sslmode={mode}, which database.allowUnverified permits")
    return failed(check, _STATEMENTS[check], f"sslmode={mode}; only verify-full does, write it into the URI")


def _rights(connection: psycopg.Connection[tuple[object, ...]]) -> list[Finding]:
    findings = []
    row = connection.execute(
        "SELECT current_user, current_database(), pg_get_userbyid(datdba), pg_has_role(current_user, datdba, 'USAGE')"
        " FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    assert row is not None  # one is connected to it
    user, database, owner, owns = row
    if owns:
        findings.append(_said("database.owner", f"{user} owns {database}" + ("" if user == owner else f" as {owner}")))
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
            findings.append(_said(check, "done, and rolled back"))
    return findings


def _wrong_name(target: dict[str, object]) -> Finding:
    check = "database.wrong-name"
    try:
        psycopg.connect(**target).close()  # type: ignore[arg-type]
    except psycopg.OperationalError as error:
        reason = _one_line(error)
        if "does not match host name" in reason or "certificate verify failed" in reason:
            return _said(check, "refused, its certificate is for another")
        return failed(check, _STATEMENTS[check], f"failed for another reason: {reason}")
    return failed(check, _STATEMENTS[check], "it was let in; does the URI's sslrootcert take effect?")


def _unreachable(reason: str, *, known: bool) -> list[Finding]:
    """What the server answers is a finding; that no way leads there from this machine is none."""
    remedy = "run this where the access graph's network is, in a pod say"
    rest = [check for check in _STATEMENTS if check != "database.verify-full"]
    if "does not resolve" in reason or (not known and _NO_WAY.search(reason)):
        return [not_proven(check, _STATEMENTS[check], f"{reason}; {remedy}") for check in rest]
    return [failed("database.connects", _STATEMENTS["database.connects"], reason)]


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(str(address[0]), int(address[1])) for *_, address in found]


def _said(check: str, reason: str) -> Finding:
    return passed(check, _STATEMENTS[check], reason)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
