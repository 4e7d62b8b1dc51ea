"""From the host CAs that TAG accepts to those that it will accept: none that may be in use is lost, and none is added
unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.host_authorities import HostAuthority, parse_authorities
from components.host_authority_succession import Succession, stranger_problem, succession
from tests.unit.host_authorities.authorities import CLUSTER, NOW, authority, certificate

law = settings(max_examples=60, deadline=None)
ANY = st.frozensets(st.integers(1, 4))


def authorities(serials: Sequence[int] | frozenset[int]) -> tuple[HostAuthority, ...]:
    return parse_authorities("".join(authority(serial) for serial in sorted(serials))) if serials else ()


def pems(serials: Sequence[int] | frozenset[int]) -> list[str]:
    return [authority(serial) for serial in serials]


def follow(known: Sequence[int], given_: Sequence[int], former: str = "keep") -> Succession:
    return succession(CLUSTER, pems(known), authorities(given_), former=former, now=NOW)


@pytest.mark.slow
@law
@given(ANY, ANY)
def test_what_was_accepted_stays_accepted_until_it_is_dropped(known: frozenset[int], new: frozenset[int]) -> None:
    kept = succession(CLUSTER, pems(known), authorities(new), former="keep", now=NOW)
    assert kept.accepted == authorities(known | new)
    assert kept.leaving == ()
    dropped = succession(CLUSTER, pems(known), authorities(new), former="drop", now=NOW)
    assert dropped.accepted == authorities(new)
    assert set(dropped.leaving) == set(kept.kept) == set(authorities(known - new))


@law
@given(st.permutations([1, 2, 3]), st.permutations([1, 2, 3]))
def test_another_order_is_no_change(known: list[int], new: list[int]) -> None:
    same = follow(known, new)
    assert same.changes() is None
    assert same.reminder() is None
    assert same.accepted == follow([], [1, 2, 3]).accepted


def test_an_expired_one_is_not_kept() -> None:
    expired = certificate(serial=9, end=NOW - timedelta(seconds=1), start=NOW - timedelta(days=9))
    found = succession(CLUSTER, [expired], authorities([1]), former="keep", now=NOW)
    assert found.accepted == authorities([1])
    assert [one.pem for one in found.leaving] == [expired]


def test_a_preview_shows_who_comes_and_goes_by_fingerprint_and_subject() -> None:
    one, two = authorities([1])[0], authorities([2])[0]
    lines = {
        "+": f"  + {two.fingerprint} CN={CLUSTER},O={CLUSTER}",
        "-": f"  - {one.fingerprint} CN={CLUSTER},O={CLUSTER}",
    }
    changes = follow([1, 3], [2, 3], "drop").changes()
    assert changes is not None
    heading, *shown = changes.splitlines()
    assert heading == f"teleport.{CLUSTER}.hostAuthorities: this changes the host CAs that TAG accepts:"
    assert shown == sorted(lines.values(), key=lambda line: line[4:])


def test_what_is_kept_is_told_with_the_way_to_drop_it() -> None:
    reminder = follow([1, 2], [2]).reminder()
    assert reminder is not None
    first, *shown = reminder.splitlines()
    assert "set former to drop and `up` (docs/certificates.md):" in first
    assert shown == [f"  {authorities([1])[0].fingerprint} CN={CLUSTER},O={CLUSTER}"]


def test_a_set_that_lost_every_known_one_is_refused_until_each_of_it_is_pinned() -> None:
    two, three = (one.fingerprint for one in authorities([2]) + authorities([3]))
    for pins in ((), (two,), (authorities([1])[0].fingerprint,)):
        problem = stranger_problem(CLUSTER, pems([1]), authorities([2, 3]), pins)
        assert problem is not None
        assert problem.key == f"teleport.{CLUSTER}.hostAuthorities"
        assert f"({authorities([1])[0].fingerprint} CN={CLUSTER},O={CLUSTER})" in problem.rule
        assert f"set fingerprints to [{', '.join(sorted((two, three)))}]" in problem.remedy
    assert stranger_problem(CLUSTER, pems([1]), authorities([2, 3]), (two, three)) is None


def test_a_first_set_and_one_that_shares_a_ca_need_no_confirmation() -> None:
    assert stranger_problem(CLUSTER, [], authorities([1]), ()) is None
    assert stranger_problem(CLUSTER, pems([1, 2]), authorities([2, 3]), ()) is None
