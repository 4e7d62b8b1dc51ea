"""The real pgx, the access graph's database driver, with the URI from a running pod's environment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sandbox.home import Cache
from tests.engine.conftest import RunningSandbox
from tests.engine.pgx_client import pgx_client, run_client
from tests.engine.stacks import OwnStack, graph_pods, own_stack, pod_environment, superuser

pytestmark = pytest.mark.engine

URI = "TAG_POSTGRES_CONNECTION"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def program() -> Path:
    return pgx_client(Cache.from_environment())


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "pgx") as stack:
        stack.pulumi("up")
        yield stack


@pytest.fixture(scope="module")
def environment(stack: OwnStack) -> Environment:
    """The database variables of the process in one of the pods, unchanged."""
    (pod, _) = graph_pods(stack, stack.namespace)
    found = pod_environment(stack, pod["metadata"]["uid"])
    assert found is not None
    return {name: found[name] for name in (URI, "ACCESS_GRAPH_ADDRESS_BOOK")}


def with_root(environment: Environment, file: Path) -> Environment:
    uri, count = re.subn(r"(?<=sslrootcert=)[^&]+", str(file), environment[URI])
    assert count == 1
    return {**environment, URI: uri}


def test_it_logs_in_verified_and_what_it_makes_is_the_owners(
    program: Path, stack: OwnStack, environment: Environment
) -> None:
    proof = run_client(program, environment)
    assert proof == {
        "server": proof["server"],
        "login": "access_graph_a",
        "actsAs": "access_graph_owner",
        "tls": "TLS 1.3",
        "certificate": stack.outputs()["databaseEndpoint"].partition(":")[0],
        "schemaOwner": "access_graph_owner",
        "tableOwner": "access_graph_owner",
        "rows": 2,
    }
    assert proof["server"].startswith("17.")
    with superuser(stack, stack.identifier, "access_graph") as connection:
        left = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'pgx%'").fetchall()
    assert left == []


def test_another_root_than_the_databases_is_refused(program: Path, stack: OwnStack, environment: Environment) -> None:
    """The Kubernetes cluster's CA: a valid CA, but not the database's."""
    foreign = stack.home.pki / "ca.crt"
    assert foreign.is_file()
    refused = run_client(program, with_root(environment, foreign), fails=True)
    assert "certificate signed by unknown authority" in refused["error"]


def test_a_server_of_another_name_is_refused(
    program: Path, stack: OwnStack, environment: Environment, tmp_path: Path
) -> None:
    """The same server under another name, which only `verify-full` notices."""
    host, port = str(urlsplit(environment[URI]).hostname), urlsplit(environment[URI]).port
    book = (stack.home.names / "databases.json").read_text()
    (tmp_path / "names.json").write_text(book.replace(host, f"impostor-{host}"))
    uri = environment[URI].replace(f"@{host}:{port}", f"@impostor-{host}:{port}")
    refused = run_client(program, {URI: uri, "ACCESS_GRAPH_ADDRESS_BOOK": str(tmp_path)}, fails=True)
    assert f"not impostor-{host}" in refused["error"]


def test_a_tampered_password_is_refused_and_shown_to_nobody(program: Path, environment: Environment) -> None:
    password = environment[URI].split("://", 1)[1].split("@", 1)[0].split(":", 1)[1]
    tampered = password[:-1] + ("x" if password[-1] != "x" else "y")
    refused = run_client(program, {**environment, URI: environment[URI].replace(password, tampered)}, fails=True)
    assert "password authentication failed" in refused["error"]
    assert tampered not in refused["error"]
    assert password not in refused["error"]


def test_a_parameter_that_pgx_does_not_know_fails_at_the_server(program: Path, environment: Environment) -> None:
    """Shows why the program writes only `sslmode` and `sslrootcert`: libpq would accept this parameter."""
    refused = run_client(program, {**environment, URI: environment[URI] + "&gssencmode=disable"}, fails=True)
    assert 'unrecognized configuration parameter "gssencmode"' in refused["error"]
