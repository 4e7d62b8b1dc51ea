"""Stand-in for Teleport Access Graph: `access-graph --config <file>`.

Starts only with a usable database, its key pair and at least one registration CA; loads each of them once and opens its
port last, as the real service does. Owns the service; the database connection is in `access_graph_database`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import ssl
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from typing import Any

import yaml

from sandbox.workloads.access_graph_database import PRIMARY, REPLICA, Database
from sandbox.workloads.certificates import fingerprint, read_authorities, server_context, trusting
from sandbox.workloads.journal import Journal, StartRefused, run_program
from sandbox.workloads.listener import Listener, serve_http
from sandbox.workloads.surroundings import bind_address, image_version, inside, listening_address

_GRPC_PORT = 9090
_METRICS_PORT = 3000
_HTTP2_SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
_DATABASE_CHECK_SECONDS = 60.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="access-graph")
    parser.add_argument("--config", default="/etc/access_graph/config.yaml")
    given = parser.parse_args(arguments)
    config = read_config(given.config)
    journal = Journal("access-graph", str((config.get("log") or {}).get("level", "INFO")))
    service = Service(config, journal)
    service.start()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(_DATABASE_CHECK_SECONDS):
        service.check_database()
    journal.info("shutting down")
    return 0


def read_config(path: str) -> dict[str, Any]:
    try:
        config = yaml.safe_load(inside(path).read_text())
    except OSError as error:
        raise StartRefused(f"failed to read config: open {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise StartRefused(f"failed to parse config {path}: {error}") from None
    if not isinstance(config, dict):
        raise StartRefused(f"failed to parse config {path}: it is no map")
    return config


class Service:
    """Reads and checks everything in `__init__` and `start`; opens no file afterwards."""

    def __init__(self, config: dict[str, Any], journal: Journal) -> None:
        self._journal = journal
        self._version = image_version("0.0.0")
        self._started = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        tls = config.get("tls") or {}
        for key in ("cert", "key"):
            if not tls.get(key):
                raise StartRefused(f"config: tls.{key} is required: the service always uses TLS")
        self._context = server_context(inside(tls["cert"]), inside(tls["key"]), "tls")
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        paths = config.get("registration_cas") or []
        if not paths:
            raise StartRefused("config: registration_cas is empty: no Teleport cluster could connect")
        self._authorities = [
            certificate for path in paths for certificate in read_authorities(inside(path), "registration_cas")
        ]
        trusting(self._context, self._authorities, "registration_cas")
        # Only host certificates: a client without one, or with one of another CA, gets an alert and a line in the log.
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._certificate = _first_certificate(inside(tls["cert"]).read_text())
        self._address = listening_address(str(config.get("address") or ""), _GRPC_PORT)
        self._metrics = bool((config.get("metrics") or {}).get("enabled"))
        connection, replica = os.environ.get(PRIMARY, ""), os.environ.get(REPLICA, "")
        if not connection:
            raise StartRefused(f"{PRIMARY} is not set")
        backend = (config.get("backend") or {}).get("postgres") or {}
        self._database = Database(connection, backend, journal)
        # Queries go to the replica; without one, everything goes to the primary.
        self._replica = Database(replica, backend, journal, REPLICA) if replica else None
        self._connected = 0
        self._refused = 0

    def start(self) -> None:
        self._database.open()
        self._database.create_objects(sorted(self._clusters()))
        if self._replica is not None:
            self._replica.open()
        try:
            listener = Listener(self._address, self._context)
            metrics = Listener((bind_address(), _METRICS_PORT)) if self._metrics else None
        except OSError as error:
            raise StartRefused(f"listen on {self._address[0]}:{self._address[1]}: {error}") from None
        listener.start(self._serve, self._refuse)
        if metrics:
            metrics.start(serve_http(self._metrics_handler()))
        self._journal.info(
            "Access Graph service is ready",
            address=f"{self._address[0]}:{self._address[1]}",
            certificate=self._certificate,
            registration_cas=",".join(fingerprint(authority) for authority in self._authorities),
            version=self._version,
        )

    def _clusters(self) -> set[str]:
        """The clusters that may register, named by the common names of their host CAs."""
        subjects = [_attributes(authority) for authority in self._context.get_ca_certs()]
        return {subject["commonName"] for subject in subjects if "commonName" in subject}

    def check_database(self) -> None:
        self._database.check()
        if self._replica is not None:
            self._replica.check()

    def _serve(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        client = _attributes(connection.getpeercert()).get("commonName", "")
        self._connected += 1
        self._journal.info("client connected", peer=f"{peer[0]}:{peer[1]}", client=client)
        while received := connection.recv(65536):
            connection.sendall(self._answer(received))
            if received.startswith((b"GET ", b"HEAD ")):
                return

    def _answer(self, received: bytes) -> bytes:
        """A gRPC client gets the server's SETTINGS; any other learns what this process serves and since when."""
        if received.startswith(b"PRI "):
            return _HTTP2_SETTINGS
        facts = {"certificate": self._certificate, "started": self._started, "version": self._version}
        body = json.dumps(facts).encode() + b"\n"
        if received.startswith((b"GET ", b"HEAD ")):
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            return head.encode() + b"Connection: close\r\n\r\n" + body
        return body

    def _refuse(self, peer: tuple[str, int], error: Exception) -> None:
        self._refused += 1
        reason = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
        self._journal.warning("TLS handshake failed", peer=f"{peer[0]}:{peer[1]}", error=reason)

    def _metrics_handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Metrics(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                lines = {
                    "access_graph_connections_total": service._connected,
                    "access_graph_handshake_failures_total": service._refused,
                    "process_start_time_seconds": int(_PROCESS_START),
                }
                body = "".join(f"{name} {value}\n" for name, value in lines.items()).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass  # a scrape is not worth logging

        return Metrics


_PROCESS_START = time.time()


def _first_certificate(text: str) -> str:
    """The fingerprint of the certificate that is served."""
    end = "-----END CERTIFICATE-----"
    start = text.index("-----BEGIN CERTIFICATE-----")
    return fingerprint(ssl.PEM_cert_to_DER_cert(text[start : text.index(end, start) + len(end)]))


def _attributes(certificate: Any) -> dict[str, str]:
    """The subject of a certificate, as the ssl module decodes it."""
    return {key: value for part in (certificate or {}).get("subject", ()) for key, value in part}


if __name__ == "__main__":
    sys.exit(run_program(lambda: main(sys.argv[1:])))
