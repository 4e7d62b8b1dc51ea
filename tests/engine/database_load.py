"""A steady load of short connections with the URIs held by the access graph's processes, counted one by one.

Owns the threads and the counting. A URI comes only from a living process, so a login must work for as long as any
process holds it.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psycopg

THREADS = 4
# Per thread: twenty connections a second in all leave enough of the machine for the `up` beside them.
PAUSE_SECONDS = 0.2
POLL_SECONDS = 0.5
# On a busy machine, a late connection is not lost; one that never comes is.
TIMEOUT_SECONDS = 60


class Load:
    """While the context is open, every thread repeatedly connects, asks one thing as the owner, and disconnects.

    `held` returns the URIs in use; `authorities` is the file with the CA that signs the server's certificate; `book` is
    the file with the servers' addresses.
    """

    def __init__(self, held: Callable[[], set[str]], *, authorities: Path, book: Path) -> None:
        self._held, self._authorities, self._book = held, authorities, book
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._uris: tuple[str, ...] = ()
        self._threads = [threading.Thread(target=self._poll), *(self._thread() for _ in range(THREADS))]
        self.served: Counter[str] = Counter()
        """Login -> connections that were answered."""
        self.failures: list[str] = []
        """One line for each unanswered connection, and for each time that no URI could be read."""

    def __enter__(self) -> Load:
        self._uris = tuple(sorted(self._held()))
        assert self._uris, "no process holds a URI"
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    @property
    def count(self) -> int:
        return sum(self.served.values()) + len(self.failures)

    def go_on_until(self, count: int, *, seconds: float) -> None:
        """Return once that many connections were made; raise if that takes longer than `seconds`."""
        end = time.monotonic() + seconds
        while self.count < count:
            assert time.monotonic() < end, f"{self.count} of {count} connections"
            time.sleep(POLL_SECONDS)

    def _thread(self) -> threading.Thread:
        return threading.Thread(target=self._connect)

    def _poll(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            # Between two pods there may briefly be none; the last URIs must work then.
            self._uris = tuple(sorted(self._held())) or self._uris

    def _connect(self) -> None:
        for turn in itertools.count():
            if self._ended.wait(PAUSE_SECONDS):
                return
            uris = self._uris
            uri = uris[turn % len(uris)]
            login = str(urlsplit(uri).username)
            said = self.ask(uri)
            with self._lock:
                if said is None:
                    self.served[login] += 1
                else:
                    self.failures.append(f"{login}: {said}")

    def ask(self, uri: str) -> str | None:
        """None if the connection was answered, otherwise what went wrong."""
        parts = urlsplit(uri)
        try:
            addresses = json.loads(self._book.read_text())[parts.hostname][str(parts.port)]
            address, _, port = addresses[0].partition(":")
            with psycopg.connect(
                uri,
                hostaddr=address,
                port=port,
                # The pod's own copy disappears with the pod.
                sslrootcert=str(self._authorities),
                connect_timeout=TIMEOUT_SECONDS,
            ) as connection:
                row = connection.execute("SELECT current_user, has_schema_privilege('public', 'CREATE')").fetchone()
            return None if row == ("access_graph_owner", True) else f"is {row}"
        except (psycopg.Error, OSError, KeyError) as error:
            return " ".join(str(error).split())
