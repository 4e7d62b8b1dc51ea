"""A TCP or TLS listener with one thread per connection, closing so that a peer always receives its TLS alert.

Owns accepting and closing; the caller speaks the protocol.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

Handler = Callable[[socket.socket, tuple[str, int]], None]
Refused = Callable[[tuple[str, int], Exception], None]

# A client that connects and stays silent must not occupy a thread forever.
_HANDSHAKE_SECONDS = 10.0


class Listener:
    """Listens from construction on; `serve` accepts until the process ends."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext | None = None) -> None:
        self._socket = socket.create_server(address, backlog=64)
        self._context = context

    def renew(self, context: ssl.SSLContext) -> None:
        """Use this context for all new connections. Changing the serving context in place would make a handshake fail
        between loading the certificate and its key."""
        self._context = context

    def start(self, handle: Handler, refused: Refused | None = None) -> None:
        threading.Thread(target=self._serve, args=(handle, refused), daemon=True).start()

    def _serve(self, handle: Handler, refused: Refused | None) -> None:
        while True:
            connection, peer = self._socket.accept()
            threading.Thread(target=self._one, args=(connection, peer, handle, refused), daemon=True).start()

    def _one(self, connection: socket.socket, peer: tuple[str, int], handle: Handler, refused: Refused | None) -> None:
        connection.settimeout(_HANDSHAKE_SECONDS)
        try:
            context = self._context
            if context is None:
                handle(connection, peer)
                return
            # Not yet a handshake: a probe that only connects is gone by now and is not worth logging.
            if not connection.recv(1, socket.MSG_PEEK):
                return
            wrapped = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            connection = wrapped
            try:
                wrapped.do_handshake()
            except (ssl.SSLError, OSError) as error:
                if refused:
                    refused(peer, error)
                _close_after_alert(wrapped)
                return
            handle(wrapped, peer)
        except OSError:
            pass  # the peer went away; nothing more to do
        finally:
            connection.close()


def _close_after_alert(connection: socket.socket) -> None:
    """Closing with unread bytes resets the connection, and the peer would lose the alert that says why."""
    try:
        connection.settimeout(1.0)
        # Bypasses the TLS layer, which has given up on this connection.
        plain = socket.socket(fileno=socket.dup(connection.fileno()))
        with plain:
            plain.settimeout(1.0)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                pass
    except OSError:
        pass


def serve_http(handler: type[BaseHTTPRequestHandler]) -> Handler:
    """Speaks HTTP on each connection, with a request handler of the standard library."""

    def handle(connection: socket.socket, peer: tuple[str, int]) -> None:
        handler(connection, peer, None)  # type: ignore[arg-type]  # no server object: the handler needs none

    return handle
