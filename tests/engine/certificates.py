"""What the tests of certificates from elsewhere create, request and inspect; keeps nothing."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509

from components.settings.names import CERTIFICATE_RESTARTER_NAME, SERVICE_PORT, service_host
from operations.address_book import AddressBook
from operations.handshake import Way, shake_hands
from sandbox.home import CHECKOUT
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import OwnStack
from tests.unit.certificates.pki import Pair

Object = dict[str, Any]


def trust_file(sandbox: RunningSandbox, name: str, *authorities: Pair) -> str:
    """A file with these authorities; returns its path as settings name it, relative to the project's directory."""
    path = sandbox.home.stack / "tests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(one.pem for one in authorities))
    return os.path.relpath(path, CHECKOUT)


def tls_secret(namespace: str, name: str, pair: Pair, *between: Pair) -> Object:
    """The pair, with the certificates of intermediate authorities after its own."""
    data = {"tls.crt": pair.pem + "".join(one.pem for one in between), "tls.key": pair.key_pem}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def apply(sandbox: RunningSandbox, document: Object) -> None:
    """Apply from standard input: a key must not appear in a command's arguments."""
    done = subprocess.run(
        [str(sandbox.home.bin / "kubectl"), "apply", "--filename", "-"],
        input=json.dumps(document),
        env=sandbox.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def operate(stack: RunningSandbox, command: str) -> dict[str, Object]:
    """`python -m operations <command>`: its findings by check, each of which occurs once."""
    done = stack.operations(command, "--json", check=False)
    assert done.stdout, done.stderr
    findings: list[Object] = json.loads(done.stdout)["findings"]
    return {finding["check"]: finding for finding in findings}


def outcomes(conditions: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Type of each condition -> its status."""
    return {one["type"]: one["status"] for one in conditions}


def served(stack: OwnStack) -> set[int]:
    """Serial numbers of the certificates that the access graph's pods present."""
    host = service_host("teleport-access-graph", stack.namespace)
    found = AddressBook(path=stack.home.names).find(host, SERVICE_PORT) or []
    serials = set()
    for address in found:
        way = Way(f"{address[0]}:{address[1]}", _dialer(address))
        certificate = shake_hands(way, server_name=host, trust=None).certificate
        assert certificate is not None, way.label
        serials.add(x509.load_der_x509_certificate(certificate).serial_number)
    return serials


def wait_for_a_look(stack: OwnStack, seconds: float) -> None:
    """Wait until a Job that the restarter's CronJob started on schedule has completed."""
    deadline = time.monotonic() + seconds
    while not [job for job in _looks(stack) if outcomes(job["status"].get("conditions", [])).get("Complete") == "True"]:
        assert time.monotonic() < deadline, f"no look has completed: {_looks(stack)}"
        time.sleep(1)


def look(stack: OwnStack, name: str) -> str:
    """Make the restarter look now, as an operator would; returns what it printed."""
    stack.kubectl(
        "create", "job", name, "--from", f"cronjob/{CERTIFICATE_RESTARTER_NAME}", "--namespace", stack.namespace
    )
    stack.kubectl("wait", f"job/{name}", "--for=condition=Complete", "--namespace", stack.namespace, "--timeout=120s")
    return stack.kubectl("logs", f"job/{name}", "--namespace", stack.namespace).stdout


def _looks(stack: OwnStack) -> list[Object]:
    jobs: list[Object] = stack.get("jobs", "--namespace", stack.namespace)["items"]
    return [
        job
        for job in jobs
        if any(owner["name"] == CERTIFICATE_RESTARTER_NAME for owner in job["metadata"].get("ownerReferences", []))
    ]


def _dialer(address: tuple[str, int]) -> Callable[[], socket.socket]:
    return lambda: socket.create_connection(address, 10)
