"""The fetch from a proxy, against real TLS servers on loopback: trust, both formats, redirects, limits."""

from __future__ import annotations

import contextlib
import http.server
import ipaddress
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from components import proxy_export
from components.host_authorities import parse_authorities
from components.proxy_export import ProxyFetchError, fetch_from_proxy
from tests.unit.host_authorities.authorities import authority, encoded, key, private_key

Answer = tuple[int, dict[str, str], bytes]
PLAIN = "/webapi/auth/export?type=tls-host"
AS_JSON = PLAIN + "&format=json"


@pytest.fixture
def server_pem(tmp_path: Path) -> Path:
    """A self-signed server certificate for 127.0.0.1, with its key in the same file."""
    return written(tmp_path / "server.pem", signed("proxy", "proxy", ca=True), private_key())


def signed(name: str, by: str, *, ca: bool, end: timedelta = timedelta(hours=1)) -> str:
    """The PEM of a certificate for 127.0.0.1, with none of the extensions that link it to its issuer. All have one key,
    so that names alone make a chain."""
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(key().public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=2))
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key(), hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def written(path: Path, *parts: str) -> Path:
    path.write_text("".join(parts), encoding="ascii")
    return path


@contextlib.contextmanager
def proxy(server_pem: Path, answer: Callable[[str], Answer]) -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_one_active_key_comes_as_pem(server_pem: Path) -> None:
    with proxy(server_pem, lambda path: (200, {}, authority().encode())) as (address, asked):
        assert fetch_from_proxy(address, server_pem) == authority()
    assert asked == [PLAIN]


def test_several_active_keys_come_as_json(server_pem: Path) -> None:
    body = json.dumps([{"data": encoded(authority(1))}, {"data": encoded(authority(2))}]).encode()

    def answer(path: str) -> Answer:
        return (200, {}, body) if path == AS_JSON else (400, {}, b"found 2 authorities")

    with proxy(server_pem, answer) as (address, asked):
        text = fetch_from_proxy(address, server_pem)
    assert asked == [PLAIN, AS_JSON]
    assert len(parse_authorities(text)) == 2


def test_a_server_that_nobody_vouches_for_is_refused(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (200, {}, authority().encode())) as (address, asked),
        pytest.raises(ProxyFetchError, match=r"its certificate is not trusted .*; set caFile"),
    ):
        fetch_from_proxy(address)
    assert asked == []


def test_a_server_of_another_name_is_refused(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (200, {}, authority().encode())) as (address, asked),
        pytest.raises(ProxyFetchError, match=r"its certificate is not trusted .*localhost.*; give an address whose"),
    ):
        fetch_from_proxy(address.replace("127.0.0.1", "localhost"), server_pem)
    assert asked == []


def test_the_authority_that_issued_the_certificate_is_enough_without_its_root(tmp_path: Path) -> None:
    issuer = signed("issuer", "root", ca=True)
    server = written(tmp_path / "server.pem", signed("proxy", "issuer", ca=False), issuer, private_key())
    with proxy(server, lambda path: (200, {}, authority().encode())) as (address, _):
        for trusted in (issuer, signed("root", "root", ca=True)):
            assert fetch_from_proxy(address, written(tmp_path / "ca.pem", trusted)) == authority()


def test_an_authority_without_the_extensions_of_rfc_5280_is_trusted_in_every_version_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ssl.create_default_context

    def create_as_python_3_13(*, cafile: str | None = None) -> ssl.SSLContext:
        context = create(cafile=cafile)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_as_python_3_13)
    server = written(tmp_path / "server.pem", signed("proxy", "corporate", ca=False), private_key())
    trusted = written(tmp_path / "ca.pem", signed("corporate", "corporate", ca=True))
    with proxy(server, lambda path: (200, {}, authority().encode())) as (address, _):
        assert fetch_from_proxy(address, trusted) == authority()


def test_an_expired_server_is_told_apart_from_one_of_another_authority(tmp_path: Path) -> None:
    expired = signed("proxy", "issuer", ca=False, end=timedelta(hours=-1))
    server = written(tmp_path / "server.pem", expired, private_key())
    trusted = written(tmp_path / "ca.pem", signed("issuer", "issuer", ca=True))
    with (
        proxy(server, lambda path: (200, {}, authority().encode())) as (address, _),
        pytest.raises(ProxyFetchError, match=r"has expired\); renew the proxy's certificate, or .* mode file"),
    ):
        fetch_from_proxy(address, trusted)


def test_a_redirect_is_refused(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (302, {"Location": "https://elsewhere/"}, b"")) as (address, asked),
        pytest.raises(ProxyFetchError, match="redirects to 'https://elsewhere/'"),
    ):
        fetch_from_proxy(address, server_pem)
    assert asked == [PLAIN]


def test_a_server_that_is_no_proxy_is_told_by_its_answers(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (404, {}, b"")) as (address, _),
        pytest.raises(ProxyFetchError, match="with status 404, and with format=json 404"),
    ):
        fetch_from_proxy(address, server_pem)
    with (
        proxy(server_pem, lambda path: (200, {}, b"<html>Please log in</html>")) as (address, _),
        pytest.raises(ProxyFetchError, match="no export; is this the web address of a Teleport proxy"),
    ):
        fetch_from_proxy(address, server_pem)


def test_an_endless_answer_is_cut(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (200, {}, b"#" * (1024 * 1024 + 1))) as (address, _),
        pytest.raises(ProxyFetchError, match="sends more than 1048576 bytes"),
    ):
        fetch_from_proxy(address, server_pem)


def test_an_answer_that_is_no_text_is_refused(server_pem: Path) -> None:
    with (
        proxy(server_pem, lambda path: (200, {}, b"\xff\xfe")) as (address, _),
        pytest.raises(ProxyFetchError, match="not UTF-8"),
    ):
        fetch_from_proxy(address, server_pem)


@pytest.mark.slow
def test_a_silent_server_is_given_up(server_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_export, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(ProxyFetchError, match=r"gave no answer in 0\.3 s"):
            fetch_from_proxy(f"127.0.0.1:{silent.getsockname()[1]}", server_pem)
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_a_trickle_is_given_up(server_pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_export, "TIMEOUT", 0.5)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pem)

    def trickle(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(100):
                connection.sendall(b"#")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        started = time.monotonic()
        with pytest.raises(ProxyFetchError, match=r"gave no answer in 0\.5 s"):
            fetch_from_proxy(f"127.0.0.1:{listener.getsockname()[1]}", server_pem)
        # The whole trickle takes 5 seconds, after which nobody would answer the second request.
        assert time.monotonic() - started < 4
        thread.join()


def test_nothing_listening_and_a_bad_ca_file_are_told(server_pem: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(ProxyFetchError, match=r"cannot be reached .*, or give the host CAs by mode file"):
        fetch_from_proxy(address, server_pem)
    (tmp_path / "not.pem").write_text("x", encoding="ascii")
    for name in ("not.pem", "absent.pem"):
        with pytest.raises(ProxyFetchError, match="is no readable PEM"):
            fetch_from_proxy(address, tmp_path / name)
