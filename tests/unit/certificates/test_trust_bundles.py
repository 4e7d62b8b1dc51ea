"""A bundle that a person wrote is either the right set, or refused with the reason."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.trust_bundles import TrustBundleError, authority_identities, joined, parse_trust_bundle
from tests.unit.certificates.pki import NOW, authority, server

pytestmark = pytest.mark.unit

ONE, TWO, THREE = authority("One"), authority("Two"), authority("Three")
RENEWED = authority("One", key=ONE.key, ends=NOW + timedelta(days=7300))
EXPIRED = authority("Gone", ends=NOW - timedelta(minutes=1))
LEAF = server(ONE)


def test_a_bundle_keeps_its_order_and_loses_what_is_twice() -> None:
    found = parse_trust_bundle(f"# ours\r\n{TWO.pem}\n\n{ONE.pem}{TWO.pem}".replace("\n", "\r\n"), now=NOW)
    assert [one.subject for one in found] == ["CN=Two", "CN=One"]
    assert [one.pem for one in found] == [TWO.pem, ONE.pem]
    assert found[0].not_after == NOW + timedelta(days=3650)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no PEM certificate"),
        ("hello", "has no PEM certificate"),
        (ONE.pem + ONE.key_pem, "holds a private key"),
        (ONE.pem[:-30], "without its end line"),
        (ONE.pem + TWO.pem[: len(TWO.pem) // 2], "without its end line"),
        (ONE.pem.replace("MII", "NII", 1), "certificate 1 cannot be read"),
        (ONE.pem + LEAF.pem, "certificate 2 (CN=Teleport Access Graph) is no authority's"),
        (EXPIRED.pem, "certificate 1 (CN=Gone) expired at 2026-11-24 11:59 UTC"),
    ],
)
def test_a_bundle_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(TrustBundleError) as caught:
        parse_trust_bundle(text, now=NOW)
    assert words in str(caught.value)
    assert "PRIVATE KEY" not in str(caught.value)


def test_everything_wrong_with_a_bundle_is_said_at_once() -> None:
    with pytest.raises(TrustBundleError) as caught:
        parse_trust_bundle(EXPIRED.pem + LEAF.pem, now=NOW)
    assert len(caught.value.problems) == 2


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@example("-----BEGIN CERTIFICATE-----" * 40_000)
@example("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TrustBundleError):
        parse_trust_bundle(text, now=NOW)


GOOD = st.sampled_from([ONE.pem, TWO.pem, THREE.pem, RENEWED.pem])
NOISE = st.sampled_from(["", "\n", "# comment\n", "subject=CN = One\r\n", "\t \n", "\ufeff", "é\n"])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(NOISE, GOOD), min_size=1, max_size=8), st.booleans())
def test_good_certificates_are_found_whatever_is_around_them(parts: list[tuple[str, str]], crlf: bool) -> None:
    text = "".join(noise + pem for noise, pem in parts)
    found = parse_trust_bundle(text.replace("\n", "\r\n") if crlf else text, now=NOW)
    assert [one.pem for one in found] == list(dict.fromkeys(pem for _, pem in parts))


@given(st.lists(GOOD, max_size=6), st.lists(GOOD, max_size=6))
def test_joining_is_the_union_in_order(first: list[str], second: list[str]) -> None:
    bundle = joined(["".join(first), "".join(second)])
    assert bundle == "".join(dict.fromkeys([*first, *second]))
    assert joined([bundle, bundle]) == bundle


def test_a_renewed_authority_is_the_same_and_one_with_another_key_is_not() -> None:
    assert authority_identities(ONE.pem) == authority_identities(RENEWED.pem)
    assert authority_identities(ONE.pem) != authority_identities(authority("One").pem)
    assert len(authority_identities(joined([ONE.pem, TWO.pem, RENEWED.pem]))) == 2
