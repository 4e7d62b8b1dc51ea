"""Stand-in for Teleport's auth service.

Owns the host CA in its data directory, who may join, what proxies are told, and the connection to Access Graph. Reads
the access graph's CA file once, at the start; an unreachable access graph never makes auth fail. Follows a rotation of
the host CA without restarting the process, as the real service reloads itself.
"""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from sandbox.workloads.certificates import certificates_in, server_context, trusting
from sandbox.workloads.diagnostics import Request, Response, http_handler, serve_diagnostics
from sandbox.workloads.endpoint import AccessGraphSettings, Connection, DialFailed, client_context, dial, parse_settings
from sandbox.workloads.journal import Journal, StartRefused
from sandbox.workloads.kubernetes_tokens import TokenRefused, service_account_of
from sandbox.workloads.listener import Listener, serve_http
from sandbox.workloads.surroundings import bind_address, image_repository, image_version, inside, seconds

_AUTH_PORT = 3025
# Teleport's own pause between two attempts.
_RETRY_SECONDS = 5.0
_ROTATION_SECONDS = 0.5
# A licence with this line lacks the entitlement.
_NOT_ENTITLED = "access-graph: none"


def run_auth(config: dict[str, Any], diagnostic_address: str, startup_resources: str) -> int:
    auth = Auth(config, startup_resources)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_diagnostics(diagnostic_address, auth.missing)
    auth.start(stop)
    stop.wait()
    auth.journal.info("Received exit signal, shutting down")
    return 0


class Auth:
    """Reads everything in `__init__`; `start` opens the port and begins to dial."""

    def __init__(self, config: dict[str, Any], startup_resources: str) -> None:
        teleport = config.get("teleport") or {}
        service = config.get("auth_service") or {}
        self.journal = Journal("AUTH", str((teleport.get("log") or {}).get("severity", "INFO")))
        self._cluster = str(service.get("cluster_name") or "teleport")
        self._entitled = self._read_licence(service.get("license_file"))
        self._settings = parse_settings(config.get("access_graph"))
        self._authority = self._read_authority()
        self._allowed = _allowed_service_accounts(startup_resources)
        self._data = inside(str(teleport.get("data_dir") or "/var/lib/teleport"))
        self._data.mkdir(parents=True, exist_ok=True)
        self._identity = self._data / "host-identity.pem"
        self._ensure_identity()
        self._serving = False

    def missing(self) -> str:
        """What keeps auth from serving; the access graph never does."""
        return "" if self._serving else "auth service is starting"

    def start(self, stop: threading.Event) -> None:
        try:
            listener = Listener((bind_address(), _AUTH_PORT), self._context())
        except OSError as error:
            raise StartRefused(f"listen on {bind_address()}:{_AUTH_PORT}: {error}") from None
        listener.start(serve_http(http_handler(self._answer)))
        self._serving = True
        self.journal.info("Auth service is ready", cluster=self._cluster, version=image_version("0.0.0"))
        threading.Thread(target=self._follow_rotations, args=(stop, listener), daemon=True).start()
        if self._settings.enabled and self._entitled:
            threading.Thread(target=self._stay_connected, args=(stop,), daemon=True).start()

    def _ensure_identity(self) -> None:
        run_host_authority("ensure", "--data", str(self._data), "--cluster", self._cluster, "--name", bind_address())

    def _context(self) -> ssl.SSLContext:
        """A context with the current certificate. During a host CA rotation, hosts of both CAs connect."""
        context = server_context(self._identity, self._identity, "host identity")
        texts = [*self._authorities("active"), *self._authorities("additional")]
        trusting(context, [der for text in texts for der in certificates_in(text)], "host CA")
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _follow_rotations(self, stop: threading.Event, listener: Listener) -> None:
        """Whenever the CAs change, take a certificate of the active CA and trust the hosts of both."""
        known = self._authority_files()
        while not stop.wait(_ROTATION_SECONDS):
            try:
                found = self._authority_files()
                if found == known:
                    continue
                self._ensure_identity()
                listener.renew(self._context())
            except (StartRefused, OSError) as error:
                self.journal.warning("Failed to follow the rotation of the host CA, retrying", error=error)
                continue
            known = found
            self.journal.info("The host CA has changed; using a certificate of the active one")

    def _authority_files(self) -> list[tuple[str, int]]:
        return [(str(path), path.stat().st_mtime_ns) for path in sorted((self._data / "authorities").glob("*/*.pem"))]

    def _read_licence(self, path: str | None) -> bool:
        """Whether the access graph may be used. An enterprise auth does not start without its licence."""
        if path is None:
            return "-ent" in image_repository()
        try:
            text = inside(path).read_text()
        except OSError as error:
            raise StartRefused(f"license file not found: open {path}: {error.strerror}") from None
        if not text.strip():
            raise StartRefused(f"license file {path} is empty")
        return _NOT_ENTITLED not in text.splitlines()

    def _read_authority(self) -> str | None:
        if not self._settings.enabled:
            return None
        if not self._entitled:
            self.journal.info("Access Graph is not started: the license does not include it")
            return None
        path = self._settings.ca
        if path is None:
            return None
        try:
            text = inside(path).read_text()
        except OSError as error:
            raise StartRefused(f"access_graph.ca: failed to read {path}: {error.strerror}") from None
        try:
            found = certificates_in(text)
        except ValueError as error:
            raise StartRefused(f"access_graph.ca: {path}: {error}") from None
        if not found:
            raise StartRefused(f"access_graph.ca: no certificate in {path}")
        return text

    def _authorities(self, kind: str) -> list[str]:
        """PEM of the host CA's certificates of that kind; reread each time, so that a manual rotation is noticed."""
        files = sorted((self._data / "authorities" / kind).glob("*.pem"))
        return [_certificates_only(file) for file in files]

    def _stay_connected(self, stop: threading.Event) -> None:
        """Connect, notice when the connection ends, and retry every few seconds, forever."""
        journal = Journal("ACCESSGRAPH")
        pause = seconds("SANDBOX_ACCESS_GRAPH_RETRY_SECONDS", _RETRY_SECONDS)
        presented, context = b"", ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        connection: Connection | None = None
        while True:
            current = self._identity.read_bytes()
            if current != presented:
                presented, context = current, client_context(self._settings, self._authority, self._identity)
                if connection:
                    connection.close()
                    connection = None
            try:
                if connection is None:
                    connection = dial(self._settings, context)
                    journal.info(
                        "Connected to Access Graph service",
                        endpoint=self._settings.endpoint,
                        peer=connection.address,
                        certificate=connection.certificate_fingerprint,
                    )
                else:
                    connection.ping()
            except (DialFailed, OSError) as error:
                if connection:
                    connection.close()
                    connection = None
                    journal.warning("Access Graph service connection lost", error=error)
                    continue  # another replica may answer at once
                unknown = isinstance(error, DialFailed) and error.authority_unknown
                reason = f"could not find host CA: {error}" if unknown else str(error)
                journal.warning(
                    "Failed to connect to Access Graph service, retrying",
                    endpoint=self._settings.endpoint,
                    error=reason,
                )
            if stop.wait(pause):
                return

    def _answer(self, request: Request) -> Response:
        if (request.method, request.path) == ("POST", "/join"):
            return self._join(json.loads(request.body))
        if not request.client:
            return Response.of({"error": "a host certificate of this cluster is required"}, 403)
        if request.path == "/authorities":
            return Response.of({kind: self._authorities(kind) for kind in ("active", "additional")})
        if request.path == "/access-graph":
            return Response.of(_described(self._settings, self._authority, self._entitled))
        return Response.of({"error": "not found"}, 404)

    def _join(self, asked: dict[str, Any]) -> Response:
        """A host certificate for a pod whose service account may join."""
        try:
            account = service_account_of(str(asked.get("token", "")))
            if account not in self._allowed:
                raise TokenRefused(f"service account {account} is not allowed to join")
        except TokenRefused as error:
            self.journal.warning("Denied a join", error=error)
            return Response.of({"error": str(error)}, 403)
        names = [argument for name in asked.get("names", []) for argument in ("--name", str(name))]
        identity = run_host_authority(
            "issue", "--data", str(self._data), "--cluster", self._cluster, "--role", "Proxy", *names
        )
        self.journal.info("Host joined the cluster", role="Proxy", service_account=account)
        authorities = {kind: self._authorities(kind) for kind in ("active", "additional")}
        return Response.of({"identity": identity, "cluster": self._cluster, **authorities})


def run_host_authority(*arguments: str) -> str:
    """The output of the process that makes certificates. Raises StartRefused with its reason."""
    finished = subprocess.run(
        [sys.executable, "-m", "sandbox.workloads.host_authority", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if finished.returncode:
        raise StartRefused(finished.stderr.strip().removeprefix("ERROR: ") or "the host CA cannot be made")
    return finished.stdout


def _described(settings: AccessGraphSettings, authority: str | None, entitled: bool) -> dict[str, Any]:
    enabled = settings.enabled and entitled
    return {"enabled": enabled, "endpoint": settings.endpoint, "ca": authority, "insecure": settings.insecure}


def _certificates_only(file: Path) -> str:
    """The contents of the file without its key."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in certificates_in(file.read_text()))


def _allowed_service_accounts(path: str) -> set[str]:
    """`namespace:name` of every account that a token resource in the start-up file allows to join."""
    if not path:
        return set()
    try:
        documents = list(yaml.safe_load_all(inside(path).read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise StartRefused(f"failed to apply on startup: {path}: {error}") from None
    allowed = set()
    for document in documents:
        if document and document.get("kind") == "token":
            rules = ((document.get("spec") or {}).get("kubernetes") or {}).get("allow") or []
            allowed |= {rule["service_account"] for rule in rules}
    return allowed
