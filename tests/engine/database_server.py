"""A PostgreSQL server as RDS hands it over, in each available major version, and the Jobs' scripts run on it.

Owns the server and its fixtures. Members of rds_iam log in without a password here, as with a token in RDS; the tokens
themselves are tested on the sandbox's cloud.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql

from components.database_script import PREPARE_DATABASE, RETIRE_LOGINS, job_script, scram_verifier
from components.database_uri import database_uri
from components.login_slots import ALL_LOGINS, IAM_ROLE, LOGIN_ROLES, OWNER_ROLE
from sandbox.cloud import roles
from tests.engine.postgresql_servers import Installation, installations, installations_with_vector

HOST = "graph.database.test"
# One address per process: test modules with this server run in parallel, all on the same ports.
ADDRESS = f"127.61.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}"
MASTER = "tag_admin"
MASTER_PASSWORD = r"quote\" and back\\slash & <angle> 'single' $(id) `id`"
DATABASE = 'odd "name"'
PASSWORDS = {"a": "a" * 40, "b": "b" * 40}

Finished = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Server:
    installation: Installation
    port: int
    directory: Path
    ca: Path
    pg_ctl: Path

    def start(self, data: str = "data", *options: str) -> None:
        log = self.directory / ("server.log" if data == "data" else f"{data}.log")
        command = [self.pg_ctl, "start", "--wait", "--pgdata", self.directory / data, "--log", log, "--silent"]
        _run(self.directory, *command, *(f"--options={option}" for option in options))

    def stop(self, mode: str, data: str = "data") -> None:
        _run(self.directory, self.pg_ctl, "stop", "--pgdata", self.directory / data, f"--mode={mode}", "--silent")

    @contextmanager
    def client_authentication(self, old: str, new: str) -> Iterator[None]:
        """Replace `old` by `new` in pg_hba.conf."""
        file = self.directory / "data" / "pg_hba.conf"
        before = file.read_text()
        assert old in before
        file.write_text(before.replace(old, new))
        self._reload()
        try:
            yield
        finally:
            file.write_text(before)
            self._reload()

    def _reload(self) -> None:
        """The server rereads its files only some time after the signal."""
        with self.superuser() as connection:
            before = connection.execute("SELECT pg_conf_load_time()").fetchone()
            connection.execute("SELECT pg_reload_conf()")
        for _ in range(100):
            with self.superuser() as connection:
                if connection.execute("SELECT pg_conf_load_time()").fetchone() != before:
                    return
            time.sleep(0.05)
        raise AssertionError("the server does not read its files again")

    @property
    def major(self) -> int:
        return self.installation.major

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.directory / "socket"),
            port=self.port,
            user=roles.SUPERUSER,
            dbname=database,
            autocommit=True,
        )

    def login(self, slot: str, password: str | None = None) -> psycopg.Connection:
        return self.connect(LOGIN_ROLES[slot], password or PASSWORDS[slot])

    def connect(self, user: str, password: str | None, database: str = DATABASE) -> psycopg.Connection:
        uri = database_uri(
            host=HOST, port=self.port, database=database, user=user, password=password, ca_path=str(self.ca)
        )
        if not self.installation.has_tls:
            uri = uri.partition("?")[0] + "?sslmode=disable"
        return psycopg.connect(uri, hostaddr=ADDRESS, autocommit=True)

    def run_access(
        self,
        slot: str | None,
        *,
        managed: bool = True,
        extensions: str = "pg_trgm vector",
        secret: str | None = None,
        script: str = PREPARE_DATABASE,
    ) -> Finished:
        """Run the access Job's main container for a slot's login; without a slot, for IAM's login."""
        own = {"OWNER_ROLE": OWNER_ROLE, "EXTENSIONS": extensions}
        if slot is None:
            own |= {"LOGIN_ROLE": IAM_ROLE, "AUTHENTICATION": "iam"}
        else:
            own |= {
                "LOGIN_ROLE": LOGIN_ROLES[slot],
                "AUTHENTICATION": "password",
                "LOGIN_VERIFIER": scram_verifier(PASSWORDS[slot]),
            }
        return self.run_script(script, own, managed=managed, secret=secret)

    def run_retirement(self, slot: str | None, *, grace: int = 0) -> Finished:
        """Run the retirement Job's main container, which spares that login."""
        login = IAM_ROLE if slot is None else LOGIN_ROLES[slot]
        own = {"LOGIN_ROLE": login, "LOGIN_ROLES": " ".join(ALL_LOGINS), "GRACE_SECONDS": str(grace)}
        return self.run_script(RETIRE_LOGINS, own)

    def run_script(
        self, script: str, own: dict[str, str], *, managed: bool = True, secret: str | None = None
    ) -> Finished:
        """Run a Job's script with its mounts rewritten to directories of this test."""
        mounts = {name: self.directory / "mounts" / name for name in ("tmp", "master-secret")}
        for mount in mounts.values():
            shutil.rmtree(mount, ignore_errors=True)
            mount.mkdir(parents=True)
        text = json.dumps({"username": MASTER, "password": MASTER_PASSWORD}) if secret is None else secret
        (mounts["master-secret"] / "secret.json").write_text(text + "\n")
        rewritten = re.sub(
            r"/var/run/(master-secret)\b|/(tmp)\b",
            lambda mount: str(mounts[mount[1] or mount[2]]),
            job_script(script, managed=managed),
        )
        environment = {
            "PATH": f"{self.installation.psql.parent}:{os.environ['PATH']}",
            "PGHOST": HOST,
            "PGHOSTADDR": ADDRESS,
            "PGPORT": str(self.port),
            "PGDATABASE": DATABASE,
            "PGUSER": MASTER,
            "PGSSLMODE": "verify-full" if self.installation.has_tls else "disable",
            "PGSSLROOTCERT": str(self.ca),
            **own,
        }
        if not managed:
            environment["PGPASSWORD"] = MASTER_PASSWORD
        return subprocess.run(
            ["/bin/sh", "-ec", rewritten], env=environment, capture_output=True, text=True, timeout=180, check=False
        )

    def logins(self) -> dict[str, bool]:
        """Our logins that exist, and whether each can log in."""
        with self.superuser() as connection:
            query = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname = ANY (%s)"
            return {str(name): bool(can) for name, can in connection.execute(query, (list(ALL_LOGINS),)).fetchall()}


def run_server(installation: Installation, directory: Path) -> Iterator[Server]:
    """A server on `ADDRESS` with what RDS adds to one, in `directory`; the directory is removed at the end."""
    user = _service_user()
    shutil.rmtree(directory, ignore_errors=True)
    for path in (directory, directory / "socket"):
        path.mkdir()
        os.chown(path, user.pw_uid, user.pw_gid)
    binaries = installation.binaries
    if not str(binaries).startswith("/usr/"):
        # Together with `share` and `lib`, which the server finds relative to its own location.
        shutil.copytree(installation.home, directory / "installation", symlinks=True)
        for control in (directory / "installation").rglob("vector.control"):
            # RDS lets its master user create the extension; other servers allow only a superuser.
            control.write_text(f"{control.read_text()}trusted = true\n")
        binaries = directory / "installation" / binaries.relative_to(installation.home)
    data, port = directory / "data", 5400 + installation.major + (0 if installation.has_tls else 50)
    initdb = (binaries / "initdb", "--pgdata", data, f"--username={roles.SUPERUSER}", "--encoding=UTF8", "--auth=trust")
    _run(directory, *initdb)
    ca = write_certificates(data, user.pw_uid, user.pw_gid, directory)
    kind = "hostssl" if installation.has_tls else "host"
    (data / "pg_hba.conf").write_text(
        f"local all {roles.SUPERUSER} trust\nhost all {roles.SUPERUSER} all reject\n"
        f"{kind} all {MASTER} all scram-sha-256\n"
        f"{kind} all +{roles.RDS_IAM} all trust\n"
        f"{kind} all all all scram-sha-256\n"
    )
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(
            f"listen_addresses = '{ADDRESS}'\nport = {port}\nssl = {'on' if installation.has_tls else 'off'}\n"
            f"unix_socket_directories = '{directory / 'socket'}'\n"
            f"log_statement = 'all'\nfsync = off\nshared_buffers = 16MB\n"
        )
    server = Server(installation, port, directory, ca, binaries / "pg_ctl")
    server.start()
    try:
        yield server
    finally:
        server.stop("immediate")
        shutil.rmtree(directory)


@contextmanager
def standby(server: Server) -> Iterator[int]:
    """A read-only copy of `server` that follows nobody, with the same name and certificate. Yields its port."""
    server.stop("fast")
    copy, port = server.directory / "standby", server.port + 100
    _run(server.directory, "cp", "--archive", server.directory / "data", copy)
    _run(server.directory, "touch", copy / "standby.signal")
    server.start()
    server.start("standby", f"--port={port}")
    try:
        yield port
    finally:
        server.stop("immediate", "standby")
        shutil.rmtree(copy)


def _service_user() -> pwd.struct_passwd:
    """initdb refuses root, and root's files may be unreadable to other users."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def _run(directory: Path, *command: str | Path) -> None:
    user = _service_user()
    owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        cwd=directory,
        env={"LC_ALL": "C", "HOME": str(directory)},
        **owner,  # type: ignore[call-overload]
    )


def directory_of(installation: Installation) -> Path:
    """Short, as socket paths have at most 107 bytes. Not pytest's, which the server's user cannot enter."""
    return Path("/tmp") / f"access-graph-{os.getpid()}-{installation.major}{'' if installation.has_tls else 'v'}"


def name_of(installation: Installation) -> str:
    return f"postgresql-{installation.major}"


@pytest.fixture(scope="module", params=installations(), ids=name_of)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from run_server(request.param, directory_of(request.param))


@pytest.fixture(scope="module", params=installations_with_vector(), ids=name_of)
def server_with_vector(request: pytest.FixtureRequest) -> Iterator[Server]:
    yield from run_server(request.param, directory_of(request.param))


@pytest.fixture
def rds(server: Server) -> Iterator[Server]:
    """A server as RDS hands it over: the database belongs to a master who is no superuser."""
    yield from handed_over(server)


@pytest.fixture
def rds_with_vector(server_with_vector: Server) -> Iterator[Server]:
    yield from handed_over(server_with_vector)


def handed_over(server: Server) -> Iterator[Server]:
    with server.superuser() as connection:
        roles.set_up(connection, MASTER, MASTER_PASSWORD, DATABASE)
    yield server
    with server.superuser() as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(DATABASE)))
        for role in (*ALL_LOGINS, OWNER_ROLE):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(MASTER)))


def succeed(result: Finished) -> None:
    assert result.returncode == 0, result.stderr


def write_certificates(data: Path, uid: int, gid: int, directory: Path) -> Path:
    """Write a server key and certificate, signed by a CA, to `data`; returns the CA's file."""
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
