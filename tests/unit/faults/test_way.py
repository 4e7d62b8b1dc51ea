"""A way forwards data, can be cut and slowed down, and is gone when it is closed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.faults.etcd import _member, _read, _request, _varint
from tests.faults.way import Way, way_to

pytestmark = pytest.mark.unit


@pytest.fixture
def echo() -> Iterator[int]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                while data := client.recv(1024):
                    client.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def asked(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"hello")
        return client.recv(1024)


def answer_or_end(port: int) -> bytes:
    """The answer, or nothing if the connection ended. Timing in the kernel decides whether the client sees an end or a
    reset."""
    try:
        return asked(port)
    except (ConnectionResetError, BrokenPipeError):
        return b""


@pytest.mark.slow
def test_a_way_passes_is_cut_and_is_slow(echo: int) -> None:
    way = Way(("127.0.0.1", echo))
    try:
        assert asked(way.port) == b"hello"
        way.delay = 0.3
        began = time.monotonic()
        assert asked(way.port) == b"hello"
        assert time.monotonic() - began >= 0.3
        way.cut = True
        assert answer_or_end(way.port) == b""
    finally:
        way.close()
    with pytest.raises(ConnectionRefusedError):
        asked(way.port)


def test_a_connection_that_passes_can_be_dropped(echo: int) -> None:
    way = Way(("127.0.0.1", echo))
    with socket.create_connection(("127.0.0.1", way.port), timeout=5) as client:
        client.sendall(b"hello")
        assert client.recv(1024) == b"hello"
        way.drop()
        try:
            assert client.recv(1024) == b""
        except ConnectionResetError:
            pass  # a reset ends the connection as well
    way.close()


def test_a_kubeconfig_is_led_over_the_way(echo: int, tmp_path: Path) -> None:
    cluster = {"server": f"https://127.0.0.1:{echo}", "certificate-authority-data": "x"}
    (tmp_path / "own").write_text(yaml.safe_dump({"clusters": [{"name": "sandbox", "cluster": cluster}], "users": []}))
    with way_to(tmp_path / "own", tmp_path / "copy") as way:
        copy = yaml.safe_load((tmp_path / "copy").read_text())
        assert copy["clusters"][0]["cluster"] == {**cluster, "server": f"https://127.0.0.1:{way.port}"}
        assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
        assert asked(way.port) == b"hello"


def test_etcds_wire_form() -> None:
    """Written by hand, because etcd has no Python client: integers in groups of seven bits, the lowest first."""
    assert _varint(300) == b"\xac\x02"
    assert _read(b"\xac\x02", 0) == (300, 2)
    assert _request(1, 300) == b"\x08\x01\x10\xac\x02\x18\x01"
    header = b"\x08" + _varint(2**63 + 5) + b"\x10" + _varint(2**63 + 7)
    assert _member(b"\x0a" + _varint(len(header)) + header) == 2**63 + 7
