"""Raises etcd's alarm NOSPACE, as an exhausted quota does: until the alarm is withdrawn, etcd answers only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from sandbox.home import Home

# https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto: AlarmRequest is action, memberID, alarm.
_ALARM = "/etcdserverpb.Maintenance/Alarm"
_GET, _ACTIVATE, _DEACTIVATE = 0, 1, 2
_NOSPACE = 1


@contextmanager
def full(home: Home) -> Iterator[None]:
    """The home's etcd is full while the context lasts."""
    with _channel(home) as channel:
        call = channel.unary_unary(_ALARM, request_serializer=bytes, response_deserializer=bytes)
        member = _member(call(_request(_GET, 0), timeout=10))
        call(_request(_ACTIVATE, member), timeout=10)
        try:
            yield
        finally:
            call(_request(_DEACTIVATE, member), timeout=10)


def _channel(home: Home) -> grpc.Channel:
    port = json.loads((home.control_plane / "ports.json").read_text())["etcd"]
    files = [home.pki / name for name in ("etcd-ca.crt", "etcd-client.key", "etcd-client.crt")]
    return grpc.secure_channel(
        f"127.0.0.1:{port}", grpc.ssl_channel_credentials(*(file.read_bytes() for file in files))
    )


def _request(action: int, member: int) -> bytes:
    return b"".join(
        bytes([number << 3]) + _varint(value) for number, value in ((1, action), (2, member), (3, _NOSPACE))
    )


def _member(response: bytes) -> int:
    """The member's id: field 2 of the header, which is field 1 of AlarmResponse."""
    length, start = _read(response, 1)
    header, position = response[start : start + length], 0
    while position < len(header):
        tag = header[position]
        value, position = _read(header, position + 1)
        if tag >> 3 == 2:
            return value
    raise AssertionError("etcd's answer has no member id")


def _varint(value: int) -> bytes:
    found = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        found.append(low | (0x80 if value else 0))
        if not value:
            return bytes(found)


def _read(data: bytes, position: int) -> tuple[int, int]:
    """The varint at `position`, and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
