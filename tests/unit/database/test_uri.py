"""Connection URIs: a generated URI round-trips, a given one is checked, and no part of a credential is ever shown."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.database_uri import (
    CA_BUNDLE_PATH,
    PARAMETERS,
    DatabaseUriError,
    check_database_uri,
    database_uri,
    parse_database_uri,
)

pytestmark = pytest.mark.unit

# PostgreSQL's text cannot contain NUL, and lone surrogates are not valid text.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
PORT = st.integers(min_value=1, max_value=65535)
HOST = "db.abc.us-east-1.rds.amazonaws.com"
GOOD = f"postgres://app:secret@{HOST}:5432/graph?sslmode=verify-full"


@pytest.mark.slow
@given(user=TEXT, password=TEXT, database=TEXT, port=PORT)
def test_what_is_built_reads_back_by_every_reader(user: str, password: str, database: str, port: int) -> None:
    uri = database_uri(host=HOST, port=port, database=database, user=user, password=password)

    parts = urlsplit(uri)
    assert parts.hostname == HOST
    assert parts.port == port
    assert unquote(parts.username or "") == user
    assert unquote(parts.password or "") == password
    assert unquote(parts.path[1:]) == database
    assert parse_qs(parts.query) == {"sslmode": ["verify-full"], "sslrootcert": [CA_BUNDLE_PATH]}

    assert psycopg.conninfo.conninfo_to_dict(uri) == {
        "user": user,
        "password": password,
        "host": HOST,
        "port": str(port),
        "dbname": database,
        "sslmode": "verify-full",
        "sslrootcert": CA_BUNDLE_PATH,
    }

    ours = parse_database_uri(uri)
    assert (ours.host, ours.port, ours.database, ours.user, ours.password) == (HOST, port, database, user, password)
    assert check_database_uri(uri, ca_bundle_given=True) == uri


def test_uri_has_the_form_of_the_contract() -> None:
    uri = database_uri(host=HOST, port=5432, database="access_graph", user="access_graph_a", password="p@ss/word")
    assert uri == (
        f"postgres://access_graph_a:p%40ss%2Fword@{HOST}:5432/access_graph"
        f"?sslmode=verify-full&sslrootcert=/var/run/database-ca/bundle.pem"
    )


def test_uri_for_iam_has_no_password() -> None:
    uri = database_uri(host=HOST, port=5432, database="d", user="u", password=None)
    assert urlsplit(uri).password is None
    assert parse_database_uri(uri).password is None


def test_a_password_may_have_what_a_url_need_not_encode() -> None:
    allowed = "a-._~!$&'()*+,;="
    assert parse_database_uri(f"postgres://u:{allowed}@{HOST}/d").password == allowed


def test_port_is_postgresqls_own_when_absent() -> None:
    assert parse_database_uri(f"postgresql://u:p@{HOST}/d").port == 5432


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        (f"mysql://app:secret@{HOST}/graph?sslmode=verify-full", "must begin with postgres://"),
        ("app:secret", "must begin with postgres://"),
        ("", "must begin with postgres://"),
        ("postgres://app:secret@/graph?sslmode=verify-full", "names no host"),
        ("postgres:///graph?sslmode=verify-full", "names no host"),
        ("postgres://app:secret@%2Frun%2Fpostgresql/graph", "names a socket directory"),
        ("postgres://app:secret@one.example,two.example/graph", "names several hosts"),
        ("postgres://app:secret@one.example:5432,two.example:5433/graph", "names several hosts"),
        ("postgres://app:secret@one.example%2Ctwo.example/graph", "names several hosts"),
        (f"postgres://app:secret@{HOST}:0/graph", "has an invalid port"),
        (f"postgres://app:secret@{HOST}:65536/graph", "has an invalid port"),
        (f"postgres://app:secret@{HOST}:port/graph", "has an invalid port"),
        ("postgres://app:secret@[::1/graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@[::1]secret/graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@::1/graph", "names no host"),
        ("postgres://app:secret@2001:db8::1/graph", "has an invalid port"),
        ("postgres://app:secret@[fe80::1%25eth0]/graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@[v1.fe80]/graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@db%2Eexample/graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@db.example./graph", "neither a DNS name nor an IP address"),
        ("postgres://app:secret@-db.example/graph", "neither a DNS name nor an IP address"),
        (f"POSTGRES://app:secret@{HOST}/graph?sslmode=verify-full", "must begin with postgres://"),
        (f"postgresql:app:secret@{HOST}/graph", "must begin with postgres://"),
        (f"postgres://app:secret@{HOST}?sslmode=verify-full", "names no database"),
        (f"postgres://app:secret@{HOST}/?sslmode=verify-full", "names no database"),
        (f"postgres://app:secret@{HOST}/graph/more", "'/' in the database's name"),
        (f"postgres://{HOST}/graph?sslmode=verify-full", "names no user"),
        (f"postgres://:secret@{HOST}/graph?sslmode=verify-full", "names no user"),
        (f"postgres://app@{HOST}/graph?sslmode=verify-full", "has no password"),
        (f"postgres://app:@{HOST}/graph?sslmode=verify-full", "has no password"),
        # Some parsers end the credentials at the first '@', others at the last.
        (f"postgres://app:sec@ret@{HOST}/graph?sslmode=verify-full", "has more than one '@'"),
        (f"postgres://app:5/secret@{HOST}/graph?sslmode=verify-full", "has more than one '@'"),
        (f"postgres://app:5?secret@{HOST}/graph?sslmode=verify-full", "has more than one '@'"),
        (f"{GOOD}&application_name=secret@{HOST}", "has more than one '@'"),
        (f"postgres://app:secret[{HOST}/graph?sslmode=verify-full", "has an invalid port"),
        (f"postgres://app:secret[@{HOST}/graph?sslmode=verify-full", "must be percent-encoded"),
        (f'postgres://app:secret"@{HOST}/graph?sslmode=verify-full', "must be percent-encoded"),
        (f"postgres://app:secrét@{HOST}/graph?sslmode=verify-full", "characters beyond ASCII"),
        (f"postgres://app:secret%00@{HOST}/graph?sslmode=verify-full", "a percent-encoding that is not valid text"),
        (f"postgres://app:secret%FF@{HOST}/graph?sslmode=verify-full", "a percent-encoding that is not valid text"),
        (f"postgres://app:100%secret@{HOST}/graph", "'%' that is no percent-encoding"),
        (f"postgres://app:se cret@{HOST}/graph", "white space"),
        (f"postgres://app:se\x7fcret@{HOST}/graph", "white space or control characters"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=verify-full\n", "white space"),
        (f"{GOOD}#secret", "has a fragment"),
        (f"{GOOD}&application_name=a+b", "has a '+'"),
        (f"{GOOD}&application_name=a;b", "has a ';'"),
        (f"{GOOD}&sslmode=verify-full", "gives the parameter sslmode more than once"),
        # Parsers decode parameter names first.
        (f"{GOOD}&ssl%6Dode=disable", "gives the parameter sslmode more than once"),
        (f"{GOOD}&secret=1&secret=2", "gives a parameter more than once"),
        (f"{GOOD}&application_name", "a parameter that is not <name>=<value>"),
        (f"{GOOD}&application_name=a=b", "a parameter that is not <name>=<value>"),
        (f"{GOOD}&&application_name=a", "a parameter that is not <name>=<value>"),
        (f"{GOOD}&=a", "a parameter that is not <name>=<value>"),
        (f"{GOOD}&ssl=true", "the parameter ssl, which would override"),
        (f"{GOOD}&dbname=other", "the parameter dbname, which would override"),
        (f"{GOOD}&target_session_attrs=read-only", "give any, read-write or primary"),
        (f"{GOOD}&connect_timeout=soon", "give a number of seconds"),
        (f"{GOOD}&pool_max_conns=0", "give a number from 1"),
        (f"{GOOD}&pool_max_conn_lifetime=30", "give a duration such as 30m"),
        (f"{GOOD}&default_query_exec_mode=simple", "cache_statement, cache_describe, describe_exec"),
        (f"{GOOD}&SSLMODE=disable", "the parameter SSLMODE, which Access Graph's driver (pgx) does not know"),
        (f"{GOOD}&min_read_buffer_size=1", "the parameter min_read_buffer_size, which Access Graph's driver"),
        (f"{GOOD}&search_path=public", "the parameter search_path, which Access Graph's driver"),
        (f"{GOOD}&options=-csearch_path%3Dx", "the parameter options, which Access Graph's driver"),
        (f"{GOOD}&sslrootcert=system", "has sslrootcert=system, which is what Access Graph does without it"),
        (f"postgres://app:secret@{HOST}/graph", "has no sslmode"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=require", "has sslmode=require"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=verify-ca", "has sslmode=verify-ca"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=full", "has an sslmode that is none of"),
        (f"{GOOD}&host=elsewhere.example", "the parameter host, which would override"),
        (f"{GOOD}&password=other", "the parameter password, which would override"),
        (
            f"{GOOD}&channel_binding=require",
            "the parameter channel_binding, which Access Graph's driver (pgx) does not know",
        ),
        (f"{GOOD}&sslcert=/client.pem", "the parameter sslcert, which refers to a file"),
        (f"{GOOD}&sslrootcert=/etc/ssl/root.pem", "names a file in sslrootcert that no pod has"),
        (f"{GOOD}&sslrootcert={CA_BUNDLE_PATH}", "but there is none; set database.caBundleFile"),
    ],
)
def test_unusable_uri_is_refused_by_its_rule(uri: str, rule: str) -> None:
    with pytest.raises(DatabaseUriError) as refusal:
        check_database_uri(uri)
    assert rule in str(refusal.value)
    assert all(line.startswith("databaseUri: the URI ") for line in str(refusal.value).splitlines())
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "uri",
    [
        GOOD,
        f"postgresql://app:secret@{HOST}/graph?sslmode=verify-full",
        "postgres://app:secret@[2001:db8::1]:6432/graph?sslmode=verify-full",
        "postgres://app:secret@10.0.0.5:6432/graph?sslmode=verify-full",
        "postgres://app:secret@db_1.example/graph?sslmode=verify-full",
        f"postgres://a%40b:sec%2Fr%3Aet%E2%82%AC@{HOST}/my%2Fdb?sslmode=verify-full",
        f"{GOOD}&application_name=access%20graph&pool_max_conns=8&pool_max_conn_lifetime=1h30m&connect_timeout=10",
        f"{GOOD}&target_session_attrs=read-write&default_query_exec_mode=exec&statement_cache_capacity=0",
    ],
)
def test_any_providers_uri_is_taken_as_libpq_reads_it(uri: str) -> None:
    assert check_database_uri(uri) == uri
    ours, libpq = parse_database_uri(uri), psycopg.conninfo.conninfo_to_dict(uri.split("?")[0])
    assert {
        "host": ours.host,
        "dbname": ours.database,
        "user": ours.user,
        "password": ours.password,
        "port": libpq.get("port", "5432"),
    } == {**libpq, "port": str(ours.port)}


def test_every_known_parameter_has_a_value_that_is_taken() -> None:
    """The message that lists the allowed values of a parameter is true."""
    for name, (values, statement) in PARAMETERS.items():
        for example in statement.replace(" or ", ", ").split(", "):
            text = {"a number of seconds": "10", "a number": "10", "a number from 1": "1"}.get(
                example, example.removeprefix("a duration such as ")
            )
            assert values.fullmatch(text), name


# The characters at which parsers split a URI, and those that password generators add.
ODD = st.text("aé€:/?#[]@!$&'()*+,;=%\\\"<>^`{|}~ \t", min_size=1, max_size=12)


@pytest.mark.slow
@given(password=ODD)
def test_a_pasted_password_is_refused_or_read_by_everyone_alike(password: str) -> None:
    uri = f"postgres://app:{password}@{HOST}:5432/graph?sslmode=verify-full"
    try:
        check_database_uri(uri)
    except DatabaseUriError:
        return
    ours, libpq = parse_database_uri(uri), psycopg.conninfo.conninfo_to_dict(uri)
    assert (ours.user, ours.password, ours.host, str(ours.port), ours.database) == (
        libpq["user"],
        libpq["password"],
        libpq["host"],
        libpq["port"],
        libpq["dbname"],
    )
    parts = urlsplit(uri)
    assert (unquote(parts.password or ""), parts.hostname) == (ours.password, ours.host)


@pytest.mark.slow
@given(password=TEXT)
def test_no_refusal_shows_the_password(password: str) -> None:
    # The password is pasted unencoded, as a person would. A digit on both sides makes it distinct: letters alone may
    # occur in any message.
    pasted = f"5{password}5"
    with pytest.raises(DatabaseUriError) as refusal:
        check_database_uri(f"postgres://app:{pasted}@{HOST}/graph?sslmode=disable&x=y")
    assert pasted not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_given_bundle_must_be_used() -> None:
    with pytest.raises(DatabaseUriError, match=r"does not use the bundle of database\.caBundleFile"):
        check_database_uri(GOOD, ca_bundle_given=True)
    uri = f"{GOOD}&sslrootcert={CA_BUNDLE_PATH}"
    assert check_database_uri(uri, ca_bundle_given=True) == uri


@pytest.mark.parametrize("query", ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"])
def test_unverified_is_possible_only_on_purpose(query: str) -> None:
    uri = f"postgres://app:secret@{HOST}/graph{query}"
    assert check_database_uri(uri, allow_unverified=True) == uri
    with pytest.raises(DatabaseUriError):
        check_database_uri(uri)


def test_all_problems_come_together() -> None:
    with pytest.raises(DatabaseUriError) as refusal:
        check_database_uri(
            f"postgres://app:secret@{HOST}/graph?sslmode=require&channel_binding=require&host=x&gssencmode=disable"
        )
    assert len(str(refusal.value).splitlines()) == 4


def test_parsed_uri_does_not_print_its_password() -> None:
    assert "secret" not in repr(parse_database_uri(GOOD))
