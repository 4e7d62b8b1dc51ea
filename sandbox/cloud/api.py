"""AWS's API over HTTP: moto's application behind a gate, with saved state and a request log.

Each call first passes the gate, is then served and, if it wrote, saved before the caller gets an answer; each call is
one line of the request log. Calls are served one at a time: moto's backends are plain dictionaries, and the state is
saved as a whole.
"""

from __future__ import annotations

import datetime
import json
import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.cloud.calls import Call, Environment, read_call
from sandbox.cloud.web_identity import Gate, Refusal

log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]

# moto's own management calls (reset, dashboards) are not part of AWS's API, and a reset would lose databases.
MANAGEMENT_PATH = "/moto-api"


class RequestLog:
    """One JSON object per line: time, service, action, write, resource, status."""

    def __init__(self, path: Path):
        self._path = path

    def add(self, call: Call, status: int) -> None:
        line = {
            "time": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds"),
            "service": call.service,
            "action": call.action,
            "write": call.writes,
            "resource": call.resource,
            "status": status,
        }
        with open(self._path, "a") as stream:
            stream.write(json.dumps(line) + "\n")


class Application:
    """The WSGI application. A call that is refused or fails is not saved."""

    def __init__(self, gate: Gate, lock: threading.RLock, save: Callable[[], None], requests: RequestLog):
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._gate = gate
        self._lock = lock
        self._save = save
        self._requests = requests

    def __call__(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        if environment.get("PATH_INFO", "").startswith(MANAGEMENT_PATH):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"not part of AWS's API\n"]
        call = read_call(environment)
        answer: dict[str, Any] = {}

        def remember(status: str, headers: list[tuple[str, str]], *rest: Any) -> None:
            answer.update(status=status, headers=headers)

        with self._lock:
            try:
                self._gate.check(call)
                body = b"".join(self._moto(environment, remember))
                if call.writes and _code(answer["status"]) < 400:
                    self._save()
            except Refusal as refusal:
                answer, body = _refused(call, refusal)
            except NotImplementedError as error:
                # Not 500, which clients would retry.
                answer, body = _refused(call, Refusal(501, "NotImplemented", str(error)))
            except Exception as error:
                log.exception("%s.%s", call.service, call.action)
                answer, body = _refused(call, Refusal(500, "InternalFailure", f"{type(error).__name__}: {error}"))
        self._requests.add(call, _code(answer["status"]))
        start_response(answer["status"], answer["headers"])
        return [body]


def _code(status: str) -> int:
    return int(status.split(" ", 1)[0])


def _refused(call: Call, refusal: Refusal) -> tuple[dict[str, Any], bytes]:
    status = f"{refusal.status} Refused"
    if call.speaks_json:
        body = json.dumps({"__type": refusal.code, "message": refusal.message}).encode()
        return {"status": status, "headers": [("Content-Type", "application/x-amz-json-1.1")]}, body
    body = (
        f"<ErrorResponse><Error><Type>Sender</Type><Code>{refusal.code}</Code>"
        f"<Message>{_xml(refusal.message)}</Message></Error><RequestId>refused</RequestId></ErrorResponse>"
    ).encode()
    return {"status": status, "headers": [("Content-Type", "text/xml")]}, body


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _QuietHandler(WSGIRequestHandler):
    """Silences the access log: the request log says more."""

    # Without HTTP/1.1, every call of a client would need a new connection.
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        if type == "error":
            log.warning(message, *args)


def listen(address: str, preferred_port: int, application: Application) -> BaseWSGIServer:
    """A server on `address`. If the preferred port is busy, another one is taken; 0 takes any."""
    try:
        return make_server(address, preferred_port, application, threaded=True, request_handler=_QuietHandler)
    except (OSError, SystemExit) as error:
        # werkzeug raises SystemExit if the address is in use.
        if preferred_port == 0:
            raise
        log.warning(
            "port %d of %s, where the API was before, is taken (%s); another one is used, and a stack that names the "
            "old URL must be given the new one",
            preferred_port,
            address,
            error,
        )
        return make_server(address, 0, application, threaded=True, request_handler=_QuietHandler)
