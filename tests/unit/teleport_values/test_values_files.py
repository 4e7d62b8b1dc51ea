"""Values files: read as Helm reads them, merged as Helm merges them, and searched for secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.values_files import (
    ValuesFileError,
    find_secret_values,
    load_values_files,
    merge_values,
    parse_values,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("y", True),
        ("Off", False),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("12:30:45", "12:30:45"),
        ("1e3", 1000.0),
        ("0x1F", 31),
        ("0X1F", 31),
        ("0B1", 1),
        ("0O17", 15),
        ("1e3_0", 1e30),
        ("+.1_0", 0.1),
        (".1_0", 0.1),
        ("._1", "._1"),
        (".1__0", ".1__0"),
        (".1e2", 10.0),
        ("0o17", 15),
        ("017", 15),
        ("1_000", 1000),
        ("-1.5", -1.5),
        ("1.2.3", "1.2.3"),
        ("09", 9.0),
        ("~", None),
        ("", None),
        ("'123'", "123"),
        ("/var/run", "/var/run"),
    ],
)
def test_scalars_are_what_helm_takes_them_for(text: str, value: Any) -> None:
    parsed = parse_values(f"key: {text}")["key"]
    assert (parsed, type(parsed)) == (value, type(value))


# Documents that Helm accepts, with their values: tabs anywhere except in indentation, and document end markers.
TABS_AND_ENDS: list[tuple[str, Any]] = [
    ("a: b\t\nc: d\n", {"a": "b", "c": "d"}),
    ("a:\tb\t# c\n", {"a": "b"}),
    ('a: "b" \t # c\n', {"a": "b"}),
    ("a: true\t\nc: 1\t\n", {"a": True, "c": 1}),
    ("a: b\t \tc d\t\n", {"a": "b\t \tc d"}),
    ("a:\t\n  b: c\t\n  d:\n  - e\t\n", {"a": {"b": "c", "d": ["e"]}}),
    ("a: b\t\n  c\n", {"a": "b c"}),
    ('{\n\t"a": {\n\t\t"b": [1,\t2]\n\t}\n}\n', {"a": {"b": [1, 2]}}),
    ("a: b\n---\n", {"a": "b"}),
    ("a: b\t\n---\n", {"a": "b"}),
    ("---\na: b\n...\n---\n# the end\n", {"a": "b"}),
]


@pytest.mark.parametrize(("text", "values"), TABS_AND_ENDS)
def test_tabs_and_an_end_of_the_document_are_read_as_helm_reads_them(text: str, values: Any) -> None:
    assert parse_values(text) == values


def test_keys_become_text() -> None:
    assert parse_values("{1: a, true: b, 1.5: c, 2.0: d}") == {"1": "a", "true": "b", "1.5": "c", "2": "d"}


def test_what_is_merged_comes_first() -> None:
    """In Helm, a merge key after a key that is written out overrides that key."""
    base = "base: &base {level: INFO, output: stderr}\n"
    values = parse_values(f"{base}log:\n  <<: *base\n  level: DEBUG\n")
    assert values["log"] == {"level": "DEBUG", "output": "stderr"}
    for merged in ("*base", "[*base]"):
        with pytest.raises(ValuesFileError, match=r"line 4: the key 'level' stands before a << .*: << goes first"):
            parse_values(f"{base}log:\n  level: DEBUG\n  <<: {merged}\n")
    assert parse_values(f"{base}log:\n  format: json\n  <<: *base\n")["log"]["level"] == "INFO"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {}\na: 2", "line 3: the key 'a' occurs twice"),
        ("- a", "holds a list; write a map of keys"),
        ("SECRET", "holds a single value; write a map of keys"),
        ("a: [1", "line "),
        ("a: 1\n---\nb: 2", "line 2: a second document begins; put it into a file of its own"),
        ("---\n---\na: 1", "line 2: a second document begins"),
        ("a:\n\tb: 1", "line 2: found character '\\t' that cannot start any token"),
        ("a:\n-\tb: 1", "line 2: found character '\\t' that cannot start any token"),
        ("a: &x [*x]", "line "),
        ("password: *SECRET", "line 1: an alias of which there is no anchor; put text that begins with * in quotes"),
        ("password: !SECRET", "line 1: a tag that values do not have; put text that begins with ! in quotes"),
        ("password: !SECRET!x", "line 1: a tag that values do not have"),
        ("a: &SECRET 1\nb: &SECRET 2", "line 2: an anchor that there was before"),
        ("a: \0", "character 3 is a control character"),
        ("a: !!binary aGVsbG8=", "holds a value with a tag"),
        ("a: !!set {x}", "holds a value with a tag"),
        ("a: !!timestamp 2001-01-01", "holds a value with a tag"),
        ('a: "\\ud800"', "holds half of a character"),
        ("a: " + "[" * 300 + "]" * 300, "goes deeper than 100 levels"),
        ("a: " + "9" * 5000, "holds a number or a date that cannot be read"),
        (
            "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
            + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
            "holds more than 100000 values, by aliases of aliases",
        ),
        ("a: .inf", "JSON has no infinite number"),
        ("a: " + "9" * 400, "JSON has no infinite number"),
        ("a: 0x" + "f" * 5000, "JSON has no infinite number"),
        ("a: !!python/object:os.system {}", "line 1: a tag that values do not have"),
    ],
)
def test_what_is_no_values_file_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ValuesFileError) as caught:
        parse_values(text)
    assert message in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_alias_is_a_value_of_its_own() -> None:
    values = parse_values("a: &x {k: [1]}\nb: *x\nc: {<<: *x, l: 2}")
    values["a"]["k"].append(2)
    assert values == {"a": {"k": [1, 2]}, "b": {"k": [1]}, "c": {"k": [1], "l": 2}}


def test_later_files_win_key_by_key_lists_whole_and_null_stays_for_helm(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("a: {b: 1, c: [1, 2]}\nd: {e: 1}\n", encoding="utf-8")
    (tmp_path / "second.yaml").write_bytes("\ufeffa: {c: [3]}\r\nd: null\r\n".encode())
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    merged = load_values_files(["first.yaml", "second.yaml", "empty.yaml"], tmp_path)
    assert merged == {"a": {"b": 1, "c": [3]}, "d": None}


def test_every_unusable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    (tmp_path / "large.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "directory").mkdir()
    with pytest.raises(ValuesFileError) as caught:
        load_values_files(["latin.yaml", "absent.yaml", "large.yaml", "directory"], tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["latin.yaml", "absent.yaml", "large.yaml", "directory"]
    assert "byte 3 is not UTF-8" in lines[0]
    assert "No such file" in lines[1]


# Forty shapes a run. No deadline, because a slow machine is not a fault.
law = settings(max_examples=40, deadline=None)

maps = st.recursive(
    st.none() | st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
).filter(lambda value: isinstance(value, dict))


@pytest.mark.slow
@law
@given(maps, maps, maps)
def test_merging_is_associative_and_idempotent_and_touches_neither_side(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    texts = repr((first, second, third))
    assert merge_values(first, first) == first == merge_values(first, {}) == merge_values({}, first)
    if all_maps_meet_maps(first, second, third):
        assert merge_values(merge_values(first, second), third) == merge_values(first, merge_values(second, third))
    assert repr((first, second, third)) == texts


def all_maps_meet_maps(*levels: dict[str, Any]) -> bool:
    """Whether no map meets anything but a map at the same path. Where one does, even Helm's own merge depends on the
    order."""
    for key in {key for level in levels for key in level}:
        present = [level[key] for level in levels if key in level]
        kinds = {isinstance(value, dict) for value in present}
        if len(kinds) > 1 or (True in kinds and not all_maps_meet_maps(*present)):
            return False
    return True


PRIVATE_KEY_HEAD = "-----BEGIN " + "PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"auth": {"adminPassword": "x"}}, ["auth.adminPassword"]),
        ({"extraEnv": [{"name": "DB_PASSWORD", "value": "x"}]}, ["extraEnv[0].value"]),
        ({"a": {"b.c/d": {"apiKey": "x"}}}, ['a["b.c/d"].apiKey']),
        ({"a": [PRIVATE_KEY_HEAD]}, ["a[0]"]),
        ({"url": "postgres://me:pw@host/db"}, ["url"]),
        ({"admin": {"password": 12345678, "apiToken": 1.5}}, ["admin.password", "admin.apiToken"]),
        ({"smtp": {"pass": "x", "pwd": "x", "smtpPass": 1}}, ["smtp.pass", "smtp.pwd", "smtp.smtpPass"]),
        ({"tokens": 3, "bypass": "x", "passwordLength": 12, "tokenTTL": 3600, "createProxyToken": True}, []),
        ({"url": "https://host/path?x=1"}, []),
        (
            {"auth": {"teleportConfig": {"auth_service": {"tokens": ["proxy:abc"]}}}},
            ["auth.teleportConfig.auth_service.tokens[0]"],
        ),
        ({"licenseSecretName": "license", "tls": {"existingSecretName": "x", "existingCASecretName": ""}}, []),
        ({"imagePullSecrets": [{"name": "x"}], "joinParams": {"tokenName": "t", "method": "kubernetes"}}, []),
        ({"postgres": {"secretName": "s", "secretKey": "uri"}}, []),
        ({"volumeAttributes": {"secretProviderClass": "teleport"}}, []),
        (
            {"annotations": {"pod": {"secret.reloader.stakater.com/reload": "tls", "example.com/token": "x"}}},
            ['annotations.pod["example.com/token"]'],
        ),
        ({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, []),
        ({"createProxyToken": True, "token": "", "password": None}, []),
    ],
)
def test_what_looks_like_a_secret_is_found_by_path(values: dict[str, Any], paths: list[str]) -> None:
    assert find_secret_values(values) == paths
