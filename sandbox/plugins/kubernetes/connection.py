"""The API server's REST interface over the standard library: one persistent connection per thread, JSON in and out.

Owns transport, errors and dry runs; callers decide what is sent. Importing the `kubernetes` package would add half a
second to every preview.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from sandbox.plugins.kubernetes.kubeconfig import Cluster
from sandbox.plugins.kubernetes.schema import Kind

# An API server answers in milliseconds; if it has not accepted a connection by then, it is not there.
CONNECT_SECONDS: Final = 10
# Longer than the API server's own request limit (60 s), so that its answer arrives before our timeout.
ANSWER_SECONDS: Final = 70
APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"


class Unreachable(Exception):
    """No answer from the API server."""


class ApiError(Exception):
    """A refusal in the API server's own words; `status` is its Status object."""

    def __init__(self, code: int, status: Mapping[str, Any]) -> None:
        super().__init__(str(status.get("message") or status.get("reason") or f"HTTP status {code}"))
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.details: Mapping[str, Any] = status.get("details") or {}

    @property
    def not_found(self) -> bool:
        return self.code == 404

    @property
    def already_exists(self) -> bool:
        return self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        return self.code == 409 and not self.already_exists

    @property
    def forbidden(self) -> bool:
        return self.code == 403

    @property
    def namespace_missing(self) -> bool:
        return self.not_found and self.details.get("kind") == "namespaces"


class ApiServer:
    """Requests to one cluster; safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._address = urlsplit(cluster.server)
        self._context = _tls_context(cluster) if self._address.scheme == "https" else None
        self._local = threading.local()

    def version(self) -> str:
        """Such as `v1.36.3`."""
        return str(self.request("GET", "/version")["gitVersion"])

    def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        return self.request("GET", path(kind, namespace, name))

    def list_objects(self, kind: Kind, namespace: str, **selectors: str) -> list[dict[str, Any]]:
        """`selectors`: `labelSelector`, `fieldSelector`."""
        return list(self.request("GET", path(kind, namespace), query=selectors).get("items") or [])

    def create(
        self, kind: Kind, namespace: str, body: Mapping[str, Any], field_manager: str, dry_run: bool
    ) -> dict[str, Any]:
        query = {"fieldManager": field_manager, "fieldValidation": "Warn"}
        return self.request("POST", path(kind, namespace), _dry(query, dry_run), body)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        field_manager: str,
        force: bool,
        dry_run: bool,
    ) -> dict[str, Any]:
        """Server-side apply."""
        query = {"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Warn"}
        return self.request("PATCH", path(kind, namespace, name), _dry(query, dry_run), body, APPLY)

    def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, content_type: str, field_manager: str, dry_run: bool
    ) -> dict[str, Any]:
        query = _dry({"fieldManager": field_manager}, dry_run)
        return self.request("PATCH", path(kind, namespace, name), query, body, content_type)

    def delete(self, kind: Kind, namespace: str, name: str, propagation: str) -> None:
        """`propagation`: Foreground, Background or Orphan."""
        self.request("DELETE", path(kind, namespace, name), {}, {"propagationPolicy": propagation})

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        target = self._address.path + path + (f"?{urlencode(query)}" if query else "")
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "User-Agent": "pulumi-kubernetes", **self._authorization()}
        if payload is not None:
            headers["Content-Type"] = content_type
        code, answer = self._exchange(method, target, payload, headers)
        try:
            parsed = json.loads(answer) if answer else {}
        except ValueError:
            parsed = {"message": answer.decode(errors="replace")[:500]}
        if code >= 400:
            raise ApiError(code, parsed)
        return dict(parsed)

    def _exchange(
        self, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        kept: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        # The server closes idle connections: if a kept one fails before any answer, that says nothing about the server.
        for connection in ([kept] if kept is not None else []) + [None]:
            fresh = connection is None
            connection = connection or self._connect()
            try:
                connection.request(method, target, payload, dict(headers))
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                if fresh or isinstance(error, TimeoutError):
                    raise Unreachable(f"{method} {self._cluster.server}: {error or type(error).__name__}") from None
                continue
            self._local.connection = connection
            return answer.status, content
        raise AssertionError("a fresh connection either answers or raises")

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        connection: http.client.HTTPConnection
        if self._context is None:
            connection = http.client.HTTPConnection(host, port or 80, timeout=CONNECT_SECONDS)
        else:
            connection = _NamedConnection(host, port or 443, self._context, self._cluster.server_name)
        try:
            connection.connect()
        except OSError as error:
            raise Unreachable(f"{self._cluster.server}: {error}") from None
        connection.sock.settimeout(ANSWER_SECONDS)
        return connection

    def _authorization(self) -> dict[str, str]:
        credentials = self._cluster.credentials
        if credentials.token:
            return {"Authorization": f"Bearer {credentials.token}"}
        if credentials.basic:
            return {"Authorization": f"Basic {credentials.basic}"}
        return {}


class _NamedConnection(http.client.HTTPSConnection):
    """HTTPS that may check the certificate against a name other than the address (`tls-server-name`)."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext, server_name: str | None) -> None:
        super().__init__(host, port, timeout=CONNECT_SECONDS, context=context)
        self._tls_context, self._server_name = context, server_name or host

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls_context.wrap_socket(self.sock, server_hostname=self._server_name)


def path(kind: Kind, namespace: str, name: str | None = None) -> str:
    """The REST path of a collection, or of one object in it; an empty namespace means all namespaces."""
    root = f"/apis/{kind.api_version}" if "/" in kind.api_version else f"/api/{kind.api_version}"
    scope = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"{root}{scope}/{kind.plural}" + (f"/{quote(name, safe='')}" if name is not None else "")


def _dry(query: dict[str, str], dry_run: bool) -> dict[str, str]:
    return {**query, "dryRun": "All"} if dry_run else query


def _tls_context(cluster: Cluster) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=cluster.authority.decode() if cluster.authority else None)
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    credentials = cluster.credentials
    if credentials.certificate and credentials.key:
        # OpenSSL reads the key only from a path: an in-memory file has one, so the key never reaches a disk.
        handle = os.memfd_create("client-certificate")
        try:
            os.write(handle, credentials.certificate + b"\n" + credentials.key)
            context.load_cert_chain(f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)
    return context
