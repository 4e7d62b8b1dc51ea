"""The access Job's script: neither Kubernetes nor the shell expands anything in it, and its verifier is the one that
PostgreSQL would store."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.database_script import (
    FETCH_MASTER_SECRET,
    PREPARE_DATABASE,
    RETIRE_LOGINS,
    job_script,
    scram_verifier,
)

pytestmark = pytest.mark.unit

PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=24, max_size=80)


@pytest.mark.parametrize(
    "text",
    [job_script(PREPARE_DATABASE, managed=True), job_script(PREPARE_DATABASE, managed=False), FETCH_MASTER_SECRET],
)
def test_kubernetes_expands_nothing(text: str) -> None:
    assert "$$" not in text
    assert "$(" not in text


@pytest.mark.parametrize("managed", [True, False])
def test_names_and_values_come_by_environment_alone(managed: bool) -> None:
    text = job_script(PREPARE_DATABASE, managed=managed)
    for variable in ("OWNER_ROLE", "LOGIN_ROLE", "LOGIN_VERIFIER", "EXTENSIONS", "PGDATABASE"):
        assert f" {variable}\n" in text, "read by psql's \\getenv, never by the shell"
        assert f"${variable}" not in text
    assert "access_graph_" not in text
    assert "<<'SQL'" in text, "a quoted here-document, in which the shell expands nothing"


@pytest.mark.parametrize("script", [PREPARE_DATABASE, RETIRE_LOGINS], ids=["prepare", "retire"])
def test_the_masters_first_statement_leaves_access_graphs_objects_out(script: str) -> None:
    """No function may be called before this statement: it could be one that the database itself defines."""
    _, _, statements = script.partition("<<'SQL'\n")
    assert statements.startswith("SET search_path = pg_catalog, pg_temp;\n")
    assert script.count("psql ") == 1


@pytest.mark.parametrize("script", [PREPARE_DATABASE, RETIRE_LOGINS], ids=["prepare", "retire"])
def test_the_master_password_is_read_from_the_file_exactly_where_it_was_fetched(script: str) -> None:
    assert job_script(script, managed=False) == script
    before, _, after = job_script(script, managed=True).rpartition(script)
    assert before.endswith("export PGPASSWORD\n")
    assert after == ""


@pytest.mark.parametrize("text", [FETCH_MASTER_SECRET, job_script(PREPARE_DATABASE, managed=True)])
def test_the_files_of_the_master_password_are_their_owners_alone(text: str) -> None:
    assert text.startswith("umask 077\n")


# Each example computes three times 4096 rounds of hashing.
@pytest.mark.slow
@settings(max_examples=20)
@given(password=PASSWORDS)
def test_verifier_is_scram_of_the_password(password: str) -> None:
    mechanism, parameters, keys = scram_verifier(password).split("$")
    iterations, salt = parameters.split(":")
    stored_key, server_key = keys.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    client_key = hmac.new(salted, b"Client Key", "sha256").digest()
    assert mechanism == "SCRAM-SHA-256"
    assert base64.b64decode(stored_key) == hashlib.sha256(client_key).digest()
    assert base64.b64decode(server_key) == hmac.new(salted, b"Server Key", "sha256").digest()
    assert len(base64.b64decode(salt)) == 16
    assert scram_verifier(password) == scram_verifier(password), "two runs of the program agree"


def test_two_passwords_have_two_salts() -> None:
    assert scram_verifier("a" * 40).split("$")[1] != scram_verifier("b" * 40).split("$")[1]


@pytest.mark.parametrize("password", ["short", "a" * 23, "ü" * 40])
def test_password_that_the_verifier_would_weaken_is_refused(password: str) -> None:
    with pytest.raises(ValueError, match="random ASCII of at least 24 characters") as refusal:
        scram_verifier(password)
    assert password not in str(refusal.value)
