"""Connection URIs of PostgreSQL: building one, and checking one that was given.

Pure functions. What is accepted is what pgx, the driver of Teleport Access Graph, reads. No message contains the URI or
a part of its credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import pulumi

# Where the chart's `volumes` put the database's CA bundle, in Access Graph's pods and in the access Job's.
CA_BUNDLE_PATH = "/var/run/database-ca/bundle.pem"

# pgconn.ParseConfig, pgx.ParseConfig and pgxpool.ParseConfig take these out of the URI; all others go to the server as
# run-time settings. `application_name` is the one of those that every server knows and that operators do set.
PGX_PARAMETERS = frozenset(
    {
        "sslmode", "sslrootcert", "sslsni", "sslnegotiation", "connect_timeout", "target_session_attrs",
        "krbspn", "krbsrvname", "min_read_buffer_size", "default_query_exec_mode", "statement_cache_capacity",
        "description_cache_capacity", "pool_max_conns", "pool_min_conns", "pool_min_idle_conns",
        "pool_max_conn_lifetime", "pool_max_conn_lifetime_jitter", "pool_max_conn_idle_time",
        "pool_health_check_period", "application_name",
    }
)  # fmt: skip

# pgx reads these in the query too, where they would silently overrule the part of the URI that was checked.
AUTHORITY_PARAMETERS = frozenset({"host", "hostaddr", "port", "user", "password", "database", "dbname"})

# pgx knows these, but Access Graph's pods hold no such files; pgx does not know libpq's `sslrootcert=system` as such
# either.
FILE_PARAMETERS = frozenset({"sslcert", "sslkey", "sslpassword", "passfile", "service", "servicefile"})

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


class DatabaseUriError(pulumi.RunError):
    """A URI that cannot be used. The text has one line for each problem, and nothing of the credentials."""


@dataclass(frozen=True, kw_only=True)
class DatabaseUri:
    """The decoded parts of a URI."""

    host: str
    port: int
    database: str
    user: str
    password: str | None = field(repr=False)
    parameters: Mapping[str, str]


def database_uri(
    *, host: str, port: int, database: str, user: str, password: str | None, ca_path: str = CA_BUNDLE_PATH
) -> str:
    """`postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=...`, every part percent-encoded.

    `password` is `None` for IAM authentication, whose tokens the client makes itself. Only `sslmode` and `sslrootcert`
    are given, since the server would refuse what pgx does not know.
    """
    credentials = quote(user, safe="") if password is None else f"{quote(user, safe='')}:{quote(password, safe='')}"
    address = f"[{host}]" if ":" in host else quote(host, safe="")
    return (
        f"postgres://{credentials}@{address}:{port}/{quote(database, safe='')}"
        f"?sslmode=verify-full&sslrootcert={quote(ca_path, safe='/')}"
    )


def parse_database_uri(uri: str) -> DatabaseUri:
    """Decode `uri`. Raises `DatabaseUriError` with all that is wrong with its form."""
    problems = []
    if uri != uri.strip() or any(ord(character) < 0x21 for character in uri):
        problems.append("has white space or control characters; percent-encode them")
    if re.search(r"%(?![0-9A-Fa-f]{2})", uri):
        problems.append("has a '%' that is no percent-encoding; write it as %25")
    try:
        parts = urlsplit(uri.strip())
        port = parts.port
    except ValueError:
        # urllib's own message may quote the credentials: an unencoded '/', '?' or '#' in a password ends the authority
        # early.
        raise DatabaseUriError(
            _report(
                [
                    *problems,
                    "cannot be read as a URI; percent-encode user and password, and give the port as 1 to 65535",
                ]
            )
        ) from None
    if parts.scheme not in ("postgres", "postgresql"):
        problems.append("must begin with postgres:// or postgresql://")
    host = unquote(parts.hostname or "")
    if not host:
        problems.append("names no host; a socket directory cannot be reached from a pod")
    elif "," in host:
        problems.append("names several hosts; give one, such as the cluster's writer endpoint")
    elif host.startswith("/"):
        problems.append("names a socket directory, which cannot be reached from a pod")
    if port == 0:
        problems.append("has port 0; give 1 to 65535")
    database = unquote(parts.path.removeprefix("/"))
    if not database:
        problems.append("names no database; append /<database> to the host")
    elif "/" in parts.path.removeprefix("/"):
        problems.append("has a '/' in the database's name; write it as %2F")
    if not parts.username:
        problems.append("names no user")
    if parts.fragment or uri.endswith("#"):
        problems.append("has a fragment; write '#' as %23")
    # libpq keeps '+' and pgx turns it into a space, so it is neither's to guess.
    if "+" in parts.query:
        problems.append("has a '+' among its parameters, which clients read differently; write %20 or %2B")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    problems += [
        f"gives the parameter {name} more than once"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise DatabaseUriError(_report(problems))
    return DatabaseUri(
        host=host,
        port=port or 5432,
        database=database,
        user=unquote(parts.username or ""),
        password=None if parts.password is None else unquote(parts.password),
        parameters=dict(pairs),
    )


def check_database_uri(uri: str, *, allow_unverified: bool = False, ca_bundle_given: bool = False) -> str:
    """Return `uri` unchanged if Teleport Access Graph can use it safely. Raises `DatabaseUriError` with all problems
    otherwise.

    `allow_unverified` is `database.allowUnverified`; `ca_bundle_given` says whether `database.caBundleFile` is set, so
    that the bundle is mounted at `CA_BUNDLE_PATH`.
    """
    parameters = parse_database_uri(uri).parameters
    problems = [
        f"has the parameter {name}, which would overrule what stands before the '?'; give it there"
        for name in sorted(parameters.keys() & AUTHORITY_PARAMETERS)
    ]
    problems += [
        f"has the parameter {name}, which Access Graph's driver (pgx) does not know and would send to the server as a "
        f"setting; remove it"
        for name in sorted(parameters.keys() - PGX_PARAMETERS - AUTHORITY_PARAMETERS - FILE_PARAMETERS)
    ]
    problems += [
        f"has the parameter {name}, which refers to a file that Access Graph's pods do not have; remove it"
        for name in sorted(parameters.keys() & FILE_PARAMETERS)
    ]
    mode = parameters.get("sslmode")
    if mode is None:
        if not allow_unverified:
            problems.append("has no sslmode, so that the server is not verified; add sslmode=verify-full")
    elif mode not in SSL_MODES:
        problems.append(f"has an sslmode that is none of {', '.join(SSL_MODES)}")
    elif mode != "verify-full" and not allow_unverified:
        problems.append(
            f"has sslmode={mode}, which does not verify the server's name; set sslmode=verify-full, or "
            f"database.allowUnverified: true if the network between is trusted"
        )
    root = parameters.get("sslrootcert")
    if ca_bundle_given and root != CA_BUNDLE_PATH:
        problems.append(f"does not use the bundle of database.caBundleFile; add sslrootcert={CA_BUNDLE_PATH}")
    if not ca_bundle_given and root == CA_BUNDLE_PATH:
        problems.append("names the mounted CA bundle in sslrootcert, but there is none; set database.caBundleFile")
    elif not ca_bundle_given and root is not None:
        problems.append(
            f"names a file in sslrootcert that no pod has; set database.caBundleFile and sslrootcert={CA_BUNDLE_PATH}"
        )
    if problems:
        raise DatabaseUriError(_report(problems))
    return uri


def _report(problems: list[str]) -> str:
    return "\n".join(f"databaseUri: the URI {problem}" for problem in problems)
