"""A proxy before a server that can be cut or slowed down. It passes bytes on unchanged, so TLS ends at the server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml

CHUNK = 65536


class Way:
    """Listens on a free loopback port and forwards to `target`, with `delay` seconds before each chunk of an answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.port: int = self._server.getsockname()[1]
        self.cut = False
        self.delay = 0.0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # `shutdown` wakes the thread in `accept`; `close` alone would not.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Ends every open connection."""
        with self._lock:
            passing, self._open = self._open, set()
        for one in passing:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if self.cut:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(CHUNK):
                if answers and self.delay:
                    time.sleep(self.delay)
                sink.sendall(data)
        except OSError:
            pass  # one end has closed the connection, so the other end's is ended below
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def way_to(kubeconfig: Path, copy: Path) -> Iterator[Way]:
    """A way to the first cluster of `kubeconfig`. Writes to `copy` a kubeconfig that uses the way."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    address = urlsplit(cluster["server"])
    way = Way((address.hostname or "", address.port or 443))
    cluster["server"] = f"https://{address.hostname}:{way.port}"
    copy.touch(mode=0o600)
    copy.write_text(yaml.safe_dump(document))
    try:
        yield way
    finally:
        way.close()
