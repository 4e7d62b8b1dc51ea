"""The first messages between a PostgreSQL client and its server, before any query.

Pure. https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

CANCEL, SSL, GSS = 80877102, 80877103, 80877104
SSL_REQUEST = struct.pack("!II", 8, SSL)
ACCEPTED, REFUSED = b"S", b"N"

# PostgreSQL's own: MAX_STARTUP_PACKET_LENGTH, PG_MAX_AUTH_TOKEN_LENGTH.
LONGEST_PACKET = 10_000
LONGEST_PASSWORD = 65_535

# https://www.postgresql.org/docs/current/errcodes-appendix.html
INVALID_AUTHORIZATION = "28000"
CANNOT_CONNECT_NOW = "57P03"
PROTOCOL_VIOLATION = "08P01"

ASK_FOR_PASSWORD = b"R" + struct.pack("!II", 8, 3)


class ProtocolViolation(Exception):
    """The bytes received are no message that a client may send here."""


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection: a request with one of the codes above, or a start with a protocol version."""

    code: int
    raw: bytes

    @property
    def is_start(self) -> bool:
        return self.code not in (CANCEL, SSL, GSS)

    def parameters(self) -> Mapping[str, str]:
        """A start's parameters: `user`, `database` and others the client sets. Raises `ProtocolViolation`."""
        content = self.raw[8:]
        # Each word ends with a zero byte, and an empty name ends the list.
        words = content[:-1].split(b"\0")
        if not content.endswith(b"\0") or len(words) % 2 != 1 or words[-1] or not all(words[:-1:2]):
            raise ProtocolViolation("invalid startup packet layout: expected terminator as last byte")
        try:
            pairs = [word.decode() for word in words[:-1]]
        except UnicodeDecodeError:
            raise ProtocolViolation("invalid startup packet layout: names are not UTF-8") from None
        return dict(zip(pairs[::2], pairs[1::2], strict=True))


def packet_length(head: bytes) -> int:
    """The length of a whole packet, from its first four bytes. Raises `ProtocolViolation`."""
    length = int(struct.unpack("!I", head)[0])
    if not 8 <= length <= LONGEST_PACKET:
        raise ProtocolViolation("invalid length of startup packet")
    return length


def read_packet(raw: bytes) -> Packet:
    return Packet(struct.unpack("!I", raw[4:8])[0], raw)


def password_length(head: bytes) -> int:
    """The length of what follows a password message's first five bytes. Raises `ProtocolViolation`."""
    kind, length = struct.unpack("!cI", head)
    if kind != b"p":
        raise ProtocolViolation(f"expected password response, got message type {kind[0]}")
    if not 5 <= length <= LONGEST_PASSWORD:
        raise ProtocolViolation("invalid password packet size")
    return int(length) - 4


def read_password(body: bytes) -> str:
    """Raises `ProtocolViolation`."""
    if not body.endswith(b"\0") or body.count(b"\0") != 1:
        raise ProtocolViolation("invalid password packet size")
    return body[:-1].decode(errors="replace")


def fatal(code: str, message: str) -> bytes:
    """The error with which a server ends a connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    body = b"".join(name.encode() + value.encode() + b"\0" for name, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body
