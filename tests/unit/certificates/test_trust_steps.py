"""One `up` changes either where the certificate comes from, or whom Teleport trusts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.trust_steps import TrustRecord, trust_problem

pytestmark = pytest.mark.unit

A, B, C = "a", "b", "c"
records = st.builds(
    TrustRecord,
    mode=st.sampled_from(["generated", "certManager", "existingSecret"]),
    authorities=st.none() | st.frozensets(st.sampled_from([A, B, C]), min_size=1),
    protected=st.booleans(),
    ends=st.none() | st.just("2036-01-01T00:00:00Z"),
)


def record(mode: str, *authorities: str, protected: bool = False) -> TrustRecord:
    return TrustRecord(mode=mode, authorities=frozenset(authorities) or None, protected=protected)


@pytest.mark.slow
@given(records)
def test_the_first_up_may_be_anything_and_staying_is_always_allowed(wanted: TrustRecord) -> None:
    assert trust_problem(None, wanted) is None
    assert trust_problem(wanted, wanted) is None


@pytest.mark.slow
@given(records)
def test_a_record_survives_the_ledger(wanted: TrustRecord) -> None:
    assert TrustRecord.parse(wanted.stored()) == wanted


def test_a_ledger_without_a_record_is_a_stack_that_begins() -> None:
    assert TrustRecord.parse(None) is None


@pytest.mark.slow
@given(records, records)
def test_whatever_is_allowed_leaves_somebody_trusted_throughout(before: TrustRecord, after: TrustRecord) -> None:
    """Of two bundles in succession, each has an authority of the other, so one certificate can be valid for both."""
    if trust_problem(before, after) is None and before.authorities is not None and after.authorities is not None:
        assert before.authorities & after.authorities
    if trust_problem(before, after) is None and before.mode != after.mode:
        assert before.authorities == after.authorities


def test_the_way_from_ones_own_authority_to_cert_manager_and_back() -> None:
    own, both, issued = "own", ("own", "issuer"), "issuer"
    way = [
        record("generated", own, protected=True),
        record("generated", *both),
        record("certManager", *both),
        record("certManager", issued),
        record("certManager", *both),
        record("generated", *both, protected=True),
        record("generated", own, protected=True),
    ]
    assert [trust_problem(before, after) for before, after in itertools.pairwise(way)] == [None] * 6


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            record("generated", A),
            record("certManager", B),
            "tls.mode: certManager differs from generated, the stack's present mode",
        ),
        (record("generated", A), record("certManager", A, B), "in tls.trustBundleFile, still in mode generated"),
        (record("certManager", B), record("generated", A), "first `up` with tls.nextAuthority in mode certManager"),
        (record("generated", A), record("certManager"), "or set tls.trust to system"),
        (
            record("generated", A, B, protected=True),
            record("existingSecret", A, B),
            "would delete the protected key of the stack's own authority; set tls.protect to false",
        ),
        (record("certManager", A), record("certManager", B), "has none of the authorities that Teleport trusts now"),
    ],
)
def test_a_refusal_names_the_way(before: TrustRecord, after: TrustRecord, words: str) -> None:
    assert words in str(trust_problem(before, after))


@pytest.mark.slow
@given(records, records)
def test_where_nobody_verifies_only_a_protected_key_stands_in_the_way(before: TrustRecord, after: TrustRecord) -> None:
    problem = trust_problem(before, after, verified=False)
    deletes = before.mode == "generated" != after.mode and before.protected
    assert (problem is not None) == deletes
    assert problem is None or "would delete the protected key" in str(problem)


def test_bundle_and_system_may_take_turns_within_a_mode() -> None:
    assert trust_problem(record("certManager", A), record("certManager")) is None
    assert trust_problem(record("certManager"), record("certManager", A)) is None
