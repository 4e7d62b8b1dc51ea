"""Laws of the values patch, tested with generated values of every shape that a user may have written."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.teleport_values import (
    CA_PATH,
    AccessGraphPatch,
    AuditLog,
    ValuesConflict,
    effective_auth_values,
    mount_entry,
    patch_values,
    unpatch_values,
    volume_entry,
)

Values = dict[str, Any]

# Forty shapes a run. No deadline, because a slow machine is not a fault.
law = settings(max_examples=40, deadline=None)

names = st.text("abcdefgh-", min_size=1, max_size=6)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | names
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
)
volumes = st.lists(
    st.builds(lambda name, source: {"name": f"user-{name}", "secret": {"secretName": source}}, names, names), max_size=3
)
mounts = st.lists(
    st.builds(lambda name, path: {"name": f"user-{name}", "mountPath": f"/user/{path}"}, names, names), max_size=3
)
annotations = st.fixed_dictionaries({}, optional={"pod": st.dictionaries(names, names), "deployment": anything})
configuration = st.fixed_dictionaries(
    {},
    optional={
        "teleport": st.dictionaries(names, anything, max_size=2),
        "access_graph": st.fixed_dictionaries({}, optional={"insecure": st.just(False), "tuning": anything}),
    },
)


def section(*, with_auth: bool) -> st.SearchStrategy[Values]:
    """One level of values (the root, or `auth`), with the parts that the patch touches and with parts that it does not
    know."""
    optional: dict[str, st.SearchStrategy[Any]] = {
        "extraVolumes": volumes | st.none(),
        "extraVolumeMounts": mounts | st.none(),
        "annotations": annotations,
        "teleportConfig": configuration,
        "highAvailability": anything,
        "extraEnv": anything,
    }
    if with_auth:
        optional |= {"auth": section(with_auth=False), "proxy": anything, "clusterName": names}
    return st.fixed_dictionaries({}, optional=optional)


users_values = section(with_auth=True)
patches = st.builds(
    AccessGraphPatch,
    endpoint=st.just("graph.example.svc:443"),
    ca_checksum=names,
    audit_log=st.none() | st.builds(AuditLog, enabled=st.booleans(), start_date=st.none() | names),
) | st.just(AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum=None))

OWNED = {
    ("teleportConfig", "access_graph", "enabled"),
    ("teleportConfig", "access_graph", "endpoint"),
    ("teleportConfig", "access_graph", "ca"),
    ("teleportConfig", "access_graph", "audit_log", "enabled"),
    ("teleportConfig", "access_graph", "audit_log", "start_date"),
    ("annotations", "pod", "checksum/access-graph-ca"),
    # The patch appends to these; that is a law of its own.
    ("extraVolumes",),
    ("extraVolumeMounts",),
}


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every path to something that is not a map. The chart ignores an empty map and a null."""
    if isinstance(value, dict):
        return {where: leaf for key, inner in value.items() for where, leaf in leaves(inner, (*path, key)).items()}
    return {} if value is None else {path: value}


def not_owned(effective: Values) -> dict[tuple[str, ...], Any]:
    return {path: leaf for path, leaf in leaves(effective).items() if path not in OWNED}


@pytest.mark.slow
@law
@given(users_values, patches)
def test_patching_twice_is_patching_once(values: Values, patch: AccessGraphPatch) -> None:
    once = patch_values(values, patch)
    assert patch_values(once, patch) == once


@pytest.mark.slow
@law
@given(users_values, patches)
def test_the_input_is_not_touched(values: Values, patch: AccessGraphPatch) -> None:
    before = copy.deepcopy(values)
    patched = patch_values(values, patch)
    assert values == before
    # The result shares no part with the input: changing the one leaves the other.
    patched.setdefault("auth", {})["probe"] = 1
    for key in ("extraVolumes", "annotations", "proxy", "teleportConfig"):
        if isinstance(patched.get(key), list | dict):
            patched[key].clear()
    assert values == before


@pytest.mark.slow
@law
@given(users_values, patches)
def test_a_later_patch_has_the_last_word_on_the_checksum_only(values: Values, patch: AccessGraphPatch) -> None:
    if not patch.brings_ca:
        return
    renewed = AccessGraphPatch(**{**vars(patch), "ca_checksum": "renewed"})
    assert patch_values(patch_values(values, patch), renewed) == patch_values(values, renewed)


@pytest.mark.slow
@law
@given(users_values, patches)
def test_what_the_patch_does_not_own_stays_as_it_is_for_auth(values: Values, patch: AccessGraphPatch) -> None:
    before, after = effective_auth_values(values), effective_auth_values(patch_values(values, patch))
    for part in (before, after):
        part.pop("auth", None)
    assert not_owned(after) == not_owned(before)


@pytest.mark.slow
@law
@given(users_values, patches)
def test_outside_of_auth_nothing_changes(values: Values, patch: AccessGraphPatch) -> None:
    patched = patch_values(values, patch)
    patched.pop("auth", None)
    assert patched == {key: value for key, value in values.items() if key != "auth"}


@pytest.mark.slow
@law
@given(users_values, patches)
def test_lists_are_appended_to(values: Values, patch: AccessGraphPatch) -> None:
    before, after = effective_auth_values(values), effective_auth_values(patch_values(values, patch))
    added = [volume_entry()] if patch.brings_ca else []
    assert (after.get("extraVolumes") or []) == (before.get("extraVolumes") or []) + added
    added = [mount_entry()] if patch.brings_ca else []
    assert (after.get("extraVolumeMounts") or []) == (before.get("extraVolumeMounts") or []) + added


@pytest.mark.slow
@law
@given(users_values, patches)
def test_auth_gets_the_whole_configuration(values: Values, patch: AccessGraphPatch) -> None:
    after = effective_auth_values(patch_values(values, patch))
    theirs = (effective_auth_values(values).get("teleportConfig") or {}).get("access_graph") or {}
    assert after["teleportConfig"]["access_graph"] == {**theirs, **patch.configuration()}


@pytest.mark.slow
@law
@given(section(with_auth=False), patches)
def test_the_root_form_and_the_auth_form_give_auth_the_same(values: Values, patch: AccessGraphPatch) -> None:
    from_root = effective_auth_values(patch_values(values, patch))
    from_auth = effective_auth_values(patch_values({"auth": values}, patch))
    for effective in (from_root, from_auth):
        effective.pop("auth", None)
    assert from_root == from_auth


@pytest.mark.slow
@law
@given(users_values, patches)
def test_taking_the_patch_out_restores_the_values(values: Values, patch: AccessGraphPatch) -> None:
    restored = unpatch_values(patch_values(values, patch), patch)
    # The chart sees the same values, for auth and for everything else.
    assert comparable(restored) == comparable(values)
    # If the user wrote nothing empty and nothing twice, the values are identical too.
    if not says_nothing(values.get("auth", {"x": 1}), values):
        assert restored == values


def comparable(values: Values) -> Values:
    effective = effective_auth_values(values)
    effective.pop("auth", None)
    rest = {key: value for key, value in values.items() if key != "auth"}
    for key in ("extraVolumes", "extraVolumeMounts"):
        effective[key] = effective.get(key) or []
    return {"auth": leaves(effective), "rest": rest}


def says_nothing(auth: Any, values: Values) -> bool:
    """Whether `auth` has an empty map, a null, or a list that repeats the root's: these make no difference to the
    chart."""
    if any(
        key in auth and (auth[key] or []) == (values.get(key) or []) for key in ("extraVolumes", "extraVolumeMounts")
    ):
        return True

    def empty(value: Any) -> bool:
        return value is None or value == {} or (isinstance(value, dict) and any(map(empty, value.values())))

    return empty(auth)


contradictions = st.sampled_from(
    [
        ("endpoint", "other.example:443"),
        ("enabled", False),
        ("enabled", "true"),
        ("insecure", True),
        ("insecure", "yes"),
        ("ca", "/other/ca.pem"),
    ]
)


@pytest.mark.slow
@law
@given(users_values, contradictions, st.booleans())
def test_a_contradiction_is_refused_and_both_sides_named(
    values: Values, contradiction: tuple[str, Any], at_root: bool
) -> None:
    key, value = contradiction
    patch = AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum="x")
    level = values if at_root else values.setdefault("auth", {})
    level.setdefault("teleportConfig", {}).setdefault("access_graph", {})[key] = value
    if at_root:  # `auth` wins over the root, so it must not say otherwise
        values.get("auth", {}).pop("teleportConfig", None)
    with pytest.raises(ValuesConflict) as caught:
        patch_values(values, patch)
    assert len(caught.value.conflicts) == 1
    assert f"auth.teleportConfig.access_graph.{key}" in str(caught.value)
    assert repr(value) in str(caught.value)
    assert repr(patch.configuration().get(key, CA_PATH)) in str(caught.value)


@pytest.mark.slow
@law
@given(users_values, st.sampled_from([("enabled", False), ("start_date", "2026-02-28T00:00:00Z")]), st.booleans())
def test_another_export_of_the_audit_log_is_refused_and_both_sides_named(
    values: Values, contradiction: tuple[str, Any], at_root: bool
) -> None:
    key, value = contradiction
    ours = {"enabled": True, "start_date": "2026-01-31T00:00:00Z"}
    patch = AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum=None, audit_log=AuditLog(**ours))
    level = values if at_root else values.setdefault("auth", {})
    section = level.setdefault("teleportConfig", {}).setdefault("access_graph", {})
    section["audit_log"] = {**ours, key: value}
    if at_root:  # `auth` wins over the root, so it must not say otherwise
        values.get("auth", {}).pop("teleportConfig", None)
    with pytest.raises(ValuesConflict) as caught:
        patch_values(values, patch)
    assert len(caught.value.conflicts) == 1
    assert f"auth.teleportConfig.access_graph.audit_log.{key}" in str(caught.value)
    assert repr(value) in str(caught.value)
    assert repr(ours[key]) in str(caught.value)


@pytest.mark.slow
@law
@given(users_values, st.booleans())
def test_a_taken_volume_name_is_refused_and_both_sides_named(values: Values, at_root: bool) -> None:
    theirs = {"name": "tag-ca", "secret": {"secretName": "mine"}}
    patch = AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum="x")
    put_entry(values, "extraVolumes", theirs, at_root)
    with pytest.raises(ValuesConflict) as caught:
        patch_values(values, patch)
    assert repr(theirs) in str(caught.value)
    assert repr(volume_entry()) in str(caught.value)


@pytest.mark.slow
@law
@given(
    users_values,
    st.booleans(),
    st.sampled_from(["", "/", "//", "/.", "/ca.pem", "/sub/directory"]),
    st.sampled_from(["mine", "tag-ca"]),
)
def test_a_taken_mount_path_is_refused_and_both_sides_named(
    values: Values, at_root: bool, suffix: str, name: str
) -> None:
    theirs = {"name": name, "mountPath": f"/var/run/access-graph{suffix}", "subPath": "x"}
    patch = AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum="x")
    put_entry(values, "extraVolumeMounts", theirs, at_root)
    with pytest.raises(ValuesConflict) as caught:
        patch_values(values, patch)
    assert repr(theirs) in str(caught.value)
    assert repr(mount_entry()) in str(caught.value)


def put_entry(values: Values, key: str, entry: Values, at_root: bool) -> None:
    level = values if at_root else values.setdefault("auth", {})
    level[key] = [*(level.get(key) or []), entry]
    if at_root:
        values.get("auth", {}).pop(key, None)
