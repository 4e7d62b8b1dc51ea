"""The servers behind the RDS instances: which exist, where they listen, and whether each is what its instance wants.

Owns the servers' processes and fronts, their addresses, which follows which, the copies behind snapshots, and the
address book's `databases.json`. Each server has its own worker, so that a slow server delays no other; a worker waits
for another's only when its server starts from the other's data. `report` receives each worker's result in RDS's terms.
Knows nothing of AWS's API.
"""

from __future__ import annotations

import datetime
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from sandbox.cloud import parameters, roles
from sandbox.cloud.authority import RdsAuthority, needs_renewal
from sandbox.cloud.backups import NO_BACKUPS, Backups, MomentOrigin, Origin, SnapshotOrigin
from sandbox.cloud.files import read_json, write_json
from sandbox.cloud.front import AddressTaken, Backend, Front, FrontLoop
from sandbox.cloud.iam_members import IamMembers
from sandbox.cloud.login_tokens import TokenRefused
from sandbox.cloud.passes import Passes
from sandbox.cloud.programs import Place, find_installation
from sandbox.cloud.server import (
    CERTIFICATE,
    KEY,
    Listening,
    NotRestored,
    PortBusy,
    PostgresServer,
    ServerFailure,
    running_server,
    stop_running_server,
)

log = logging.getLogger(__name__)

Report = Callable[[str, str], None]
"""Called with a resource id and an instance status."""

CheckToken = Callable[["DatabaseSpecification", str, str], str]
"""(instance's specification, user, token) -> who logs in. Raises `TokenRefused`."""

RECORDS = "fleet.json"
HANDED_OVER = "handed-over"

WATCH_SECONDS = 0.5
FIRST_RESTART_DELAY = 0.5
LONGEST_RESTART_DELAY = 30.0


@dataclass(frozen=True)
class DatabaseSpecification:
    """What an instance wants of its server."""

    resource_id: str
    """`db-...`, unique and constant for an instance's life; the server is filed under it."""
    identifier: str
    endpoint: str
    """DNS name, in the server's certificate and the address book."""
    port: int
    engine_version: str
    master: str
    database: str | None
    parameter_group: Mapping[str, str]
    ca_identifier: str
    has_backups: bool
    """Whether the data of earlier moments are kept."""
    iam_authentication: bool = False
    """Whether tokens let anybody in. A member of rds_iam cannot log in any other way in either case."""
    origin: Origin | None = None
    """The data that the instance began with."""
    source: str | None = None
    """Resource id of the instance that this one follows."""


class _Member:
    """A server and its worker."""

    def __init__(self, specification: DatabaseSpecification, server: PostgresServer, listening: Listening):
        self.specification = specification
        self.server = server
        self.listening = listening
        self.wanted = True
        """Whether the server should be running: false while stopped or being deleted."""
        self.restart_delay = FIRST_RESTART_DELAY
        self.restart_at = 0.0
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=specification.identifier)
        self.pending = 0
        self.iam_members = IamMembers(lambda: server.superuser(self.listening, roles.SUPERUSER))
        self.front: Front | None = None


class Fleet:
    def __init__(
        self,
        place: Place,
        directory: Path,
        names: Path,
        logs: Path,
        authority: RdsAuthority,
        prefix: str,
        report: Report,
        check_token: CheckToken,
    ):
        """`prefix`: the first two numbers of this home's loopback network (`127.93`)."""
        self._place = place
        self._records_file = directory / RECORDS
        self._names_file = names / "databases.json"
        self._logs = logs
        self._authority = authority
        self._prefix = prefix
        self._report = report
        self._check_token = check_token
        self._passes = Passes()
        self._front_loop = FrontLoop()
        self._lock = threading.RLock()
        self._members: dict[str, _Member] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self._watcher.start()

    # Requests from instances. Each method returns at once; the worker does the work.

    def create(self, specification: DatabaseSpecification, password: str | None) -> None:
        """Make the server of a new instance. `password`: the master's, needed if the data have none yet."""
        member = self._enlist(specification)

        def work() -> None:
            self._make(member, password)
            self._back_up(member)

        self._submit(member, work)

    def resume(
        self, specification: DatabaseSpecification, password: str | None, running: bool, unsettled: bool = False
    ) -> None:
        """Take over the server of an instance that an earlier run of the service made.

        `password` is needed to finish an interrupted creation; `unsettled`: a change may not have reached the server.
        """
        member = self._enlist(specification)
        if not running:
            member.wanted = False
            return

        def work() -> None:
            self._make(member, password)
            self._back_up(member)
            if unsettled and password is not None:
                with member.server.superuser(member.listening) as connection:
                    roles.set_password(connection, specification.master, password)

        self._submit(member, work)

    def change(self, specification: DatabaseSpecification, password: str | None = None, restart: bool = False) -> None:
        """Apply an instance's current wishes. `password`: only if it changed. A new port always restarts the server."""
        member = self._members[specification.resource_id]

        def work() -> None:
            before = member.specification
            member.specification = specification
            renamed = before.endpoint != specification.endpoint or before.ca_identifier != specification.ca_identifier
            moved = before.port != specification.port
            if moved:
                member.listening = self._listening_for(Listening(member.listening.address, specification.port))
            self._configure(member, new_certificate=renamed)
            if restart or moved:
                self._stop(member, keep_front=not moved)
                self._start(member)
            else:
                member.server.reload()
            if password is not None:
                with member.server.superuser(member.listening) as connection:
                    roles.set_password(connection, specification.master, password)
            self._record()
            self._back_up(member)

        self._submit(member, work)

    def promote(self, specification: DatabaseSpecification) -> None:
        """Stop a replica from following: from now on it is an ordinary instance."""
        member = self._members[specification.resource_id]

        def work() -> None:
            member.specification = specification
            member.server.stand_alone(member.listening)
            self._configure(member)
            member.server.reload()
            self._back_up(member)

        self._submit(member, work)

    def stop_server(self, resource_id: str) -> None:
        member = self._members[resource_id]
        member.wanted = False

        def work() -> None:
            self._stop(member)
            self._record()

        self._submit(member, work, done="stopped")

    def start_server(self, resource_id: str) -> None:
        member = self._members[resource_id]
        member.wanted = True
        self._submit(member, lambda: self._start(member))

    def delete(self, resource_id: str, final_snapshot: str | None) -> None:
        """Stop the server and remove its data, after copying them for `final_snapshot` if one is requested."""
        member = self._members[resource_id]
        member.wanted = False

        def work() -> None:
            # By the end of the shutdown, its followers have received everything.
            self._stop(member)
            for follower in self._followers(member):
                self.promote(replace(follower.specification, source=None))
            if final_snapshot:
                member.server.copy_to(self._snapshot_path(final_snapshot), member.listening)
            shutil.rmtree(member.server.data, ignore_errors=True)
            self._backups(resource_id).remove()
            with self._lock:
                del self._members[resource_id]
            self._record()

        self._submit(member, work, done="deleted")
        member.worker.shutdown(wait=False)

    def snapshot(self, resource_id: str, name: str, done: Callable[[], None]) -> None:
        member = self._members[resource_id]

        def work() -> None:
            member.server.copy_to(self._snapshot_path(name), member.listening)
            done()

        self._submit(member, work)

    def copy_snapshot(self, name: str, target: str) -> None:
        if self.has_snapshot(name):
            shutil.copytree(self._snapshot_path(name), self._snapshot_path(target), symlinks=True)

    def drop_snapshot(self, name: str) -> None:
        shutil.rmtree(self._snapshot_path(name), ignore_errors=True)

    def has_snapshot(self, name: str) -> bool:
        return self._snapshot_path(name).is_dir()

    def earliest_moment(self, resource_id: str) -> datetime.datetime | None:
        """The earliest moment to which an instance's data can be restored; None before its first backup."""
        return self._backups(resource_id).earliest

    def close(self) -> None:
        """Stop all servers in order and wait for them. The data stay."""
        self._stopping.set()
        with self._lock:
            members = list(self._members.values())
        for member in members:
            member.wanted = False
        stops: list[Future[None]] = []
        for member in members:
            try:
                stops.append(member.worker.submit(self._stop, member))
            except RuntimeError:
                # Its deletion is under way; the shutdown below waits for that.
                pass
        for member in members:
            member.worker.shutdown(wait=True)
        for stop in stops:
            stop.result()
        self._watcher.join(timeout=WATCH_SECONDS * 4)
        self._front_loop.close()
        self._record()

    # Work

    def _enlist(self, specification: DatabaseSpecification) -> _Member:
        installation = find_installation(specification.engine_version)
        if installation is None:
            raise ServerFailure(f"no PostgreSQL {specification.engine_version} programs on this machine")
        installation = self._place.reachable(installation)
        with self._lock:
            listening = self._listening_of(specification)
            data = self._place.directory("servers") / specification.resource_id
            server = PostgresServer(
                installation, self._place.user, data, self._logs / f"database-{specification.identifier}.log"
            )
            member = _Member(specification, server, listening)
            self._members[specification.resource_id] = member
        return member

    def _listening_of(self, specification: DatabaseSpecification) -> Listening:
        """The server's earlier address, if an earlier run of the service recorded one, otherwise a new address."""
        recorded = read_json(self._records_file, {})
        known = recorded.get(specification.resource_id)
        if known and known["address"].startswith(f"{self._prefix}."):
            return Listening(known["address"], known["port"])
        taken = {member.listening.address for member in self._members.values()}
        taken |= {record["address"] for record in recorded.values()}
        for number in range(1, 255):
            address = f"{self._prefix}.200.{number}"
            if address not in taken:
                return Listening(address, specification.port)
        raise ServerFailure("all 254 addresses for databases are in use; delete an instance")

    def _listening_for(self, wanted: Listening) -> Listening:
        if wanted.is_free:
            return wanted
        other = wanted.with_free_port()
        log.warning(
            "port %s:%d is taken by another program; the server listens on %d instead, and the address book says so",
            wanted.address,
            wanted.port,
            other.port,
        )
        return other

    def _make(self, member: _Member, password: str | None) -> None:
        """Brings the server to a running state from wherever it is. Each step is repeatable, so that an interrupted
        creation can be resumed."""
        server, specification = member.server, member.specification
        self._backups(specification.resource_id).prepare()
        if not server.exists:
            self._fill(member)
        if server.pid is None:
            member.listening = self._listening_for(Listening(member.listening.address, specification.port))
            # Record before the start: if this service is killed, the record is how the surviving server is found.
            self._record()
        self._configure(member)
        self._start(member)
        if specification.source is not None:
            return
        server.stand_alone(member.listening)
        # Once handed over, a database belongs to its users: a later run of the service must not undo their changes.
        # Copied data bring the mark along.
        handed_over = server.data / HANDED_OVER
        if not handed_over.exists():
            with server.superuser(member.listening) as connection:
                roles.set_up(connection, specification.master, password or "", specification.database)
            handed_over.touch()

    def _fill(self, member: _Member) -> None:
        """Put in place the data that an instance begins with."""
        server, origin = member.server, member.specification.origin
        if member.specification.source is not None:
            source = self._members[member.specification.source]
            self._meanwhile(source, lambda: server.copy_of(source.server, source.listening))
        elif isinstance(origin, SnapshotOrigin):
            server.restore_from(self._snapshot_path(origin.name))
        elif isinstance(origin, MomentOrigin):
            source = self._members[origin.resource_id]
            self._meanwhile(source, lambda: source.server.close_log(source.listening))
            server.restore_from(self._backups(origin.resource_id).base, recover=True)
        else:
            server.initialise()

    def _meanwhile(self, source: _Member, work: Callable[[], None]) -> None:
        """Do `work` while nothing else happens to `source`, and wait for it."""
        try:
            waiting = source.worker.submit(work)
        except RuntimeError as error:
            raise NotRestored(f"{source.specification.identifier} is being deleted") from error
        waiting.result()

    def _back_up(self, member: _Member) -> None:
        """Start the backups that the instance wants, or end them."""
        backups, specification = self._backups(member.specification.resource_id), member.specification
        if not specification.has_backups:
            if backups.earliest is not None:
                backups.remove()
                backups.prepare()
        elif backups.earliest is None:
            self._report(specification.resource_id, "backing-up")
            shutil.rmtree(backups.base, ignore_errors=True)
            member.server.copy_to(backups.base, member.listening)
            backups.begun()

    def _configure(self, member: _Member, new_certificate: bool = False) -> None:
        specification, server = member.specification, member.server
        current = server.certificate
        now = datetime.datetime.now(datetime.timezone.utc)
        issued = None
        if new_certificate or current is None or needs_renewal(current, now):
            issued = self._authority.issue(specification.endpoint, specification.ca_identifier)
        wanted = parameters.for_server(specification.parameter_group, server.installation)
        settings = {**wanted.settings, **self._log_settings(member)}
        server.configure(member.listening, settings, wanted.force_ssl, issued, self._passes.authority)

    def _log_settings(self, member: _Member) -> dict[str, str]:
        """Where a server's changes are written, and from where it reads those of other servers."""
        specification, server = member.specification, member.server
        settings = {**NO_BACKUPS}
        if specification.has_backups:
            settings |= self._backups(specification.resource_id).writing()
        if specification.source is not None:
            source = self._members[specification.source]
            settings |= self._backups(specification.source).reading()
            settings |= server.follow(source.server, source.listening)
        elif server.recovers and isinstance(specification.origin, MomentOrigin):
            settings |= self._backups(specification.origin.resource_id).recovery(specification.origin.time)
        return settings

    def _start(self, member: _Member) -> None:
        recovers = member.server.recovers
        try:
            self._answer(member, recovers)
        except PortBusy:
            # The port was taken between the check and the start.
            self._stop(member)
            member.listening = member.listening.with_free_port()
            self._configure(member)
            self._answer(member, recovers)
        member.restart_delay = FIRST_RESTART_DELAY
        self._record()
        for follower in self._followers(member):
            self._submit(follower, lambda follower=follower: self._follow_again(follower), done=None)  # type: ignore[misc]

    def _answer(self, member: _Member, recovers: bool) -> None:
        member.server.start(member.listening)
        if recovers:
            # The restored state is reached; the settings that led to it are no longer needed.
            self._configure(member)
            member.server.stop()
            member.server.start(member.listening)
        if member.front is None:
            member.front = self._front_of(member)
        try:
            member.front.open(member.listening.address, member.listening.port)
        except AddressTaken as taken:
            raise PortBusy(f"the port is taken by another program ({taken})") from None

    def _stop(self, member: _Member, keep_front: bool = False) -> None:
        if member.front is not None and not keep_front:
            member.front.close()
        member.iam_members.close()
        member.server.stop()

    def _front_of(self, member: _Member) -> Front:
        server = member.server

        def check_token(user: str, token: str) -> str:
            if not member.specification.iam_authentication:
                raise TokenRefused("IAM authentication of the instance is off")
            return self._check_token(member.specification, user, token)

        backend = Backend(
            address=member.listening.behind,
            certificate=server.data / CERTIFICATE,
            key=server.data / KEY,
            authorities=self._authority.bundle,
            major=server.installation.major,
            logs_in_by_iam=member.iam_members,
            check_token=check_token,
        )
        return Front(self._front_loop, backend, self._passes)

    def _follow_again(self, member: _Member) -> None:
        """The source may listen elsewhere than before."""
        if member.specification.source is not None and member.server.pid is not None:
            self._configure(member)
            member.server.reload()

    def _followers(self, member: _Member) -> list[_Member]:
        with self._lock:
            everyone = list(self._members.values())
        return [one for one in everyone if one.wanted and one.specification.source == member.specification.resource_id]

    def _backups(self, resource_id: str) -> Backups:
        return Backups(self._place.directory("backups") / resource_id, self._place.user)

    def _submit(self, member: _Member, work: Callable[[], object], done: str | None = "available") -> None:
        """`done`: the status reported on success; None for work that the instance's users do not see."""
        resource_id = member.specification.resource_id
        with self._lock:
            member.pending += 1

        def run() -> None:
            try:
                work()
            except ServerFailure as failure:
                log.error("database %s: %s", member.specification.identifier, failure)
                self._report(resource_id, failure.status)
            except OSError as error:
                log.error("database %s: %s", member.specification.identifier, error)
                self._report(resource_id, "storage-full" if error.errno == 28 else "failed")
            except Exception:
                log.exception("database %s", member.specification.identifier)
                self._report(resource_id, "failed")
            else:
                if done is not None:
                    self._report(resource_id, done)
            finally:
                with self._lock:
                    member.pending -= 1

        member.worker.submit(run)

    # Supervision

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            with self._lock:
                idle = [member for member in self._members.values() if member.wanted and member.pending == 0]
            for member in idle:
                if member.server.exists and member.server.pid is None and time.monotonic() >= member.restart_at:
                    log.error("database %s: its server is gone; it is started again", member.specification.identifier)
                    member.restart_at = time.monotonic() + member.restart_delay
                    member.restart_delay = min(member.restart_delay * 2, LONGEST_RESTART_DELAY)
                    self._submit(member, lambda member=member: self._start(member))  # type: ignore[misc]

    # Records

    def _record(self) -> None:
        """Write what a later run of the service must know, and where clients find each endpoint."""
        with self._lock:
            records = {
                resource_id: {
                    "identifier": member.specification.identifier,
                    "endpoint": member.specification.endpoint,
                    "address": member.listening.address,
                    "port": member.listening.port,
                    "data": str(member.server.data),
                }
                for resource_id, member in self._members.items()
            }
            book = {
                member.specification.endpoint: {
                    str(member.specification.port): [f"{member.listening.address}:{member.listening.port}"]
                }
                for member in self._members.values()
                if member.wanted
            }
            write_json(self._records_file, records)
            write_json(self._names_file, book)

    def _snapshot_path(self, name: str) -> Path:
        # Automated snapshots are named `rds:...`.
        return self._place.directory("snapshots") / name.lower().replace(":", "_")


def stop_leftovers(directory: Path) -> None:
    """Kill servers that a killed service left running, found by their recorded data directories."""
    for resource_id, record in read_json(directory / RECORDS, {}).items():
        data = Path(record["data"])
        if running_server(data) is not None:
            log.info("ending the server of %s, left by an earlier run", resource_id)
            stop_running_server(data)
