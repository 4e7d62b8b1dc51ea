"""Answers at a database's endpoint, and decides per user whether IAM or the server's own rules let a client in.

Owns a connection until its user is known and, where IAM decides, let in; then it passes bytes in both directions.
Passwords, channel binding and the rule that TLS is required stay with the server: it has the same certificate and
receives what the client sends. The caller says where the server is and who its users are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sandbox.cloud import startup
from sandbox.cloud.login_tokens import TokenRefused
from sandbox.cloud.passes import Passes
from sandbox.cloud.startup import Packet, ProtocolViolation

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# PostgreSQL's authentication_timeout.
AUTHENTICATION_SECONDS = 60.0
# Short, because the server is on this machine.
CONNECT_SECONDS = 10.0
# More than the longest message before a user is let in.
LONGEST_RECEIVED = 2 * startup.LONGEST_PASSWORD
# Like PostgreSQL's for 100 connections: a burst waits instead of being refused.
BACKLOG = 200
# From version 17 on, a client may begin with TLS, and must then name the protocol.
ALPN = "postgresql"
DIRECT_TLS_FROM = 17
_TLS_HANDSHAKE = b"\x16"


class AddressTaken(Exception):
    """Another program listens at the front's address."""


class Unavailable(Exception):
    """The server behind the front does not answer."""


class _Ended(Exception):
    """The other end closed the connection."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The server behind a front, and what is known of its users. The functions may block; any thread calls them."""

    address: str
    """The server's own address. The front's IAM logins come from it too, which tells the server that they are the
    front's."""
    certificate: Path
    """PEM of the server's certificate chain; clients get the same."""
    key: Path
    authorities: Path
    major: int
    logs_in_by_iam: Callable[[str], bool]
    """Raises `Unavailable`."""
    check_token: Callable[[str, str], str]
    """(user, token) -> the identity of whoever logs in. Raises `TokenRefused`."""


class FrontLoop:
    """The thread in which all fronts run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(
            lambda _, context: log.debug("a connection broke: %s", context.get("exception") or context["message"])
        )
        self._thread = threading.Thread(target=self._loop.run_forever, name="front", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the loop, from another thread; returns its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class Front:
    """The front of one database. `open` and `close` are called from outside the loop, by one thread at a time."""

    def __init__(self, loop: FrontLoop, backend: Backend, passes: Passes):
        self._loop = loop
        self._backend = backend
        self._passes = passes
        self._listening: tuple[str, int] | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._for_clients: tuple[int, ssl.SSLContext] | None = None
        self._for_users: dict[str | None, ssl.SSLContext] = {}

    def open(self, address: str, port: int) -> None:
        """Listen there, if not already doing so. Raises `AddressTaken`."""
        if self._listening == (address, port):
            return
        self.close()
        listener = socket.socket()
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise AddressTaken(f"{address}:{port}: {error.strerror}") from None
            raise
        self._listening = (address, port)
        self._loop.run(self._begin(listener))

    def close(self) -> None:
        """Accept no more clients. Existing sessions last until the server ends them."""
        if self._listening is not None:
            self._listening = None
            self._loop.run(self._end())

    async def _begin(self, listener: socket.socket) -> None:
        self._accepting = asyncio.create_task(self._accept(listener))

    async def _end(self) -> None:
        assert self._accepting is not None
        self._accepting.cancel()
        await asyncio.wait([self._accepting])

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    connection, (address, _) = await loop.sock_accept(listener)
                except OSError as error:
                    # A client that left at once, or a brief shortage of file descriptors.
                    log.warning("a connection could not be accepted: %s", error)
                    await asyncio.sleep(0.05)
                    continue
                task = asyncio.create_task(self._serve(connection, address))
                # The loop itself holds only weak references to tasks.
                self._serving.add(task)
                task.add_done_callback(self._serving.discard)

    async def _serve(self, connection: socket.socket, address: str) -> None:
        channels: list[_Channel] = []
        try:
            await asyncio.wait_for(self._admit(connection, address, channels), AUTHENTICATION_SECONDS)
        except ProtocolViolation as violation:
            self._refuse(channels, startup.PROTOCOL_VIOLATION, str(violation))
        except _NotLetIn as refusal:
            self._refuse(channels, startup.INVALID_AUTHORIZATION, str(refusal))
        except Unavailable as problem:
            log.info("%s", problem)
            self._refuse(channels, startup.CANNOT_CONNECT_NOW, "the database system is starting up")
        except (_Ended, OSError, asyncio.TimeoutError):
            # ssl.SSLError is an OSError. As in PostgreSQL, a client that does not speak the protocol gets no answer.
            for channel in channels:
                channel.transport.abort()
        if not channels:
            connection.close()

    @staticmethod
    def _refuse(channels: list[_Channel], code: str, message: str) -> None:
        client, *rest = channels
        client.transport.write(startup.fatal(code, message))
        client.transport.close()
        for channel in rest:
            channel.transport.abort()

    async def _admit(self, connection: socket.socket, address: str, channels: list[_Channel]) -> None:
        """`channels` collects the client's, then the server's; an exception leaves them to the caller."""
        client = await self._begun(connection)
        channels.append(client)
        packet = await self._start_of(client)
        if packet.code == startup.CANCEL:
            server = await self._connect(None)
            channels.append(server)
            server.transport.write(packet.raw)
            await server.ended()
            client.transport.close()
            server.transport.close()
            return
        user = packet.parameters().get("user", "")
        by_iam = bool(user) and await self._ask(self._backend.logs_in_by_iam, user)
        if by_iam and not client.is_secured:
            database = packet.parameters().get("database", user)
            raise _NotLetIn(
                f'pg_hba.conf rejects connection for host "{address}", user "{user}", database "{database}", '
                "no encryption"
            )
        if by_iam:
            await self._check(client, user)
        server = await self._connect(self._backend.address if by_iam else address)
        channels.append(server)
        if client.is_secured:
            server.transport.write(startup.SSL_REQUEST)
            if await server.read(1) != startup.ACCEPTED:
                raise Unavailable("the server does not speak TLS")
            await server.secure(self._context_for(user if by_iam else None), server_side=False)
        server.transport.write(packet.raw)
        client.join(server)

    async def _begun(self, connection: socket.socket) -> _Channel:
        loop = asyncio.get_running_loop()
        # The first byte tells whether TLS begins at once; it stays to be read.
        arrived = loop.create_future()
        loop.add_reader(connection, lambda: None if arrived.done() else arrived.set_result(None))
        try:
            await arrived
        finally:
            loop.remove_reader(connection)
        direct = connection.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE
        if direct and self._backend.major < DIRECT_TLS_FROM:
            raise _Ended
        context = self._context_for_clients() if direct else None
        _, channel = await loop.connect_accepted_socket(_Channel, connection, ssl=context)
        channel.is_secured = direct
        if direct:
            negotiated = channel.transport.get_extra_info("ssl_object").selected_alpn_protocol()
            if negotiated != ALPN:
                channel.transport.abort()
                raise _Ended
        return channel

    async def _start_of(self, client: _Channel) -> Packet:
        """The packet that begins or cancels a session; starts TLS first if the client asks for it."""
        asked: set[int] = set()
        while True:
            head = await client.read(4)
            packet = startup.read_packet(head + await client.read(startup.packet_length(head) - 4))
            if packet.is_start or packet.code == startup.CANCEL:
                return packet
            if packet.code in asked or (packet.code == startup.SSL and client.is_secured):
                raise ProtocolViolation("a request for encryption can be made once")
            asked.add(packet.code)
            if packet.code == startup.GSS:
                client.transport.write(startup.REFUSED)
            else:
                context = self._context_for_clients()
                client.transport.write(startup.ACCEPTED)
                await client.secure(context, server_side=True)

    async def _check(self, client: _Channel, user: str) -> None:
        client.transport.write(startup.ASK_FOR_PASSWORD)
        token = startup.read_password(await client.read(startup.password_length(await client.read(5))))
        try:
            who = await self._ask(self._backend.check_token, user, token)
        except TokenRefused as refusal:
            log.info("login as %s refused: %s", user, refusal)
            raise _NotLetIn(f'PAM authentication failed for user "{user}"') from None
        log.debug("login as %s: %s", user, who)

    async def _ask(self, question: Callable[..., Result], *arguments: str) -> Result:
        return await asyncio.get_running_loop().run_in_executor(None, question, *arguments)

    async def _connect(self, source: str | None) -> _Channel:
        """`source`: the client's address, which the server shows and logs."""
        if self._listening is None:
            raise Unavailable("the database is being stopped")
        _, port = self._listening
        loop = asyncio.get_running_loop()
        try:
            _, channel = await asyncio.wait_for(
                loop.create_connection(
                    _Channel, self._backend.address, port, local_addr=(source, 0) if source else None
                ),
                CONNECT_SECONDS,
            )
        except (OSError, asyncio.TimeoutError) as error:
            raise Unavailable(f"{self._backend.address}:{port}: {error}") from None
        return channel

    # TLS

    def _context_for_clients(self) -> ssl.SSLContext:
        """The context with the server's current certificate."""
        written = self._backend.certificate.stat().st_mtime_ns
        if self._for_clients is None or self._for_clients[0] != written:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # As in PostgreSQL, which keeps no sessions.
            context.options |= ssl.OP_NO_TICKET
            context.set_alpn_protocols([ALPN])
            context.load_cert_chain(self._backend.certificate, self._backend.key)
            self._for_clients = (written, context)
        return self._for_clients[1]

    def _context_for(self, user: str | None) -> ssl.SSLContext:
        """The context towards the server: with a pass for `user`, or without one if the server itself authenticates."""
        if user not in self._for_users:
            context = ssl.create_default_context(cafile=str(self._backend.authorities))
            # Checking the name is up to the clients; the front identifies the server by its address.
            context.check_hostname = False
            if user is not None:
                self._passes.present(context, user)
            self._for_users[user] = context
        return self._for_users[user]


class _NotLetIn(Exception):
    """The text is shown to the client."""


class _Channel(asyncio.Protocol):
    """The connection of one end: read message by message until it is joined to the other end's."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.is_secured = False
        self._received = bytearray()
        self._has_ended = False
        self._waiting: asyncio.Future[None] | None = None
        self._other: _Channel | None = None

    async def read(self, length: int) -> bytes:
        """Raises `_Ended`."""
        while len(self._received) < length:
            await self._something()
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken

    async def ended(self) -> None:
        with contextlib.suppress(_Ended):
            while True:
                await self._something()

    async def secure(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        if self._received:
            # Data sent in the clear must not be mistaken for part of the encrypted stream.
            raise ProtocolViolation("received unencrypted data after SSL request")
        transport = await asyncio.get_running_loop().start_tls(self.transport, self, context, server_side=server_side)
        assert transport is not None
        self.transport = transport
        self.is_secured = True

    def join(self, other: _Channel) -> None:
        """From now on, each end gets what the other receives, and ends with it."""
        self._other, other._other = other, self
        for one, peer in ((self, other), (other, self)):
            if one._received:
                peer.transport.write(bytes(one._received))
                one._received.clear()
            if one._has_ended:
                peer.transport.close()
            else:
                one.transport.resume_reading()

    async def _something(self) -> None:
        if self._has_ended:
            raise _Ended
        self._waiting = asyncio.get_running_loop().create_future()
        await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._other is not None:
            self._other.transport.write(data)
            return
        self._received += data
        if len(self._received) > LONGEST_RECEIVED:
            # Paused until the other end is there to take the data.
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def _finish(self) -> None:
        self._has_ended = True
        self._wake()
        if self._other is not None:
            self._other.transport.close()

    def pause_writing(self) -> None:
        if self._other is not None and not self._other._has_ended:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and not self._other._has_ended:
            self._other.transport.resume_reading()
