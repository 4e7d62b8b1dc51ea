"""Values cross the wire unchanged, with their secrets and unknowns."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.plugins.values import (
    SECRET_SIGNATURE,
    SIGNATURE_KEY,
    UNKNOWN,
    UNKNOWN_SENTINELS,
    Secret,
    UnsupportedValue,
    contains_secret,
    contains_unknown,
    decode,
    encode,
    rewrap,
    unwrap,
)

pytestmark = pytest.mark.unit

# Random shapes find little after the first few dozen, and each takes milliseconds to generate.
few = settings(max_examples=40, deadline=None)

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number != int(number))
    | st.text(max_size=20)
    | st.just(UNKNOWN),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
values = st.recursive(
    plain | plain.map(Secret),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@pytest.mark.slow
@few
@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_what_is_encoded_is_decoded_as_it_was(properties: dict[str, Any]) -> None:
    over_the_wire = struct_pb2.Struct.FromString(encode(properties).SerializeToString())
    assert decode(over_the_wire) == properties


@pytest.mark.slow
@few
@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_unwrapped_values_have_no_secret_and_are_otherwise_the_same(properties: dict[str, Any]) -> None:
    bare = unwrap(properties)
    assert not contains_secret(bare)
    assert contains_unknown(bare) == contains_unknown(properties)
    assert bare.keys() == properties.keys()


def test_a_secret_has_the_engines_own_form() -> None:
    struct = encode({"password": Secret("x")})
    assert dict(struct["password"]) == {SIGNATURE_KEY: SECRET_SIGNATURE, "value": "x"}


def test_a_secret_within_a_secret_is_one_secret() -> None:
    assert decode(encode({"a": Secret({"b": Secret(1)})})) == {"a": Secret({"b": 1})}


@pytest.mark.parametrize("sentinel", sorted(UNKNOWN_SENTINELS))
def test_every_sentinel_of_the_engine_is_unknown(sentinel: str) -> None:
    struct = struct_pb2.Struct()
    struct["value"] = sentinel
    assert decode(struct) == {"value": UNKNOWN}


def test_whole_numbers_are_integers() -> None:
    decoded = decode(encode({"a": 3, "b": 3.5, "c": True}))
    assert [type(decoded[name]) for name in "abc"] == [int, float, bool]


@pytest.mark.parametrize(
    ("signature", "named"),
    [
        ("c44067f5952c0a294b673a41bacd8c17", "asset"),
        ("0def7320c3a5731c473e5ecbe6d01bc7", "archive"),
        ("5cf8f73096256a8f31e491e813e4eb8e", "resource reference"),
    ],
)
def test_what_the_stand_ins_do_not_take_is_refused_with_its_path(signature: str, named: str) -> None:
    with pytest.raises(UnsupportedValue, match=rf"spec\.files\[1\].*{named}"):
        decode(encode({"spec": {"files": ["a", {SIGNATURE_KEY: signature, "text": "b"}]}}))


def test_an_object_that_json_has_no_form_of_is_refused() -> None:
    with pytest.raises(UnsupportedValue, match="object"):
        encode({"a": object()})


def test_a_secret_does_not_show_its_value() -> None:
    assert "hunter2" not in repr({"a": Secret("hunter2")})


def test_outputs_are_secret_where_the_inputs_were() -> None:
    inputs = {"data": {"a": Secret("1"), "b": "2"}, "list": ["x", Secret("y")], "gone": Secret("z")}
    outputs = {"data": {"a": "1", "b": "2"}, "list": ["y", "x"], "other": 3}
    assert rewrap(outputs, inputs) == {
        "data": {"a": Secret("1"), "b": "2"},
        "list": Secret(["y", "x"]),
        "other": 3,
    }
