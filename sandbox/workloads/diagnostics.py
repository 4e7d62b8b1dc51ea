"""Teleport's diagnostic address: /healthz says that the process lives, /readyz that it serves.

Also the small JSON-over-HTTP handler on which auth's and the proxy's own services are built.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sandbox.workloads.listener import Listener, serve_http
from sandbox.workloads.surroundings import listening_address

_DIAGNOSTIC_PORT = 3000


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    # The subject of the client's certificate; empty without one.
    client: dict[str, str]


@dataclass(frozen=True)
class Response:
    status: int
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def of(cls, value: Any, status: int = 200) -> Response:
        return cls(status, json.dumps(value).encode() + b"\n")


def http_handler(answer: Callable[[Request], Response]) -> type[BaseHTTPRequestHandler]:
    """Handles one request per connection and logs nothing."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "Teleport"
        sys_version = ""

        def do_GET(self) -> None:
            self._reply()

        def do_POST(self) -> None:
            self._reply()

        def _reply(self) -> None:
            target = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            subject: dict[str, str] = {}
            if hasattr(self.connection, "getpeercert"):
                certificate: Any = self.connection.getpeercert() or {}
                subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
            response = answer(Request(self.command, target.path, dict(parse_qsl(target.query)), body, subject))
            self.send_response(response.status)
            self.send_header("Content-Type", response.content_type)
            self.send_header("Content-Length", str(len(response.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(response.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass  # not logged: probes come every few seconds

    return Handler


def serve_diagnostics(address: str, ready: Callable[[], str]) -> None:
    """`ready` returns what is still missing, empty once the service serves. An empty address: no diagnostics."""
    if not address:
        return

    def answer(request: Request) -> Response:
        if request.path == "/healthz":
            return Response.of({"status": "ok"})
        if request.path == "/readyz":
            missing = ready()
            return Response.of({"status": missing}, 503) if missing else Response.of({"status": "ok"})
        return Response.of({"error": {"message": "not found"}}, 404)

    Listener(listening_address(address, _DIAGNOSTIC_PORT)).start(serve_http(http_handler(answer)))
