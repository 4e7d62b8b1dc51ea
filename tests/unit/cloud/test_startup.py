"""The messages before a session: read to the byte, and refused when a client may not send them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cloud.startup import (
    CANCEL,
    GSS,
    LONGEST_PACKET,
    SSL,
    SSL_REQUEST,
    Packet,
    ProtocolViolation,
    fatal,
    packet_length,
    password_length,
    read_packet,
    read_password,
)

pytestmark = pytest.mark.unit

PROTOCOL_3 = 196608
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def start(*words: str) -> Packet:
    body = struct.pack("!I", PROTOCOL_3) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    return read_packet(struct.pack("!I", len(body) + 4) + body)


def test_a_start_names_its_user_and_database() -> None:
    packet = start("user", "graph", "database", "access_graph", "options", "-c a=b")
    assert packet.is_start
    assert packet.parameters() == {"user": "graph", "database": "access_graph", "options": "-c a=b"}


def test_a_start_may_set_nothing_or_an_empty_value() -> None:
    assert start().parameters() == {}
    assert start("user", "graph", "application_name", "").parameters() == {"user": "graph", "application_name": ""}


@pytest.mark.slow
@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_every_start_is_read_as_it_was_written(parameters: dict[str, str]) -> None:
    assert start(*(word for pair in parameters.items() for word in pair)).parameters() == parameters


@pytest.mark.parametrize(
    "tail", [b"", b"user", b"user\0graph\0", b"user\0\0", b"user\0graph\0database\0\0", b"\0graph\0\0"]
)
def test_a_start_whose_pairs_do_not_add_up_is_refused(tail: bytes) -> None:
    packet = read_packet(struct.pack("!II", 8 + len(tail), PROTOCOL_3) + tail)
    with pytest.raises(ProtocolViolation, match="invalid startup packet layout"):
        packet.parameters()


@pytest.mark.parametrize("code", [SSL, GSS, CANCEL])
def test_a_request_is_no_start(code: int) -> None:
    assert not read_packet(struct.pack("!II", 8, code)).is_start
    assert read_packet(SSL_REQUEST).code == SSL


@pytest.mark.parametrize("length", [0, 7, LONGEST_PACKET + 1, 2**32 - 1])
def test_a_packet_of_an_impossible_length_is_refused_before_it_is_read(length: int) -> None:
    with pytest.raises(ProtocolViolation, match="invalid length"):
        packet_length(struct.pack("!I", length))


def test_the_longest_packet_and_the_shortest_are_taken() -> None:
    assert packet_length(struct.pack("!I", 8)) == 8
    assert packet_length(struct.pack("!I", LONGEST_PACKET)) == LONGEST_PACKET


def test_a_password_is_one_word() -> None:
    assert password_length(b"p" + struct.pack("!I", 11)) == 7
    assert read_password(b"secret\0") == "secret"
    for body in (b"", b"secret", b"sec\0ret\0"):
        with pytest.raises(ProtocolViolation):
            read_password(body)


@pytest.mark.parametrize("head", [b"Q\0\0\0\x0b", b"p\0\0\0\x04", b"p\0\x01\0\0"])
def test_what_is_no_password_is_refused_before_it_is_read(head: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        password_length(head)


def test_an_error_ends_the_connection_with_a_code_and_a_text() -> None:
    message = fatal("28000", "no")
    assert message == b"E" + struct.pack("!I", len(message) - 1) + b"SFATAL\0VFATAL\0C28000\0Mno\0\0"
