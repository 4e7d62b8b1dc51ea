"""S3 and KMS as guarded by IAM: forwards to the sandbox's cloud only the requests that policies allow.

Owns which right each request needs. If an object does not exist, S3 says so only to those who may also list the bucket,
and "access denied" to everybody else: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

from sandbox.cloud.policies import Question, is_allowed

_OBJECT = {"GET": "s3:GetObject", "HEAD": "s3:GetObject", "PUT": "s3:PutObject", "DELETE": "s3:DeleteObject"}
# Required from the S3 caller as well, on the key that encrypts the bucket.
_ENCRYPTION = {"s3:GetObject": "kms:Decrypt", "s3:PutObject": "kms:GenerateDataKey"}
# Headers of a connection, not of a request.
_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})
_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)
_DENIED_KMS = b'{"__type": "AccessDeniedException", "message": "User is not authorized to perform this action"}'


@dataclass
class StateGate:
    """`url` answers like `cloud`, as far as `documents` allow; without documents, as for the administrator."""

    cloud: str
    key_arn: str
    """Encrypts every bucket, and is the one key that is asked for."""
    region: str
    url: str = ""
    documents: list[Mapping[str, Any]] | None = None
    refused: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @contextmanager
    def acting(self, documents: Iterable[Mapping[str, Any]]) -> Iterator[None]:
        """Within the block, callers have these rights and no others."""
        self.documents, self.refused, self.asked = list(documents), [], []
        try:
            yield
        finally:
            self.documents = None

    def may(self, action: str, resource: str, **context: str) -> bool:
        if self.documents is None:
            return True
        self.asked.append(f"{action} {resource}")
        return is_allowed(self.documents, Question(action, resource, context=context))

    def rights(self, method: str, path: str, headers: Mapping[str, str]) -> list[tuple[str, str, dict[str, str]]]:
        """(action, resource, context) of each right that the request needs."""
        target = headers.get("X-Amz-Target", "")
        if target:
            return [(f"kms:{target.rpartition('.')[2]}", self.key_arn, {})]
        parsed = urllib.parse.urlsplit(path)
        bucket, _, key = urllib.parse.unquote(parsed.path).strip("/").partition("/")
        arn = f"arn:aws:s3:::{bucket}"
        if not key:
            query = dict(urllib.parse.parse_qsl(parsed.query, keep_blank_values=True))
            context = {"s3:prefix": query["prefix"]} if "prefix" in query else {}
            return [("s3:ListBucket" if method in ("GET", "HEAD") else f"s3:{method} of a bucket", arn, context)]
        wanted: list[tuple[str, str, dict[str, str]]] = [(_OBJECT.get(method, f"s3:{method}"), f"{arn}/{key}", {})]
        if source := headers.get("X-Amz-Copy-Source"):
            wanted.append(("s3:GetObject", f"arn:aws:s3:::{urllib.parse.unquote(source).lstrip('/')}", {}))
        through = {"kms:ViaService": f"s3.{self.region}.amazonaws.com"}
        return wanted + [
            (_ENCRYPTION[action], self.key_arn, through) for action, _, _ in wanted if action in _ENCRYPTION
        ]


@contextmanager
def state_gate(cloud: str, key_arn: str, region: str) -> Iterator[StateGate]:
    """A gate on a free port of loopback."""
    gate = StateGate(cloud, key_arn, region)
    pool = urllib3.PoolManager()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            wanted = gate.rights(self.command, self.path, headers)
            missing = [
                f"{action} {resource} {context or ''}".strip()
                for action, resource, context in wanted
                if not gate.may(action, resource, **context)
            ]
            if missing:
                self.deny(missing)
                return
            answer = pool.request(
                self.command, cloud + self.path, body=body, headers=headers, decode_content=False, retries=False
            )
            (_, resource, _), *_ = wanted
            bucket = resource.partition("/")[0]
            if answer.status == 404 and wanted[0][0] == "s3:GetObject" and not gate.may("s3:ListBucket", bucket):
                self.deny([f"s3:ListBucket {bucket}, for an object that is not there: {resource}"])
                return
            self.answer(answer.status, answer.headers, answer.data)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve  # the base class calls them by these names

        def deny(self, missing: list[str]) -> None:
            gate.refused.extend(missing)
            of_kms = "X-Amz-Target" in self.headers
            kind = "application/x-amz-json-1.1" if of_kms else "application/xml"
            self.answer(400 if of_kms else 403, {"Content-Type": kind}, _DENIED_KMS if of_kms else _DENIED)

        def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", headers.get("Content-Length", "0") if not body else str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Silent: the gate's own lists record the requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="state gate", daemon=True)
    thread.start()
    gate.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield gate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
