"""Connection URIs of PostgreSQL: builds one, and checks one that was given.

Pure functions. Accepts only what all readers read alike: libpq, and pgx, the driver of Teleport Access Graph, in all
its versions (before 5.10 by Go's URL parser, then as libpq does). No message contains the URI or a part of its
credentials.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

import pulumi

from components.settings.names import DATABASE_CA_KEY, DEFAULT_POSTGRES_PORT

# Where the chart's `volumes` put the database's CA bundle, in the pods of Access Graph and of the access Job.
CA_BUNDLE_DIRECTORY = "/var/run/database-ca"
CA_BUNDLE_PATH = f"{CA_BUNDLE_DIRECTORY}/{DATABASE_CA_KEY}"

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_COUNT = re.compile(r"[0-9]{1,9}")
_AT_LEAST_ONE = re.compile(r"0*[1-9][0-9]{0,8}")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?(?:ns|us|ms|s|m|h))+")
_TEXT = re.compile(r".*", re.DOTALL)

# pgconn.ParseConfig, pgx.ParseConfig and pgxpool.ParseConfig of pgx 5 take these parameters out of the URI, and stop
# the service at a value that they cannot read. All others go to the server as run-time settings; of those, only
# `application_name` is accepted, which every server knows and operators do set. Parameter -> its values, and their
# name.
PARAMETERS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "sslmode": (_TEXT, ""),  # this one and the next have rules of their own
    "sslrootcert": (_TEXT, ""),
    "sslsni": (re.compile(r"[01]"), "0 or 1"),
    "sslnegotiation": (re.compile(r"postgres|direct"), "postgres or direct"),
    "connect_timeout": (_COUNT, "a number of seconds"),
    # The service writes, so a read-only server is of no use to it.
    "target_session_attrs": (re.compile(r"any|read-write|primary"), "any, read-write or primary"),
    "default_query_exec_mode": (
        re.compile(r"cache_statement|cache_describe|describe_exec|exec|simple_protocol"),
        "cache_statement, cache_describe, describe_exec, exec or simple_protocol",
    ),
    "statement_cache_capacity": (_COUNT, "a number"),
    "description_cache_capacity": (_COUNT, "a number"),
    "pool_max_conns": (_AT_LEAST_ONE, "a number from 1"),
    "pool_min_conns": (_COUNT, "a number"),
    "pool_min_idle_conns": (_COUNT, "a number"),
    "pool_max_conn_lifetime": (_DURATION, "a duration such as 30m"),
    "pool_max_conn_lifetime_jitter": (_DURATION, "a duration such as 5m"),
    "pool_max_conn_idle_time": (_DURATION, "a duration such as 30m"),
    "pool_health_check_period": (_DURATION, "a duration such as 1m"),
    "application_name": (_TEXT, ""),
}

# pgx also reads these from the query, where they would silently overrule the checked part of the URI. In newer versions
# `ssl=true` is an alias of sslmode=require.
OVERRULING_PARAMETERS = frozenset({"host", "hostaddr", "port", "user", "password", "database", "dbname", "ssl"})

# pgx knows these parameters, but Access Graph's pods hold no such files.
FILE_PARAMETERS = frozenset({"sslcert", "sslkey", "sslpassword", "passfile", "service", "servicefile"})

_SCHEME = re.compile(r"postgres(?:ql)?://")
# RFC 3986's unreserved characters and sub-delimiters, which Go's URL parser accepts unescaped in the credentials.
_CREDENTIAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2})*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_PORT = re.compile(r"[0-9]{1,5}")


class DatabaseUriError(pulumi.RunError):
    """A URI that cannot be used. The message has one line for each problem, and no part of the credentials."""


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
    are set, because the server would refuse parameters that pgx does not know.
    """
    credentials = quote(user, safe="") if password is None else f"{quote(user, safe='')}:{quote(password, safe='')}"
    address = f"[{host}]" if ":" in host else quote(host, safe="")
    return (
        f"postgres://{credentials}@{address}:{port}/{quote(database, safe='')}"
        f"?sslmode=verify-full&sslrootcert={quote(ca_path, safe='/')}"
    )


def parse_database_uri(uri: str) -> DatabaseUri:
    """Decode `uri`. Raises `DatabaseUriError` with every fault of its form."""
    problems = _character_problems(uri)
    scheme = _SCHEME.match(uri)
    if scheme is None:
        # Without a scheme nothing else can be checked.
        raise DatabaseUriError(_report([*problems, "must begin with postgres:// or postgresql://"]))
    authority, slash, rest = _split(uri[scheme.end() :], "/?")
    credentials, _, location = authority.rpartition("@")
    if "@" in credentials or "@" in rest:
        problems.append(
            "has more than one '@', and readers split it at different ones; in user and password write '@' as %40, "
            "'/' as %2F and '?' as %3F"
        )
    user, colon, password = credentials.partition(":")
    if not user:
        problems.append("names no user")
    if not _CREDENTIAL.fullmatch(credentials):
        problems.append("has a character in user or password that must be percent-encoded")
    host, port, location_problems = _location(location)
    problems += location_problems
    path, _, query = (rest if slash == "/" else "").partition("?")
    if slash == "?":
        query = rest
    if not path:
        problems.append("names no database; append /<database> to the host")
    elif "/" in path:
        problems.append("has a '/' in the database's name; write it as %2F")
    parameters, parameter_problems = _parameters(query)
    problems += parameter_problems
    if problems:
        raise DatabaseUriError(_report(problems))
    return DatabaseUri(
        host=host,
        port=port,
        database=unquote(path),
        user=unquote(user),
        password=unquote(password) if colon else None,
        parameters=parameters,
    )


def check_database_uri(uri: str, *, allow_unverified: bool = False, ca_bundle_given: bool = False) -> str:
    """Return `uri` unchanged if Teleport Access Graph can use it safely. Otherwise raises `DatabaseUriError` with all
    problems.

    `allow_unverified` is `database.allowUnverified`; `ca_bundle_given` says whether `database.caBundleFile` is set, so
    that the bundle is mounted at `CA_BUNDLE_PATH`.
    """
    parsed = parse_database_uri(uri)
    parameters = parsed.parameters
    problems = []
    if not parsed.password:
        problems.append("has no password, and Access Graph has no other way to log in to an existing database")
    problems += [
        f"has the parameter {name}, which would override another part of the URI; write the value in that part"
        for name in sorted(parameters.keys() & OVERRULING_PARAMETERS)
    ]
    problems += [
        f"has the parameter {name}, which Access Graph's driver (pgx) does not know in every version: it would send it "
        f"to the server as a setting; remove it"
        for name in sorted(parameters.keys() - PARAMETERS.keys() - OVERRULING_PARAMETERS - FILE_PARAMETERS)
    ]
    problems += [
        f"has the parameter {name}, which refers to a file that Access Graph's pods do not have; remove it"
        for name in sorted(parameters.keys() & FILE_PARAMETERS)
    ]
    problems += [
        f"has the parameter {name} with a value that Access Graph's driver (pgx) refuses; give {PARAMETERS[name][1]}"
        for name in sorted(parameters.keys() & PARAMETERS.keys())
        if not PARAMETERS[name][0].fullmatch(parameters[name])
    ]
    problems += _verification_problems(parameters, allow_unverified=allow_unverified, ca_bundle_given=ca_bundle_given)
    if problems:
        raise DatabaseUriError(_report(problems))
    return uri


def _character_problems(uri: str) -> list[str]:
    problems = []
    if any(ord(character) < 0x21 or ord(character) == 0x7F for character in uri):
        problems.append("has white space or control characters; percent-encode them")
    if not uri.isascii():
        problems.append("has characters beyond ASCII; percent-encode their UTF-8 form")
    if re.search(r"%(?![0-9A-Fa-f]{2})", uri):
        problems.append("has a '%' that is no percent-encoding; write it as %25")
    elif not _is_text(uri):
        problems.append("has a percent-encoding that is not valid text; PostgreSQL takes UTF-8 without %00")
    # libpq keeps a '#'; others end the URI there.
    if "#" in uri:
        problems.append("has a fragment; write '#' as %23")
    return problems


def _is_text(encoded: str) -> bool:
    try:
        return "\0" not in unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        return False


def _location(location: str) -> tuple[str, int, list[str]]:
    """Host and port from the text between '@' and '/', and their problems."""
    bracketed = re.fullmatch(r"\[(?P<host>[^\]]*)\](?P<port>:.*)?", location, re.DOTALL)
    if bracketed is not None:
        host, given = bracketed["host"], (bracketed["port"] or "").removeprefix(":")
    else:
        host, _, given = location.partition(":")
    decoded = unquote(host)
    problems = []
    if "," in unquote(location):
        problems.append("names several hosts; give one, such as the cluster's writer endpoint")
    elif not host:
        problems.append("names no host; a socket directory cannot be reached from a pod")
    elif decoded.startswith("/"):
        problems.append("names a socket directory, which cannot be reached from a pod")
    elif not (_is_address(host) if bracketed else _HOST_NAME.fullmatch(host)):
        problems.append(
            "has a host that is neither a DNS name nor an IP address (of IPv6 in brackets, without a zone); if that is "
            "a part of the password, percent-encode it"
        )
    elif given and not (_PORT.fullmatch(given) and 0 < int(given) < 65536):
        problems.append("has an invalid port; give 1 to 65535, and percent-encode user and password")
    return host, DEFAULT_POSTGRES_PORT if problems or not given else int(given), problems


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    # A link-local address means another host on every interface.
    return "%" not in host


def _parameters(query: str) -> tuple[dict[str, str], list[str]]:
    """Parameters by name, and problems of their form. Readers drop, refuse or split malformed pairs differently."""
    pairs = [pair.split("=") for pair in query.split("&")] if query else []
    problems = []
    if any(len(pair) != 2 or not pair[0] for pair in pairs):
        problems.append("has a parameter that is not <name>=<value>; write '=' in a value as %3D and '&' as %26")
    # libpq keeps '+' while some readers turn it into a space; Go's readers refuse ';'.
    for character, encoded in (("+", "%2B"), (";", "%3B")):
        if character in query:
            problems.append(
                f"has a '{character}' among its parameters, which clients read differently; write {encoded}"
            )
    names = [unquote(pair[0]) for pair in pairs]
    repeated = {name for name in names if names.count(name) > 1}
    problems += [f"gives the parameter {name} more than once" for name in sorted(repeated & PARAMETERS.keys())]
    if repeated - PARAMETERS.keys():
        # The name is not shown, because it may be part of a password.
        problems.append("gives a parameter more than once")
    return {unquote(pair[0]): unquote(pair[1]) for pair in pairs if len(pair) == 2}, problems


def _verification_problems(
    parameters: Mapping[str, str], *, allow_unverified: bool, ca_bundle_given: bool
) -> list[str]:
    problems = []
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
    elif not ca_bundle_given and root == "system":
        # pgx before 5.7 takes `system` for a file name.
        problems.append("has sslrootcert=system, which is what Access Graph does without it; remove it")
    elif not ca_bundle_given and root is not None:
        problems.append(
            f"names a file in sslrootcert that no pod has; set database.caBundleFile and sslrootcert={CA_BUNDLE_PATH}"
        )
    return problems


def _split(text: str, separators: str) -> tuple[str, str, str]:
    """`text` before, at and after the first of `separators`."""
    found = re.search(f"[{re.escape(separators)}]", text)
    return (text, "", "") if found is None else (text[: found.start()], found[0], text[found.end() :])


def _report(problems: list[str]) -> str:
    return "\n".join(f"databaseUri: the URI {problem}" for problem in problems)
