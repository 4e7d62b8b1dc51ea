"""The random stand-in: what it generates, when it generates anew, what it imports and what it refuses."""

from __future__ import annotations

import ctypes
import string
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.random import schemas
from sandbox.plugins.random.generate import SPECIAL, bcrypt_hash
from sandbox.plugins.random.provider import RandomProvider
from sandbox.plugins.values import UNKNOWN, Properties, Secret, unwrap

pytestmark = pytest.mark.unit

PROVIDER = RandomProvider()


def make(type_: str, **inputs: Any) -> tuple[str, Properties]:
    checked = PROVIDER.check("urn", type_, {}, inputs, b"")
    assert checked.failures == []
    return PROVIDER.create("urn", type_, checked.inputs, 0, False)


def test_a_string_has_its_length_and_the_minimum_of_each_class() -> None:
    for _ in range(20):
        _, outputs = make(schemas.STRING, length=8, minUpper=2, minLower=2, minNumeric=2, minSpecial=2)
        text = outputs["result"]
        classes = (string.ascii_uppercase, string.ascii_lowercase, string.digits, SPECIAL)
        assert [sum(character in alphabet for character in text) for alphabet in classes] == [2, 2, 2, 2]


def test_a_class_that_is_off_does_not_occur() -> None:
    _, outputs = make(schemas.STRING, length=300, special=False, numeric=False, upper=False)
    assert set(outputs["result"]) <= set(string.ascii_lowercase)
    assert len(outputs["result"]) == 300


def test_own_special_characters_take_the_place_of_the_usual_ones() -> None:
    _, outputs = make(schemas.STRING, length=50, upper=False, lower=False, numeric=False, overrideSpecial="~^")
    assert set(outputs["result"]) == {"~", "^"}


def test_the_older_name_of_numeric_is_the_same_setting() -> None:
    _, outputs = make(schemas.STRING, length=200, number=False)
    assert (outputs["number"], outputs["numeric"]) == (False, False)
    assert not set(outputs["result"]) & set(string.digits)


@pytest.mark.slow
def test_two_passwords_differ_and_only_they_are_secret() -> None:
    (first_id, first), (_, second) = make(schemas.PASSWORD, length=32), make(schemas.PASSWORD, length=32)
    assert first_id == "none"
    assert first["result"] != second["result"]
    assert {name for name, value in first.items() if isinstance(value, Secret)} == {"result", "bcryptHash"}


@pytest.mark.slow
def test_passwords_that_are_made_at_once_each_have_their_own_hash() -> None:
    """The C library writes its result into one buffer for the whole process."""
    passwords = [f"password-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        hashes = list(pool.map(bcrypt_hash, passwords))

    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    for password, hashed in zip(passwords, hashes, strict=True):
        assert crypt(password.encode(), hashed.encode()) == hashed.encode()


@pytest.mark.slow
def test_the_hash_is_bcrypts_of_the_password() -> None:
    hashed = bcrypt_hash("correct horse")
    assert hashed.startswith("$2a$10$")
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    assert crypt(b"correct horse", hashed.encode()).decode() == hashed
    assert crypt(b"wrong horse", hashed.encode()).decode() != hashed


def test_an_id_is_one_number_in_four_notations() -> None:
    id_, outputs = make(schemas.ID, byteLength=8, prefix="p-")
    number = int(outputs["hex"].removeprefix("p-"), 16)
    assert outputs["dec"] == f"p-{number}"
    assert len(outputs["hex"]) == len("p-") + 16
    assert outputs["b64Url"] == "p-" + id_


def test_bytes_have_their_value_as_id_as_the_official_plugin() -> None:
    id_, outputs = make(schemas.BYTES, length=16)
    assert outputs["base64"] == Secret(id_)
    assert isinstance(outputs["hex"], Secret)
    assert "id" not in outputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "replaces"),
    [
        ({}, {}, []),
        ({"keepers": {"a": "1"}}, {"keepers": {"a": "1"}}, []),
        ({"keepers": {"a": "1"}}, {"keepers": {"a": "2"}}, ["keepers"]),
        ({"keepers": {"a": "1"}}, {}, ["keepers"]),
        ({}, {"keepers": {"a": UNKNOWN}}, ["keepers"]),
        ({}, {"special": True}, []),
        ({}, {"special": False}, ["special"]),
        ({"number": False}, {"numeric": False}, []),
        ({}, {"numeric": False}, ["number", "numeric"]),
        ({}, {"length": 9}, ["length"]),
    ],
)
def test_every_real_change_replaces_and_a_default_written_out_is_none(
    old: Properties, new: Properties, replaces: list[str]
) -> None:
    old, new = {"length": 8, **old}, {"length": 8, **new}
    id_, outputs = make(schemas.PASSWORD, **old)
    found = PROVIDER.diff("urn", schemas.PASSWORD, id_, old, outputs, new, [])
    assert (found.replaces, found.changes) == (replaces, bool(replaces))


def test_keepers_without_an_entry_are_recorded_and_replace_nothing() -> None:
    bare, kept = {"length": 8}, {"length": 8, "keepers": {}}
    id_, outputs = make(schemas.PASSWORD, **bare)
    for old, new in ((bare, kept), (kept, bare)):
        before, after = ({**outputs, **inputs} for inputs in (old, new))
        found = PROVIDER.diff("urn", schemas.PASSWORD, id_, old, before, new, [])
        assert (found.changes, found.diffs, found.replaces) == (True, ["keepers"], [])
        assert PROVIDER.update("urn", schemas.PASSWORD, id_, old, before, new, 0, False, []) == after


def test_ignored_changes_are_none() -> None:
    id_, outputs = make(schemas.PASSWORD, length=8)
    found = PROVIDER.diff("urn", schemas.PASSWORD, id_, {"length": 8}, outputs, {"length": 9}, ["length"])
    assert not found.changes


@pytest.mark.parametrize(
    ("inputs", "property_", "reason"),
    [
        ({}, "length", "missing required"),
        ({"length": 0}, "length", "0 is less than 1"),
        ({"length": "8"}, "length", "must be an integer"),
        ({"length": 3, "minUpper": 2, "minLower": 2}, "length", "3 is less than the sum"),
        ({"length": 3, "upper": False, "lower": False, "special": False, "number": False}, "", "must be true"),
        ({"length": 3, "number": False, "numeric": True}, "numeric", "must be equal"),
        ({"length": 3, "keepers": {"a": 1}}, "keepers", "must be a map of strings"),
        ({"length": 3, "lenght": 3}, "lenght", "did you mean 'length'"),
    ],
)
def test_a_wrong_input_is_refused_by_name(inputs: Properties, property_: str, reason: str) -> None:
    failures = PROVIDER.check("urn", schemas.PASSWORD, {}, inputs, b"").failures
    assert [failure.property for failure in failures] == [property_]
    assert reason in failures[0].reason


def test_unknown_inputs_pass_the_check_and_stay_unknown_at_preview() -> None:
    checked = PROVIDER.check("urn", schemas.PASSWORD, {}, {"length": UNKNOWN, "keepers": {"a": UNKNOWN}}, b"")
    assert checked.failures == []
    _, outputs = PROVIDER.create("urn", schemas.PASSWORD, checked.inputs, 0, True)
    assert (outputs["length"], outputs["result"]) == (UNKNOWN, Secret(UNKNOWN))


@pytest.mark.parametrize(
    ("type_", "id_", "inputs", "outputs"),
    [
        (schemas.ID, "p,OFB8yA", {"byteLength": 4, "prefix": "p"}, {"hex": "p38507cc8", "dec": "p944798920"}),
        (schemas.ID, "OFB8yA", {"byteLength": 4}, {"hex": "38507cc8", "b64Std": "OFB8yA=="}),
        (schemas.BYTES, "OFB8yA==", {"length": 4}, {"hex": "38507cc8"}),
        (schemas.STRING, "abc", {"length": 3}, {"result": "abc"}),
        (schemas.PASSWORD, "abc", {"length": 3}, {"result": "abc", "id": "none"}),
    ],
)
def test_what_exists_is_imported_by_its_value(type_: str, id_: str, inputs: Properties, outputs: Properties) -> None:
    read = PROVIDER.read("urn", type_, id_, {}, {})
    assert read is not None
    assert read[1] == inputs
    assert unwrap(read[2]).items() >= outputs.items()


def test_an_import_of_no_base64_is_refused() -> None:
    with pytest.raises(ResourceError, match="is no base64"):
        PROVIDER.read("urn", schemas.BYTES, "!!!", {}, {})


def test_another_type_is_refused() -> None:
    with pytest.raises(ResourceError, match="has no resource type random:index/randomPet:RandomPet"):
        PROVIDER.create("urn", "random:index/randomPet:RandomPet", {}, 0, False)
