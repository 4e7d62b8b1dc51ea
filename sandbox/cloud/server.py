"""One PostgreSQL server: its files, its process, and its failures in words.

Knows nothing of AWS; `fleet.py` decides which servers exist and what they should be.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, PGconn

from sandbox.cloud import roles
from sandbox.cloud.authority import ServerCertificate
from sandbox.cloud.programs import Installation, ServerUser
from sandbox.processes import MARKER

# A start takes well under a second; crash recovery after a kill may take longer.
START_SECONDS = 60.0
# Enough to apply everything that an instance wrote in its whole life.
RECOVERY_SECONDS = 300.0
# PostgreSQL's fast shutdown ends every session; after this time the immediate one is used, and the next start recovers.
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05

CERTIFICATE, KEY = "server.crt", "server.key"

# The third number of the addresses where servers listen behind their fronts.
_BEHIND = 202

# Size of one WAL file, MB. Backups keep whole files, and each event that ends one pads it to full size.
LOG_PIECE = 1

# PostgreSQL acts on the mere presence of these files.
STANDBY = "standby.signal"
RECOVERY = "recovery.signal"

# Small, because several servers share one machine with a control plane. Data survive a killed process, because writes
# are with the kernel by then, but not necessarily a power cut.
OWN_SETTINGS = {
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "100",
    "archive_mode": "on",
    "log_line_prefix": "%t:%r:%u@%d:[%p]:",
    "timezone": "UTC",
}


class ServerFailure(Exception):
    """The server could not be created or started. `status` is RDS's term for it."""

    status = "failed"


class StorageFull(ServerFailure):
    status = "storage-full"


class BadParameters(ServerFailure):
    status = "incompatible-parameters"


class PortBusy(ServerFailure):
    status = "incompatible-network"


class NotRestored(ServerFailure):
    status = "incompatible-restore"


@dataclass(frozen=True)
class Listening:
    """The address at which clients reach a server, which is its front's."""

    address: str
    port: int

    @property
    def behind(self) -> str:
        """Where the server itself listens, on the same port: `127.93.202.7` behind `127.93.200.7`."""
        first, second, _, last = self.address.split(".")
        return f"{first}.{second}.{_BEHIND}.{last}"

    @property
    def is_free(self) -> bool:
        with socket.socket() as probe:
            # As PostgreSQL does: a leftover connection of a server that is gone does not block the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.address, self.port))
                probe.listen(1)
            except OSError:
                return False
        return True

    def with_free_port(self) -> Listening:
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            return Listening(self.address, probe.getsockname()[1])


class PostgresServer:
    """The server whose data are in `data`. Its methods are called from one thread at a time."""

    def __init__(self, installation: Installation, user: ServerUser, data: Path, log_file: Path):
        self.installation = installation
        self.data = data
        self._user = user
        self._log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    # Files

    @property
    def exists(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def initialise(self) -> None:
        """Runs initdb. Complete or absent: an interrupted run leaves nothing that looks like a database."""
        unfinished = _unfinished(self.data)
        self._run(
            "initdb",
            "--no-sync",
            "--no-instructions",
            f"--username={roles.SUPERUSER}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=reject",
            f"--wal-segsize={LOG_PIECE}",
            f"--pgdata={unfinished}",
        )
        unfinished.rename(self.data)

    def configure(
        self,
        listening: Listening,
        settings: Mapping[str, str],
        force_ssl: bool,
        certificate: ServerCertificate | None,
        passes: bytes,
    ) -> None:
        """Write the configuration. It takes effect at the next start or, where PostgreSQL allows it, at `reload`.

        `passes`: PEM of the authority behind the front's certificates.
        """
        if certificate is not None:
            # Key first: the front watches the certificate's time, and then both must be new.
            self._write(KEY, certificate.key)
            self._write(CERTIFICATE, certificate.certificate)
        self._write("passes.crt", passes)
        own = {
            **OWN_SETTINGS,
            **settings,
            "listen_addresses": listening.behind,
            "port": str(listening.port),
            "unix_socket_directories": self.socket_name,
            "ssl": "on",
            "ssl_cert_file": CERTIFICATE,
            "ssl_key_file": KEY,
            "ssl_ca_file": "passes.crt",
            "ssl_min_protocol_version": "TLSv1.2",
            "password_encryption": "scram-sha-256",
            "logging_collector": "off",
        }
        lines = [f"{name} = '{_quoted(value)}'\n" for name, value in own.items()]
        self._write("postgresql.conf", "".join(lines).encode())
        self._write("pg_hba.conf", roles.client_authentication(force_ssl, listening.behind).encode())
        self._write("pg_ident.conf", roles.user_map([self._user.name, _own_name()]).encode())

    @property
    def certificate(self) -> bytes | None:
        try:
            return (self.data / CERTIFICATE).read_bytes()
        except FileNotFoundError:
            return None

    @property
    def socket_name(self) -> str:
        # In Linux's abstract namespace: no file outlives the server, and the home's path may have any length.
        return f"@teleport-access-graph/{self.data.name}"

    # Process

    @property
    def pid(self) -> int | None:
        """The running server, started by us or by an earlier run of the service; None if there is none."""
        if self._process is not None:
            if self._process.poll() is None:
                return self._process.pid
            self._process = None
            return None
        return running_server(self.data)

    def start(self, listening: Listening) -> None:
        """Start, and wait until the server answers. A server left running by an earlier service is kept."""
        if self.pid is not None:
            self.reload()
            self._wait_until_ready(listening, START_SECONDS, log_offset=None)
            return
        offset = self._log_file.stat().st_size if self._log_file.exists() else 0
        with open(self._log_file, "ab") as stream:
            os.chmod(self._log_file, 0o600)
            self._process = subprocess.Popen(
                [self.installation.tool("postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self.data,
                env=_clean_environment(),
                # A group of its own: Ctrl-C in the terminal reaches only the service, which then stops the server in
                # order.
                start_new_session=True,
                **self._user.run_options(),  # type: ignore[call-overload]
            )
        self._wait_until_ready(listening, RECOVERY_SECONDS if self.recovers else START_SECONDS, offset)

    def reload(self) -> None:
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGHUP)

    def stop(self) -> None:
        """Fast shutdown: sessions end, data are flushed, shared memory is released."""
        _stop(lambda: self.pid)

    @contextmanager
    def superuser(self, listening: Listening, database: str = "postgres") -> Iterator[psycopg.Connection]:
        """A connection of the service's own superuser, over the unix socket."""
        target = make_conninfo(
            host=self.socket_name,
            port=listening.port,
            user=roles.SUPERUSER,
            dbname=database,
            sslmode="disable",
            connect_timeout=10,
        )
        # psycopg.connect would take the name of an abstract socket for a host name and resolve it.
        wire = PGconn.connect(target.encode())
        if wire.status != ConnStatus.OK:
            raise psycopg.OperationalError(wire.get_error_message())
        connection: psycopg.Connection = psycopg.Connection(wire)
        connection.autocommit = True
        try:
            yield connection
        finally:
            connection.close()

    def copy_to(self, target: Path, listening: Listening) -> None:
        """Make a consistent copy of the data: from the running server, or from the files if it is stopped."""
        unfinished = _unfinished(target)
        if self.pid is not None:
            self._copy_from(self, listening, unfinished)
        else:
            self._copy_files(self.data, unfinished)
        unfinished.rename(target)

    def copy_of(self, source: PostgresServer, listening: Listening) -> None:
        """Begin with the data of a running server; `listening` is the source's."""
        unfinished = _unfinished(self.data)
        self._copy_from(source, listening, unfinished)
        _without_identity(unfinished)
        unfinished.rename(self.data)

    def restore_from(self, copy: Path, recover: bool = False) -> None:
        """`recover`: the next start applies the changes that the settings point to."""
        unfinished = _unfinished(self.data)
        self._copy_files(copy, unfinished)
        _without_identity(unfinished)
        if recover:
            self._touch(unfinished / RECOVERY)
        unfinished.rename(self.data)

    # Other servers' changes

    @property
    def recovers(self) -> bool:
        """Whether the server has yet to reach the point in time it is restored to."""
        return (self.data / RECOVERY).exists()

    def follow(self, source: PostgresServer, listening: Listening) -> dict[str, str]:
        """The setting with which to follow `source`, which listens there. Takes effect at the next start or reload."""
        self._touch(self.data / STANDBY)
        target = make_conninfo(host=source.socket_name, port=listening.port, user=roles.SUPERUSER, sslmode="disable")
        return {"primary_conninfo": target}

    def stand_alone(self, listening: Listening) -> None:
        """Stop following and accept writes. No effect on a server that already does."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        with self.superuser(listening) as connection:
            while connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,):
                if time.monotonic() > deadline:
                    raise NotRestored(f"the server was not promoted within {RECOVERY_SECONDS:.0f} s")
                connection.execute("SELECT pg_promote(true, 10)")

    def close_log(self, listening: Listening) -> None:
        """Bring everything committed so far into the backups."""
        with self.superuser(listening) as connection:
            # Recovery recognises its target time by the first later change, so there must be one.
            connection.execute("SELECT pg_current_xact_id()")
            row = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
            assert row is not None
            deadline = time.monotonic() + START_SECONDS
            kept = "SELECT coalesce(last_archived_wal >= %s, false) FROM pg_stat_archiver"
            while connection.execute(kept, row).fetchone() != (True,):
                if time.monotonic() > deadline:
                    raise NotRestored(f"the log of changes was not kept within {START_SECONDS:.0f} s")
                time.sleep(POLL_SECONDS)

    # Details

    def _copy_from(self, source: PostgresServer, listening: Listening, target: Path) -> None:
        self._run(
            "pg_basebackup",
            f"--host={source.socket_name}",
            f"--port={listening.port}",
            f"--username={roles.SUPERUSER}",
            "--checkpoint=fast",
            "--no-sync",
            f"--pgdata={target}",
        )

    def _copy_files(self, source: Path, target: Path) -> None:
        # A directory that vanishes midway would spoil the snapshot, so errors are not ignored.
        shutil.copytree(source, target, symlinks=True)
        for path in [target, *target.rglob("*")]:
            self._user.own(path)
        target.chmod(0o700)

    def _touch(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._user.own(path)

    def _write(self, name: str, content: bytes) -> None:
        path = self.data / name
        fresh = path.with_name(path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        self._user.own(fresh)
        fresh.replace(path)

    def _run(self, tool: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.installation.tool(tool), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.data.parent,
            env=_clean_environment(),
            check=False,
            **self._user.run_options(),  # type: ignore[call-overload]
        )
        if done.returncode != 0:
            raise failure_from(done.stdout, f"{tool} failed with exit code {done.returncode}")

    def _wait_until_ready(self, listening: Listening, seconds: float, log_offset: int | None) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.pid is None:
                raise failure_from(self._log_since(log_offset), "the server ended at its start")
            try:
                with self.superuser(listening):
                    return
            except psycopg.OperationalError:
                time.sleep(POLL_SECONDS)
        raise failure_from(self._log_since(log_offset), f"the server did not answer within {seconds:.0f} s")

    def _log_since(self, offset: int | None) -> str:
        with open(self._log_file, "rb") as stream:
            stream.seek(offset or 0)
            return stream.read().decode(errors="replace")


def _unfinished(whole: Path) -> Path:
    """The place to build something that must be complete or absent. A tool that outlives a killed service writes
    elsewhere and finds its directory gone."""
    for left in whole.parent.glob(f"{whole.name}.unfinished.*"):
        shutil.rmtree(left, ignore_errors=True)
    return whole.with_name(f"{whole.name}.unfinished.{os.getpid()}")


def _without_identity(copy: Path) -> None:
    """Remove the certificate from a copy of another server's files: it names that server."""
    for name in (CERTIFICATE, KEY):
        (copy / name).unlink(missing_ok=True)


def running_server(data: Path) -> int | None:
    """The process id of the server that has these data open."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    # Process ids are reused; the command line tells whether it is this server.
    return pid if str(data).encode() in command else None


def stop_running_server(data: Path) -> None:
    """Stop a server that no run of the service holds any more."""
    _stop(lambda: running_server(data))


def _stop(find: Callable[[], int | None]) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        pid = find()
        if pid is None:
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if find() is None:
                return
            time.sleep(POLL_SECONDS)


def failure_from(printed: str, fallback: str) -> ServerFailure:
    """The failure that RDS would report, derived from what PostgreSQL printed."""
    lines = [
        line for line in printed.splitlines() if "FATAL" in line or "LOG:  could not" in line or "error" in line.lower()
    ]
    reason = "; ".join(lines[-3:]) or printed.strip()[-400:] or fallback
    if "No space left on device" in printed:
        return StorageFull(f"the disk is full ({reason}); free some space and start again")
    if "Address already in use" in printed:
        return PortBusy(f"the port is taken by another program ({reason})")
    if (
        "invalid value for parameter" in printed
        or "contains errors" in printed
        or "unrecognized configuration" in printed
    ):
        return BadParameters(f"PostgreSQL refuses a parameter of the parameter group ({reason})")
    return ServerFailure(f"{fallback} ({reason})")


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _own_name() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _clean_environment() -> dict[str, str]:
    # The caller's PG* variables would affect the server and its tools.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    if MARKER in os.environ:
        # The supervisor uses this mark to find a server whose service was killed.
        environment[MARKER] = os.environ[MARKER]
    return environment
