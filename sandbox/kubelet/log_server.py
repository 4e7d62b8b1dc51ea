"""Serves container logs to the API server (`kubectl logs`) over TLS, to clients of the cluster's authority only."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from sandbox.kubelet.log import say
from sandbox.kubelet.node_context import HOST_IP

# (namespace, pod, container, previous) -> the file, and whether the container may still write to it. Raises
# LookupError.
FindLog = Callable[[str, str, str, bool], tuple[Path, Callable[[], bool]]]

_FOLLOW_SECONDS = 0.5
_COMMON_NAME = "kube-apiserver"


class LogServer:
    """GET /containerLogs/<namespace>/<pod>/<container>, with follow, previous, tailLines, timestamps, since, limit."""

    def __init__(self, find: FindLog, certificate: Path, key: Path, authority: Path) -> None:
        self._find = find
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.load_cert_chain(certificate, key)
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Starts listening; returns the port."""
        self._server = await asyncio.start_server(self._serve, HOST_IP, 0, ssl=self._context)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            if not _is_apiserver(writer.get_extra_info("peercert")):
                await _answer(writer, "403 Forbidden", "only the API server may ask")
            elif method != "GET":
                await _answer(writer, "405 Method Not Allowed", "this node serves logs alone")
            else:
                await self._get(writer, target)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # the client went away, or does not speak HTTP
        except Exception as error:
            say(f"logs: {type(error).__name__}: {error}")
        finally:
            writer.close()

    async def _get(self, writer: asyncio.StreamWriter, target: str) -> None:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        if url.path == "/healthz":
            await _answer(writer, "200 OK", "ok")
            return
        if len(parts) != 4 or parts[0] != "containerLogs":
            await _answer(writer, "501 Not Implemented", f"{url.path}: this node serves logs alone")
            return
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        try:
            file, writing = self._find(parts[1], parts[2], parts[3], _is_true(query, "previous"))
        except LookupError as error:
            await _answer(writer, "404 Not Found", str(error))
            return
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        await _send(writer, file, query, writing)
        writer.write(b"0\r\n\r\n")
        await writer.drain()


async def _send(writer: asyncio.StreamWriter, file: Path, query: dict[str, str], writing: Callable[[], bool]) -> None:
    stamped = _is_true(query, "timestamps")
    since = _since(query)
    left = int(query["limitBytes"]) if "limitBytes" in query else None
    with file.open("rb") as source:
        lines = [line for line in source if _time_of(line) >= since]
        if "tailLines" in query:
            lines = list(deque(lines, maxlen=int(query["tailLines"])))
        while True:
            text = b"".join(_shown(line, stamped) for line in lines)
            if left is not None:
                text, left = text[:left], left - len(text[:left])
            if text:
                writer.write(f"{len(text):x}\r\n".encode() + text + b"\r\n")
                await writer.drain()
            if not _is_true(query, "follow") or left == 0:
                return
            ended = not writing()
            lines = source.readlines()
            if not lines:
                if ended or writer.is_closing():
                    return
                await asyncio.sleep(_FOLLOW_SECONDS)


def _shown(line: bytes, stamped: bool) -> bytes:
    """A line of the log without the runtime's prefix (time, stream and F); `stamped` keeps the time."""
    time, _, rest = line.partition(b" ")
    text = rest.split(b" ", 2)[-1]
    return time + b" " + text if stamped else text


def _time_of(line: bytes) -> str:
    return line.partition(b" ")[0].decode("latin-1")


def _since(query: dict[str, str]) -> str:
    """The earliest time to show. Times compare as text: all are UTC, with the same number of digits."""
    if "sinceSeconds" in query:
        moment = datetime.now(timezone.utc) - timedelta(seconds=int(query["sinceSeconds"]))
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    with contextlib.suppress(ValueError, KeyError):
        moment = datetime.fromisoformat(query["sinceTime"].replace("Z", "+00:00"))
        return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return ""


def _is_true(query: dict[str, str], key: str) -> bool:
    return query.get(key, "false").lower() in ("true", "1")


def _is_apiserver(certificate: object) -> bool:
    if not isinstance(certificate, dict):
        return False
    subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
    return subject.get("commonName") == _COMMON_NAME


async def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    body = (text + "\n").encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
