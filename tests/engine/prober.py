"""Calls Teleport Access Graph as the running auth would, twenty times a second, and counts the results.

Owns the calls and their report. The auth *process* says what it trusts and where it dials: it read its CA file once, at
its start, so the ConfigMap's present contents do not matter. The host certificate is reread for each call.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

from operations.address_book import AddressBook
from sandbox.home import Home
from sandbox.kubelet.claims import claim_path
from sandbox.workloads.certificates import certificates_in, fingerprint
from sandbox.workloads.endpoint import HTTP2_PREFACE, HTTP2_SETTINGS, AccessGraphSettings, client_context
from sandbox.workloads.host_authority import IDENTITY

PERIOD_SECONDS = 0.05
# Auth's own limit: a call that takes longer has failed.
CALL_SECONDS = 5.0
# A new pod has a new address, but a container that restarts in its pod keeps it, so known addresses are asked again.
_LOOK_SECONDS = 0.1
_ASK_AGAIN_SECONDS = 1.0
_AUTH_PORT = 3025
# Calls under way at once: while one waits for its time limit, the others continue.
_CALLERS = 16


@dataclass(frozen=True)
class AuthProcess:
    """What one running auth has in memory."""

    address: tuple[str, int]
    settings: AccessGraphSettings
    bundle: str | None
    """PEM of `access_graph.ca` as it was read at the start; None where the system's store is used."""


@dataclass(frozen=True)
class Failure:
    at: datetime
    phase: str
    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S.%f} {self.phase}: {self.address}: {self.reason}"


@dataclass(frozen=True)
class PhaseReport:
    """Counts for the calls that began between one `enter` and the next."""

    calls: int
    failures: tuple[Failure, ...]
    redials: int
    """Calls that met a pod on its way out, before it had said a byte, and were answered by another: what a Service's
    table lags behind, and what gRPC dials anew for."""
    seconds: float
    longest_gap: float
    """Seconds from one success to the next, or to an end of the phase: the longest time without an answer."""
    answered_by: frozenset[str]
    """Addresses of the replicas."""
    served: frozenset[str]
    """SHA-256 of the server certificates seen."""
    presented: frozenset[str]
    """SHA-256 of the host certificates that were accepted."""

    def __str__(self) -> str:
        return (
            f"{self.calls:6} calls {len(self.failures):4} failed {self.redials:3} redialled in {self.seconds:6.1f} s, "
            f"longest gap {self.longest_gap:.2f} s, server certificates {len(self.served)}"
        )


@dataclass(frozen=True)
class Report:
    phases: dict[str, PhaseReport]

    @property
    def calls(self) -> int:
        return sum(phase.calls for phase in self.phases.values())

    @property
    def failures(self) -> tuple[Failure, ...]:
        return tuple(failure for phase in self.phases.values() for failure in phase.failures)

    def __str__(self) -> str:
        """One line per phase, and the first failures of each kind."""
        width = max((len(name) for name in self.phases), default=0)
        lines = [f"{name:<{width}} {phase}" for name, phase in self.phases.items()]
        lines.append(f"{'in all':<{width}} {self.calls:6} calls {len(self.failures):4} failed")
        seen: Counter[tuple[str, str]] = Counter()
        for failure in self.failures:
            seen[failure.phase, failure.reason] += 1
            if seen[failure.phase, failure.reason] <= 3:
                lines.append(f"  {failure}")
        return "\n".join(lines)


@dataclass
class _Phase:
    began: float
    ended: float | None = None
    calls: int = 0
    redials: int = 0
    failures: list[Failure] = field(default_factory=list)
    successes: list[float] = field(default_factory=list)
    answered_by: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    presented: set[str] = field(default_factory=set)

    @property
    def is_calling(self) -> bool:
        return self.calls > len(self.successes) + len(self.failures)

    def report(self) -> PhaseReport:
        ended = time.monotonic() if self.ended is None else self.ended
        moments = [self.began, *sorted(self.successes), ended]
        return PhaseReport(
            calls=self.calls,
            failures=tuple(self.failures),
            redials=self.redials,
            seconds=ended - self.began,
            longest_gap=max(later - earlier for earlier, later in pairwise(moments)),
            answered_by=frozenset(self.answered_by),
            served=frozenset(self.served),
            presented=frozenset(self.presented),
        )


class _Unanswered(Exception):
    """Nobody answered: no connection, or it ended before the first byte of an answer and without a TLS alert."""


class _Failed(Exception):
    """The call ended without an answer."""


class Prober:
    """A context manager that makes calls from its entry to its exit. Raises `TimeoutError` on entry if it finds no auth
    that uses the access graph."""

    def __init__(self, home: Home, namespace: str = "teleport", release: str = "teleport") -> None:
        self._book = AddressBook(path=home.names)
        self._auth_host = f"{release}-auth.{namespace}.svc.cluster.local"
        # The chart names the claim for auth's data after the release.
        self._identity = claim_path(home.kubelet, namespace, release) / IDENTITY
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._processes: dict[tuple[str, int], AuthProcess] = {}
        self._asked: dict[tuple[str, int], float] = {}
        self._contexts: dict[tuple[AccessGraphSettings, str | None, bytes], ssl.SSLContext] = {}
        self._phase = "before"
        self._phases: dict[str, _Phase] = {}
        self._threads = [
            threading.Thread(target=self._watch, name="prober-watch", daemon=True),
            threading.Thread(target=self._call_on_time, name="prober-calls", daemon=True),
        ]

    def __enter__(self) -> Prober:
        watch, calls = self._threads
        watch.start()
        deadline = time.monotonic() + 180
        while not self._processes:
            if time.monotonic() > deadline:
                self._stop.set()
                raise TimeoutError(f"no auth behind {self._auth_host} says that it uses an access graph")
            time.sleep(_LOOK_SECONDS)
        self.enter(self._phase)
        calls.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * CALL_SECONDS)
        with self._lock:
            self._phases[self._phase].ended = time.monotonic()

    def enter(self, phase: str) -> None:
        """Count calls that begin from now on under this name. A name can be used only once."""
        now = time.monotonic()
        with self._lock:
            if phase in self._phases:
                raise ValueError(f"phase {phase!r} was there already")
            if self._phase in self._phases:
                self._phases[self._phase].ended = now
            self._phase = phase
            self._phases[phase] = _Phase(began=now)

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Counts calls that begin in the block under `phase`, and waits for all of them before leaving the block."""
        self.enter(phase)
        try:
            yield
        finally:
            self.enter(f"after {phase}")
            deadline = time.monotonic() + 2 * CALL_SECONDS
            while self._phases[phase].is_calling and time.monotonic() < deadline:
                time.sleep(PERIOD_SECONDS)

    def report(self) -> Report:
        """Every phase in which a call began, in order."""
        with self._lock:
            return Report({name: phase.report() for name, phase in self._phases.items() if phase.calls})

    def bundles(self) -> set[str | None]:
        """The bundles loaded by the running auth processes."""
        return {process.bundle for process in list(self._processes.values())}

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            found = set(self._book.find(self._auth_host, _AUTH_PORT) or [])
            for address in found:
                if time.monotonic() - self._asked.get(address, -_ASK_AGAIN_SECONDS) >= _ASK_AGAIN_SECONDS:
                    self._ask(address)
            current = {address: process for address, process in self._processes.items() if address in found}
            # Between one auth and the next, calls continue as the last one's, so failures during the restart are not
            # hidden.
            if current:
                self._processes = current

    def _ask(self, address: tuple[str, int]) -> None:
        """Ask the process for what it uses, as it tells its proxies. A process that does not answer is asked again."""
        try:
            answer = _get(address, "/access-graph", self._identity)
        except (OSError, ValueError, http.client.HTTPException):
            return
        self._asked[address] = time.monotonic()
        if answer["enabled"]:
            settings = AccessGraphSettings(True, answer["endpoint"], None, answer["insecure"])
            self._processes = {**self._processes, address: AuthProcess(address, settings, answer["ca"])}

    def _call_on_time(self) -> None:
        with ThreadPoolExecutor(_CALLERS, thread_name_prefix="prober") as callers:
            number, due = 0, time.monotonic()
            while not self._stop.is_set():
                callers.submit(self._counted, number)
                number += 1
                due += PERIOD_SECONDS
                wait = due - time.monotonic()
                if wait > 0:
                    self._stop.wait(wait)
                else:
                    due -= wait  # after a delay, do not catch up in a burst

    def _counted(self, number: int) -> None:
        processes = list(self._processes.values())
        process = processes[number % len(processes)]
        with self._lock:
            name = self._phase
            phase = self._phases[name]
            phase.calls += 1
        at = datetime.now(timezone.utc)
        host, port = process.settings.address
        addresses = self._book.find(host, port) or []
        # Round robin over the ready pods; if one does not answer, try the next, as auth's own dialling does.
        turn = number % len(addresses) if addresses else 0
        tried = ""
        try:
            context, presented = self._context(process)
            for position, address in enumerate([*addresses[turn:], *addresses[:turn]]):
                tried = f"{address[0]}:{address[1]}"
                try:
                    served = _call(address, host, context)
                except _Unanswered as error:
                    reason = str(error)
                    if self._leaves(host, port, address):
                        continue
                    break  # a pod that stays must answer
                with self._lock:
                    phase.successes.append(time.monotonic())
                    phase.answered_by.add(tried)
                    phase.served.add(served)
                    phase.presented.add(presented)
                    phase.redials += position > 0
                return
            if not addresses:
                reason = f"no ready pod behind {host}:{port}"
        except _Failed as error:
            reason = str(error)
        except Exception as error:  # every call that did not succeed must be counted, whatever the reason
            reason = f"{type(error).__name__}: {error}"
        with self._lock:
            phase.failures.append(Failure(at, name, tried, reason))

    def _leaves(self, host: str, port: int, address: tuple[str, int]) -> bool:
        """Whether the pod at `address` is terminating, which the Service's table shows a little later."""
        deadline = time.monotonic() + CALL_SECONDS
        while address in (self._book.find(host, port) or []):
            if time.monotonic() > deadline:
                return False
            time.sleep(PERIOD_SECONDS)
        return True

    def _context(self, process: AuthProcess) -> tuple[ssl.SSLContext, str]:
        identity = self._identity.read_bytes()
        key = (process.settings, process.bundle, identity)
        context = self._contexts.get(key)
        if context is None:
            # From exactly this content, even if the file has changed by the time the context opens it.
            with tempfile.NamedTemporaryFile() as copy:
                copy.write(identity)
                copy.flush()
                context = client_context(process.settings, process.bundle, Path(copy.name))
            self._contexts[key] = context
        return context, fingerprint(certificates_in(identity.decode())[0])


def _call(address: tuple[str, int], host: str, context: ssl.SSLContext) -> str:
    """One call over its own connection; returns the fingerprint of the server's certificate."""
    try:
        plain = socket.create_connection(address, CALL_SECONDS)
    except ConnectionRefusedError as error:
        raise _Unanswered(f"dial: {error.strerror}") from None
    except OSError as error:
        raise _Failed(f"dial: {error}") from None
    with plain:
        try:
            connection = context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            raise _Failed(f"the server's certificate is refused: {error.verify_message}") from None
        except (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError) as error:
            # A kernel accepted it for a process that was ending; a refusal would come with an alert.
            raise _Unanswered(f"handshake: {error}") from None
        except OSError as error:
            raise _Failed(f"handshake: {getattr(error, 'reason', None) or error}") from None
        with connection:
            try:
                connection.sendall(HTTP2_PREFACE + HTTP2_SETTINGS)
            except OSError:
                pass  # already refused; the alert with the reason is still to be read
            try:
                # In TLS 1.3 the client is done before the server has checked its certificate: only an answer proves
                # success.
                answer = connection.recv(65536)
            except ConnectionResetError as error:
                raise _Unanswered(f"after the handshake: {error}") from None
            except OSError as error:
                raise _Failed(f"the host certificate is refused: {getattr(error, 'reason', None) or error}") from None
            if not answer:
                raise _Unanswered("closed after the handshake")
            served = connection.getpeercert(binary_form=True)
            assert served is not None  # the server is verified
            return fingerprint(served)


def _get(address: tuple[str, int], path: str, identity: Path) -> dict[str, Any]:
    """Auth's answer. Auth is on loopback and the test holds auth's own identity, so there is nothing to verify."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(identity)
    connection = http.client.HTTPSConnection(*address, timeout=CALL_SECONDS, context=context)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise OSError(f"{path} answers {response.status}")
    answer: dict[str, Any] = json.loads(body)
    return answer
