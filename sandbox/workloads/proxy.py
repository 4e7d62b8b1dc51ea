"""Stand-in for Teleport's proxy service.

Joins the cluster, serves /webapi/ping and the export of the host CA, and asks auth once, at its start, for the access
graph's settings. If the access graph does not answer then, the proxy waits long before it asks again: a trap of the
real one.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import tempfile
import threading
from pathlib import Path
from typing import Any

from operations.address_book import AddressBook
from sandbox.workloads.auth import run_host_authority
from sandbox.workloads.certificates import certificates_in, server_context, trusting
from sandbox.workloads.diagnostics import Request, Response, http_handler, serve_diagnostics
from sandbox.workloads.endpoint import AccessGraphSettings, DialFailed, client_context, dial
from sandbox.workloads.journal import Journal, StartRefused
from sandbox.workloads.kubernetes_tokens import TokenRefused, own_token
from sandbox.workloads.listener import Listener, serve_http
from sandbox.workloads.surroundings import bind_address, image_version, inside, seconds

_WEB_PORT = 3080
_AUTH_PORT = 3025
_JOIN_RETRY_SECONDS = 1.0
_ROTATION_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 600.0
# The name by which every Teleport host of a cluster knows auth.
_AUTH_NAME = "teleport.cluster.local"


def run_proxy(config: dict[str, Any], diagnostic_address: str) -> int:
    proxy = Proxy(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    serve_diagnostics(diagnostic_address, proxy.missing)
    proxy.start(stop)
    stop.wait()
    proxy.journal.info("Received exit signal, shutting down")
    return 0


class AuthUnreachable(Exception):
    """Auth did not answer; the text says why."""


class Proxy:
    """Serves once it has joined."""

    def __init__(self, config: dict[str, Any]) -> None:
        teleport = config.get("teleport") or {}
        self._service = config.get("proxy_service") or {}
        self.journal = Journal("PROXY", str((teleport.get("log") or {}).get("severity", "INFO")))
        self._auth = _host_port(str(teleport.get("auth_server") or (teleport.get("auth_servers") or [""])[0]))
        self._data = inside(str(teleport.get("data_dir") or "/var/lib/teleport"))
        self._data.mkdir(parents=True, exist_ok=True)
        self._identity = self._data / "host-identity.pem"
        self._cluster = ""
        self._trusted: list[bytes] = []
        self._exported: list[str] = []
        self._serving = False

    def missing(self) -> str:
        return "" if self._serving else "proxy service is starting"

    def start(self, stop: threading.Event) -> None:
        threading.Thread(target=self._run, args=(stop,), daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        try:
            if self._join(stop):
                self._serve()
                threading.Thread(target=self._follow_rotations, args=(stop,), daemon=True).start()
                self._use_access_graph(stop)
        except StartRefused as refusal:
            self.journal.error("Proxy service cannot start", error=refusal)
            # The main thread waits for a signal; without the service there is no reason to wait.
            os._exit(1)

    def _join(self, stop: threading.Event) -> bool:
        """Get a host certificate from auth, retrying as often as it takes. False if told to stop meanwhile."""
        refused = ""
        while not stop.is_set():
            try:
                answer = self._ask_auth("POST", "/join", {"token": own_token(), "names": self._public_names()})
                _write_private(self._identity, answer["identity"])
                self._cluster = answer["cluster"]
                self._learn(answer)
                self.journal.info("Joined the cluster", cluster=self._cluster)
                return True
            except (AuthUnreachable, TokenRefused) as error:
                if str(error) != refused:
                    refused = str(error)
                    self.journal.warning("Failed to join the cluster, retrying", error=error)
            stop.wait(_JOIN_RETRY_SECONDS)
        return False

    def _learn(self, authorities: dict[str, Any]) -> None:
        """Trust both sides of a rotation; export the active one."""
        self._exported = authorities["active"]
        texts = [*authorities["active"], *authorities["additional"]]
        self._trusted = [der for text in texts for der in certificates_in(text)]

    def _follow_rotations(self, stop: threading.Event) -> None:
        """Learn of the next host CA before it is used, and join again for its certificate once it is."""
        while not stop.wait(_ROTATION_SECONDS):
            exported = self._exported
            try:
                self._learn(self._ask_auth("GET", "/authorities"))
            except AuthUnreachable:
                continue  # auth is restarting; keep what is known
            if self._exported != exported:
                self._join(stop)

    def _ask_auth(self, method: str, path: str, body: Any = None) -> Any:
        """Before joining, a host trusts whoever answers (there is no CA pin); afterwards only its cluster."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._trusted:
            trusting(context, self._trusted, "host CA")
            context.load_cert_chain(self._identity)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            addresses = AddressBook.from_environment().resolve(*self._auth)
        except OSError as error:
            raise AuthUnreachable(f"lookup {self._auth[0]}: {error}") from None
        if not addresses:
            raise AuthUnreachable(f"lookup {self._auth[0]}: no such host")
        connection = _NamedConnection(addresses[0], context)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise AuthUnreachable(f"auth at {addresses[0][0]}:{addresses[0][1]}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise AuthUnreachable(f"auth refuses: {answer.get('error')}")
        return answer

    def _serve(self) -> None:
        pairs = self._service.get("https_keypairs") or []
        if pairs:
            context = server_context(inside(pairs[0]["cert_file"]), inside(pairs[0]["key_file"]), "https_keypairs")
        else:
            names = [argument for name in self._public_names() for argument in ("--name", name)]
            web = self._data / "web.pem"
            _write_private(web, run_host_authority("web", *names))
            context = server_context(web, web, "web certificate")
        try:
            listener = Listener((bind_address(), _WEB_PORT), context)
        except OSError as error:
            raise StartRefused(f"listen on {bind_address()}:{_WEB_PORT}: {error}") from None
        listener.start(serve_http(http_handler(self._answer)))
        self._serving = True
        self.journal.info("Proxy service is ready", cluster=self._cluster, version=image_version("0.0.0"))

    def _public_names(self) -> list[str]:
        given = self._service.get("public_addr") or []
        addresses = [given] if isinstance(given, str) else list(given)
        hosts = [str(address).rpartition(":")[0] or str(address) for address in addresses]
        return [*hosts, "localhost", bind_address()]

    def _use_access_graph(self, stop: threading.Event) -> None:
        """Ask auth for the settings and the access graph for an answer; retry only if one of them fails."""
        journal = Journal("ACCESSGRAPH")
        pause = seconds("SANDBOX_PROXY_BACKOFF_SECONDS", _FIRST_PAUSE_SECONDS)
        while not stop.is_set():
            endpoint = ""
            try:
                told = self._ask_auth("GET", "/access-graph")
                endpoint = told["endpoint"]
                if not told["enabled"]:
                    journal.info("Access Graph is not enabled")
                    return
                settings = AccessGraphSettings(True, endpoint, None, told["insecure"])
                connection = dial(settings, client_context(settings, told["ca"], self._identity))
                journal.info(
                    "Access Graph answered",
                    endpoint=endpoint,
                    peer=connection.address,
                    certificate=connection.certificate_fingerprint,
                )
                connection.close()
                return
            except (AuthUnreachable, DialFailed, StartRefused) as error:
                journal.warning(
                    "Access Graph did not answer; the web UI shows: Unexpected end of JSON input",
                    endpoint=endpoint,
                    error=error,
                    retry_after=f"{pause:.0f}s",
                )
            stop.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _answer(self, request: Request) -> Response:
        if request.path == "/webapi/ping":
            return Response.of(
                {
                    "auth": {"type": "local"},
                    "server_version": image_version("0.0.0"),
                    "cluster_name": self._cluster,
                    "edition": "ent",
                }
            )
        if request.path == "/webapi/auth/export":
            return self._export(request.query)
        return Response.of({"error": {"message": "not found"}}, 404)

    def _export(self, query: dict[str, str]) -> Response:
        """The active keys of the host CA: PEM if there is one; several need `format=json`."""
        if query.get("type") not in ("tls-host", "host"):
            return Response.of({"error": {"message": f"unknown authority type {query.get('type')!r}"}}, 400)
        try:
            self._learn(self._ask_auth("GET", "/authorities"))
        except AuthUnreachable as error:
            self.journal.warning("Auth does not answer; exporting what is cached", error=error)
        if query.get("format") == "json":
            return Response.of([{"data": base64.b64encode(text.encode()).decode()} for text in self._exported])
        if len(self._exported) != 1:
            message = f"found {len(self._exported)} active keys: use format=json"
            return Response.of({"error": {"message": message}}, 400)
        return Response(200, self._exported[0].encode(), "application/x-pem-file")


class _NamedConnection(http.client.HTTPSConnection):
    """HTTPS to an address, for a name that is not its DNS name."""

    def __init__(self, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(address[0], address[1], context=context, timeout=10)
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=_AUTH_NAME)


def _host_port(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not address:
        raise StartRefused("teleport.auth_server is not set: a proxy needs an auth to join")
    return (host, int(port)) if colon else (address, _AUTH_PORT)


def _write_private(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(temporary, path)
