"""The front of a database, message by message, before a server of the test's own that reports what it received."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.cloud import startup
from sandbox.cloud.authority import RdsAuthority
from sandbox.cloud.front import ALPN, AddressTaken, Backend, Front, FrontLoop, Unavailable
from sandbox.cloud.login_tokens import TokenRefused
from sandbox.cloud.passes import Passes

pytestmark = pytest.mark.unit

ENDPOINT = "graph.aaaaaaaaaa.us-east-1.rds.amazonaws.com"
FRONT, BEHIND = "127.0.200.9", "127.0.202.9"
BY_IAM, BY_PASSWORD, NOT_ASKABLE = "graph_iam", "graph", "unknown"
TOKEN = "a token"
PROTOCOL_3 = struct.pack("!I", 196608)
SECONDS = 10


def packet(user: str, *words: str) -> bytes:
    body = PROTOCOL_3 + b"".join(word.encode() + b"\0" for word in ("user", user, *words)) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def password(text: str) -> bytes:
    return b"p" + struct.pack("!I", len(text.encode()) + 5) + text.encode() + b"\0"


@dataclass(frozen=True)
class Arrival:
    """A connection as the server saw it."""

    first: bytes
    encrypted: bool
    pass_for: str | None
    source: str


@dataclass
class Server:
    """Speaks TLS as PostgreSQL does, keeps the start of each session, and echoes everything after it."""

    listener: socket.socket
    context: ssl.SSLContext
    arrivals: list[Arrival] = field(default_factory=list)

    def serve(self) -> None:
        while True:
            try:
                connection, (source, _) = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._session, args=(connection, source), daemon=True).start()

    def _session(self, connection: socket.socket, source: str) -> None:
        with connection:
            first = self._packet(connection)
            if first != startup.SSL_REQUEST:
                self.arrivals.append(Arrival(first, False, None, source))
                self._echo(connection)
                return
            connection.sendall(startup.ACCEPTED)
            with self.context.wrap_socket(connection, server_side=True) as secured:
                first = self._packet(secured)
                subject = dict(pair for part in (secured.getpeercert() or {}).get("subject", ()) for pair in part)  # type: ignore[misc]
                self.arrivals.append(Arrival(first, True, subject.get("commonName"), source))
                self._echo(secured)

    @staticmethod
    def _packet(connection: socket.socket) -> bytes:
        head = (
            connection.recv(4, socket.MSG_WAITALL) if not isinstance(connection, ssl.SSLSocket) else connection.recv(4)
        )
        return head + connection.recv(struct.unpack("!I", head)[0] - 4)

    @staticmethod
    def _echo(connection: socket.socket) -> None:
        # A client may disconnect in any way.
        with contextlib.suppress(ConnectionError):
            while received := connection.recv(65536):
                connection.sendall(received)


@dataclass
class Setting:
    front: Front
    port: int
    server: Server
    authority: RdsAuthority
    directory: Path
    asked: list[tuple[str, str]]

    def dial(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection((FRONT, self.port), SECONDS, source_address=(source, 0))

    def dial_tls(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        raw = self.dial(source)
        raw.sendall(startup.SSL_REQUEST)
        assert raw.recv(1) == startup.ACCEPTED
        return self.context().wrap_socket(raw, server_hostname=ENDPOINT)

    def context(self, protocols: list[str] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.bundle))
        if protocols:
            context.set_alpn_protocols(protocols)
        return context

    def issue(self) -> None:
        issued = self.authority.issue(ENDPOINT, "rds-ca-ecc384-g1")
        (self.directory / "server.key").write_bytes(issued.key)
        (self.directory / "server.crt").write_bytes(issued.certificate)


def received(connection: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length and (more := connection.recv(length - len(found))):
        found += more
    return found


def exchanged(connection: ssl.SSLSocket, content: bytes) -> bytes:
    """What comes back while `content` is sent. One thread does both, because OpenSSL does not allow two threads to use
    a connection at once."""
    connection.setblocking(False)
    sent, found = 0, b""
    while len(found) < len(content):
        moved = False
        if sent < len(content):
            with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                sent += connection.send(content[sent : sent + 65536])
                moved = True
        with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
            more = connection.recv(65536)
            if not more:
                break
            found += more
            moved = True
        if not moved:
            select.select([connection], [connection] if sent < len(content) else [], [], 30)
    return found


def everything(connection: socket.socket) -> bytes:
    found = b""
    try:
        while more := connection.recv(65536):
            found += more
    except ConnectionResetError:
        pass
    return found


@pytest.fixture(scope="module")
def loop() -> Iterator[FrontLoop]:
    made = FrontLoop()
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> RdsAuthority:
    return RdsAuthority.at(tmp_path_factory.mktemp("authority"), "us-east-1")


@pytest.fixture
def major() -> int:
    return 17


@pytest.fixture
def setting(loop: FrontLoop, authority: RdsAuthority, tmp_path: Path, major: int) -> Iterator[Setting]:
    passes, asked = Passes(), []
    listener = socket.create_server((BEHIND, 0))
    port = listener.getsockname()[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server = Server(listener, context)

    def by_iam(user: str) -> bool:
        if user == NOT_ASKABLE:
            raise Unavailable("the server is gone")
        return user == BY_IAM

    def check(user: str, token: str) -> str:
        asked.append((user, token))
        if token != TOKEN:
            raise TokenRefused("it is another")
        return "arn:aws:iam::123456789012:role/graph"

    backend = Backend(
        address=BEHIND,
        certificate=tmp_path / "server.crt",
        key=tmp_path / "server.key",
        authorities=authority.bundle,
        major=major,
        logs_in_by_iam=by_iam,
        check_token=check,
    )
    made = Setting(Front(loop, backend, passes), port, server, authority, tmp_path, asked)
    made.issue()
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    context.load_verify_locations(cadata=passes.authority.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    threading.Thread(target=server.serve, daemon=True).start()
    made.front.open(FRONT, port)
    yield made
    made.front.close()
    listener.close()


@pytest.mark.slow
def test_who_has_a_password_is_handed_on_as_they_came(setting: Setting) -> None:
    begun = packet(BY_PASSWORD, "database", "access_graph", "options", "-c a=b")
    with setting.dial_tls("127.0.0.7") as client:
        client.sendall(begun + b"and more")
        assert received(client, 8) == b"and more"
    assert setting.server.arrivals == [Arrival(begun, True, None, "127.0.0.7")]
    assert setting.asked == []


@pytest.mark.slow
def test_without_tls_too_as_it_is_for_the_server_to_refuse(setting: Setting) -> None:
    with setting.dial() as client:
        client.sendall(packet(BY_PASSWORD) + b"more")
        assert received(client, 4) == b"more"
    assert setting.server.arrivals == [Arrival(packet(BY_PASSWORD), False, None, "127.0.0.1")]


@pytest.mark.slow
def test_whom_iam_lets_in_comes_with_a_certificate_from_the_fronts_address(setting: Setting) -> None:
    with setting.dial_tls() as client:
        client.sendall(packet(BY_IAM))
        assert received(client, 9) == startup.ASK_FOR_PASSWORD
        client.sendall(password(TOKEN))
        client.sendall(b"hello")
        assert received(client, 5) == b"hello"
    assert setting.asked == [(BY_IAM, TOKEN)]
    assert setting.server.arrivals == [Arrival(packet(BY_IAM), True, BY_IAM, BEHIND)]


def test_who_is_refused_hears_what_rds_says_and_never_reaches_the_server(setting: Setting) -> None:
    with setting.dial_tls() as client:
        client.sendall(packet(BY_IAM))
        received(client, 9)
        client.sendall(password("another token"))
        assert everything(client) == startup.fatal("28000", f'PAM authentication failed for user "{BY_IAM}"')
    assert setting.server.arrivals == []


def test_a_token_is_not_taken_without_tls(setting: Setting) -> None:
    with setting.dial() as client:
        client.sendall(packet(BY_IAM, "database", "graphs"))
        said = f'pg_hba.conf rejects connection for host "127.0.0.1", user "{BY_IAM}", database "graphs", no encryption'
        assert everything(client) == startup.fatal("28000", said)
    assert (setting.asked, setting.server.arrivals) == ([], [])


def test_gssapi_is_declined_and_tls_begins_after_it(setting: Setting) -> None:
    with setting.dial() as raw:
        raw.sendall(struct.pack("!II", 8, startup.GSS))
        assert raw.recv(1) == startup.REFUSED
        raw.sendall(startup.SSL_REQUEST)
        assert raw.recv(1) == startup.ACCEPTED
        with setting.context().wrap_socket(raw, server_hostname=ENDPOINT) as client:
            client.sendall(packet(BY_PASSWORD) + b"x")
            assert received(client, 1) == b"x"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_below_1_2_is_refused(setting: Setting) -> None:
    raw = setting.dial()
    raw.sendall(startup.SSL_REQUEST)
    raw.recv(1)
    context = setting.context()
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(raw, server_hostname=ENDPOINT)
    raw.close()


def test_what_was_sent_in_the_clear_is_not_taken_for_encrypted(setting: Setting) -> None:
    with setting.dial() as client:
        client.sendall(startup.SSL_REQUEST + packet(BY_PASSWORD))
        said = everything(client)
    assert said == startup.ACCEPTED + startup.fatal("08P01", "received unencrypted data after SSL request")
    assert setting.server.arrivals == []


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (struct.pack("!II", 7, 196608), "invalid length of startup packet"),
        (struct.pack("!II", 1_000_000, 196608), "invalid length of startup packet"),
        (struct.pack("!II", 12, 196608) + b"user", "invalid startup packet layout: expected terminator as last byte"),
        (struct.pack("!II", 8, startup.GSS) * 2, "a request for encryption can be made once"),
    ],
)
def test_what_no_client_sends_is_a_violation_of_the_protocol(setting: Setting, sent: bytes, said: str) -> None:
    with setting.dial() as client:
        client.sendall(sent)
        assert everything(client).removeprefix(startup.REFUSED) == startup.fatal("08P01", said)
    assert setting.server.arrivals == []


def test_a_request_to_cancel_reaches_the_server_to_the_byte(setting: Setting) -> None:
    request = struct.pack("!IIII", 16, startup.CANCEL, 4711, 12345)
    with setting.dial() as client:
        client.sendall(request)
        while not setting.server.arrivals:
            threading.Event().wait(0.01)
    assert [arrival.first for arrival in setting.server.arrivals] == [request]


@pytest.mark.slow
def test_while_the_server_does_not_answer_it_is_starting(setting: Setting) -> None:
    starting = startup.fatal("57P03", "the database system is starting up")
    with setting.dial_tls() as client:
        client.sendall(packet(NOT_ASKABLE))
        assert everything(client) == starting
    # Close the listener before a client can be waiting in its queue.
    setting.server.listener.shutdown(socket.SHUT_RDWR)
    setting.server.listener.close()
    with setting.dial_tls() as client:
        client.sendall(packet(BY_PASSWORD))
        assert everything(client) == starting


def test_a_client_that_says_nothing_or_leaves_holds_nobody_up(setting: Setting) -> None:
    silent = [setting.dial() for _ in range(20)]
    setting.dial().close()
    with setting.dial_tls() as half:
        half.sendall(packet(BY_IAM)[:7])
    with setting.dial_tls() as client:
        client.sendall(packet(BY_PASSWORD) + b"x")
        assert received(client, 1) == b"x"
    for connection in silent:
        connection.close()


@pytest.mark.slow
def test_megabytes_pass_both_ways(setting: Setting) -> None:
    content = bytes(range(256)) * 40_000
    with setting.dial_tls() as client:
        client.sendall(packet(BY_PASSWORD))
        assert exchanged(client, content) == content


def test_the_end_of_either_side_is_the_end_of_the_other(setting: Setting) -> None:
    with setting.dial() as client:
        client.sendall(packet(BY_PASSWORD) + b"last words")
        client.shutdown(socket.SHUT_WR)
        assert everything(client) in (b"", b"last words")


def test_a_renewed_certificate_is_served_at_once(setting: Setting) -> None:
    def served() -> bytes:
        with setting.dial_tls() as client:
            found: Any = client.getpeercert(binary_form=True)
            return bytes(found)

    before = served()
    setting.issue()
    assert served() != before


# Begun with TLS


def dial_direct(setting: Setting, protocols: list[str] | None) -> ssl.SSLSocket:
    return setting.context(protocols).wrap_socket(setting.dial(), server_hostname=ENDPOINT)


def test_a_client_may_begin_with_tls_if_it_names_the_protocol(setting: Setting) -> None:
    with dial_direct(setting, [ALPN]) as client:
        client.sendall(packet(BY_PASSWORD) + b"x")
        assert received(client, 1) == b"x"
    with dial_direct(setting, None) as client:
        assert everything(client) == b""
    assert len(setting.server.arrivals) == 1


@pytest.mark.parametrize("major", [16])
def test_before_version_17_it_may_not(setting: Setting, major: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        dial_direct(setting, [ALPN])


# Where it listens


def test_a_closed_front_refuses_and_can_be_opened_again(setting: Setting) -> None:
    setting.front.close()
    with pytest.raises(ConnectionRefusedError):
        setting.dial()
    setting.front.open(FRONT, setting.port)
    setting.front.open(FRONT, setting.port)
    setting.dial_tls().close()


def test_an_address_that_another_program_has_is_said(setting: Setting) -> None:
    with socket.create_server(("127.0.200.10", 0)) as other, pytest.raises(AddressTaken):
        setting.front.open(*other.getsockname())
    with pytest.raises(ConnectionRefusedError):
        setting.dial()
