"""Connection URIs: what is built round-trips, what is given is checked, and nothing of a credential is ever shown."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.database_uri import (
    CA_BUNDLE_PATH,
    DatabaseUriError,
    check_database_uri,
    database_uri,
    parse_database_uri,
)

pytestmark = pytest.mark.unit

# PostgreSQL has no NUL in any text; lone surrogates are no text at all.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)
PORT = st.integers(min_value=1, max_value=65535)
HOST = "db.abc.us-east-1.rds.amazonaws.com"
GOOD = f"postgres://app:secret@{HOST}:5432/graph?sslmode=verify-full"


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
        (f"postgres://app:secret@{HOST}:0/graph", "has port 0"),
        (f"postgres://app:secret@{HOST}:65536/graph", "cannot be read"),
        (f"postgres://app:secret@{HOST}:port/graph", "cannot be read"),
        ("postgres://app:secret@[::1/graph", "cannot be read"),
        (f"postgres://app:secret@{HOST}?sslmode=verify-full", "names no database"),
        (f"postgres://app:secret@{HOST}/?sslmode=verify-full", "names no database"),
        (f"postgres://app:secret@{HOST}/graph/more", "'/' in the database's name"),
        (f"postgres://{HOST}/graph?sslmode=verify-full", "names no user"),
        (f"postgres://app:100%secret@{HOST}/graph", "'%' that is no percent-encoding"),
        (f"postgres://app:se cret@{HOST}/graph", "white space"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=verify-full\n", "white space"),
        (f"{GOOD}#secret", "has a fragment"),
        (f"{GOOD}&application_name=a+b", "has a '+'"),
        (f"{GOOD}&sslmode=verify-full", "gives the parameter sslmode more than once"),
        (f"postgres://app:secret@{HOST}/graph", "has no sslmode"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=require", "has sslmode=require"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=verify-ca", "has sslmode=verify-ca"),
        (f"postgres://app:secret@{HOST}/graph?sslmode=full", "has an sslmode that is none of"),
        (f"{GOOD}&host=elsewhere.example", "the parameter host, which would overrule"),
        (f"{GOOD}&password=other", "the parameter password, which would overrule"),
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


@given(password=TEXT)
def test_no_refusal_shows_the_password(password: str) -> None:
    # Unencoded, as a person would paste it. Letters alone may be part of any message.
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
