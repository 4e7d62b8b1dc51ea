"""A small asynchronous client of the API server: requests over persistent connections, and watches as streams.

Owns HTTP and TLS; callers interpret the objects.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
_JSON = "application/json"
_REQUEST_SECONDS = 30.0
# A watch sends one event per line, and a Secret with a Helm release in it can be a megabyte.
_LINE_LIMIT = 16 * 1024 * 1024
# The server ends a watch after this long; the next watch resumes from there.
_WATCH_SECONDS = 290


class ApiError(Exception):
    """The server answered with an error. `status` is HTTP's, `reason` is Kubernetes'."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message or reason or f"status {status}")
        self.status = status
        self.reason = reason


class ApiClient:
    """One request at a time on each persistent connection; every watch has a connection of its own."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        self.host = host
        self.port = port
        self._context = context
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    @classmethod
    def from_kubeconfig(cls, path: Path) -> ApiClient:
        """Uses the file's current context; certificates are in the file, or in files that it names."""
        config = yaml.safe_load(path.read_text())
        contexts = {entry["name"]: entry["context"] for entry in config["contexts"]}
        chosen = contexts[config["current-context"]]
        cluster = next(entry["cluster"] for entry in config["clusters"] if entry["name"] == chosen["cluster"])
        user = next(entry["user"] for entry in config["users"] if entry["name"] == chosen["user"])
        server = urlsplit(cluster["server"])
        context = ssl.create_default_context(cadata=_text(cluster, "certificate-authority"))
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:  # mode 0600, deleted at once
            pair.write(_text(user, "client-certificate") + _text(user, "client-key"))
            pair.flush()
            context.load_cert_chain(pair.name)
        return cls(server.hostname or "127.0.0.1", server.port or 443, context)

    async def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        """The object in the server's answer. Raises ApiError, or OSError when there is no server."""
        target = f"{path}?{urlencode(query)}" if query else path
        payload = b"" if body is None else json.dumps(body).encode()
        return await asyncio.wait_for(self._exchange(method, target, payload, content_type), _REQUEST_SECONDS)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        return await self.request("GET", path, query=query)

    async def create(self, path: str, body: Object) -> Object:
        return await self.request("POST", path, body)

    async def merge(self, path: str, patch: Object) -> Object:
        return await self.request("PATCH", path, patch, content_type=MERGE_PATCH)

    async def write_status(self, path: str, patch: Object) -> Object:
        """Merges, as the real scheduler and kubelet do: conditions of the same type are replaced, all others stay."""
        return await self.request("PATCH", f"{path}/status", patch, content_type=STRATEGIC_MERGE_PATCH)

    async def delete(self, path: str, options: Object | None = None) -> Object:
        return await self.request("DELETE", path, options)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Object]:
        """Events from `resourceVersion` on, until the server ends the watch. Raises ApiError and OSError."""
        parameters = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_WATCH_SECONDS),
        }
        reader, writer = await self._connect()
        try:
            writer.write(self._head("GET", f"{path}?{urlencode(parameters)}", 0, _JSON))
            await writer.drain()
            status, headers = await _read_head(reader)
            if status != 200:
                raise _error(status, await _read_body(reader, headers))
            pending = b""
            async for chunk in _chunks(reader):
                pending += chunk
                *lines, pending = pending.split(b"\n")
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
        finally:
            writer.close()

    def close(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _exchange(self, method: str, target: str, payload: bytes, content_type: str) -> Object:
        kept = bool(self._idle)
        reader, writer = self._idle.pop() if kept else await self._connect()
        try:
            writer.write(self._head(method, target, len(payload), content_type) + payload)
            await writer.drain()
            status, headers = await _read_head(reader)
        except (OSError, EOFError) as error:
            writer.close()
            if not kept:
                raise ConnectionError(f"{self.host}:{self.port}: {error}") from None
            # The server closed the idle connection before it saw this request.
            self.close()
            return await self._exchange(method, target, payload, content_type)
        except BaseException:
            writer.close()
            raise
        try:
            body = await _read_body(reader, headers)
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        if status >= 400:
            raise _error(status, body)
        answer: Object = json.loads(body) if body else {}
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port, ssl=self._context, limit=_LINE_LIMIT)

    def _head(self, method: str, target: str, length: int, content_type: str) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}:{self.port}", f"Accept: {_JSON}"]
        lines.append("User-Agent: sandbox-kubelet")
        if length:
            lines += [f"Content-Type: {content_type}", f"Content-Length: {length}"]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def is_missing(error: ApiError) -> bool:
    return error.status == 404


def _error(status: int, body: bytes) -> ApiError:
    try:
        answer = json.loads(body)
        return ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
    except ValueError:
        return ApiError(status, "", body.decode(errors="replace")[:300])


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return int(first.split()[1]), headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join([chunk async for chunk in _chunks(reader)])
    return await reader.readexactly(int(headers.get("content-length", "0")))


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        chunk = await reader.readexactly(size + 2)
        if not size:
            return
        yield chunk[:-2]


def _text(section: Mapping[str, str], key: str) -> str:
    embedded = section.get(f"{key}-data")
    return base64.b64decode(embedded).decode() if embedded else Path(section[key]).read_text()
