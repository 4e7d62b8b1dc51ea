"""What the sandbox opens to others on its machine: only loopback, and nothing of the cluster without a certificate."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import pytest

from sandbox.parts import KUBELET
from sandbox.processes import marked
from tests.engine.conftest import RunningSandbox

pytestmark = pytest.mark.engine

Socket = tuple[str, int]
# States in /proc/net: a listening TCP socket, and a UDP socket that is not connected to a peer.
_LISTENS = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}


def address(text: str) -> Socket:
    """Parses an address from /proc/net: hexadecimal words of four bytes in the machine's byte order, and the port."""
    host, _, port = text.partition(":")
    words = [bytes.fromhex(host[start : start + 8])[::-1] for start in range(0, len(host), 8)]
    found = ipaddress.ip_address(b"".join(words))
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found), int(port, 16)


def sockets(pids: Iterable[int]) -> set[Socket]:
    """The addresses on which the processes listen."""
    inodes = set()
    for pid in pids:
        try:
            handles = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue  # it ended meanwhile
        for handle in handles:
            try:
                target = os.readlink(handle)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    found = set()
    for table, state in _LISTENS.items():
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and fields[9] in inodes:
                found.add(address(fields[1]))
    return found


def stranger() -> ssl.SSLContext:
    """The TLS context of somebody on the machine who has no certificate, and verifies no server."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def answer(host: str, port: int, path: str) -> int:
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=stranger())
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_everything_listens_on_loopback_alone(deployed: RunningSandbox) -> None:
    found = sockets(process.pid for process in marked(f"{deployed.home.root}/"))
    # Two of etcd, API server, controllers, kubelet, AWS, a database, and the ports of auths, proxies and TAG.
    assert len(found) >= 9, found
    assert [(host, port) for host, port in found if not ipaddress.ip_address(host).is_loopback] == []


def test_a_socket_on_every_address_would_be_seen() -> None:
    assert address("00000000:1F90") == ("0.0.0.0", 8080)
    assert address("0100007F:1F90") == ("127.0.0.1", 8080)
    assert address("0000000000000000FFFF00000100007F:1F90") == ("127.0.0.1", 8080)
    assert address("00000000000000000000000000000000:1F90") == ("::", 8080)


def test_the_control_plane_answers_nobody_without_a_certificate(running_sandbox: RunningSandbox) -> None:
    ports = json.loads((running_sandbox.home.control_plane / "ports.json").read_text())
    assert answer("127.0.0.1", ports["apiserver"], "/api/v1/secrets") == 401
    assert answer("127.0.0.1", ports["controller_manager"], "/metrics") in (401, 403)
    kubelet = running_sandbox.sandbox.supervisor.running(KUBELET)
    assert kubelet is not None
    (logs,) = sockets([kubelet.pid])
    for host, port in (("127.0.0.1", ports["etcd"]), ("127.0.0.1", ports["etcd_peer"]), logs):
        # Go's servers give the reason, the kubelet's just hangs up. Both prove that a server is there and refuses.
        with pytest.raises((ssl.SSLError, http.client.RemoteDisconnected, ConnectionResetError)):
            answer(host, port, "/")
