"""A bundle that a person wrote is either read completely, or refused with the reason."""

from __future__ import annotations

import re
import ssl
import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from components.settings.relations.files import LARGEST_FILE
from components.trust_bundles import (
    TrustBundleError,
    authorities_of,
    authority_identities,
    joined,
    parse_database_bundle,
    parse_trust_bundle,
)
from tests.unit.certificates.pki import NOW, authority, server

pytestmark = pytest.mark.unit

ONE, TWO, THREE = authority("One"), authority("Two"), authority("Three")
RENEWED = authority("One", key=ONE.key, ends=NOW + timedelta(days=7300))
EXPIRED = authority("Gone", ends=NOW - timedelta(minutes=1))
NOT_SIGNING = authority("Idle", signs=False)
LEAF = server(ONE)
ONE_DER = ONE.certificate.public_bytes(Encoding.DER)
# The last byte belongs to the signature.
DAMAGED = ssl.DER_cert_to_PEM_cert(ONE_DER[:-1] + bytes([ONE_DER[-1] ^ 1]))

law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_a_bundle_keeps_its_order_and_loses_what_is_twice() -> None:
    found = parse_trust_bundle(f"# ours\r\n{TWO.pem}\n\n{ONE.pem}{TWO.pem}".replace("\n", "\r\n"), now=NOW)
    assert [one.subject for one in found] == ["CN=Two", "CN=One"]
    assert [one.pem for one in found] == [TWO.pem, ONE.pem]
    assert found[0].not_after == NOW + timedelta(days=3650)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no PEM certificate"),
        ("\r\n", "has no PEM certificate"),
        ("hello", "has no PEM block"),
        (ONE.pem + ONE.key_pem, "block 2 is a private key"),
        (ONE.pem + ONE.key_pem[:-30], "block 2 is a private key"),
        (ONE.pem[:-30], "certificate 1 is cut off"),
        (ONE.pem + TWO.pem[: len(TWO.pem) // 2], "certificate 2 is cut off"),
        (ONE.pem[:-30] + "\n" + TWO.pem, "certificate 1 is cut off"),
        (ONE.pem + TWO.pem.partition("\n")[2], "part of a certificate outside of any whole block"),
        (ONE.pem.replace("MII", "NII", 1), "certificate 1 is damaged"),
        (ONE.pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), "block 1 is 'TRUSTED CERTIFICATE', not a CERTIFICATE"),
        (NOT_SIGNING.pem, "certificate 1 (CN=Idle) is no authority's"),
        (ONE.pem + LEAF.pem, "certificate 2 (CN=Teleport Access Graph) is no authority's"),
        (EXPIRED.pem, "certificate 1 (CN=Gone) expired at 2026-11-24 11:59 UTC"),
    ],
)
def test_a_bundle_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(TrustBundleError) as caught:
        parse_trust_bundle(text, now=NOW)
    assert words in str(caught.value)
    assert len(caught.value.problems) == 1
    assert ONE.key_pem.splitlines()[1] not in str(caught.value)


def test_everything_wrong_with_a_bundle_is_said_at_once() -> None:
    with pytest.raises(TrustBundleError) as caught:
        parse_trust_bundle(EXPIRED.pem + LEAF.pem, now=NOW)
    assert len(caught.value.problems) == 2


@pytest.mark.slow
@law
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
@example("-----BEGIN CERTIFICATE-----" * 40_000)
@example("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TrustBundleError):
        parse_trust_bundle(text, now=NOW)


GOOD = st.sampled_from([ONE.pem, TWO.pem, THREE.pem, RENEWED.pem])
NOISE = st.sampled_from(["", "\n", "# comment\n", "subject=CN = One\r\n", "\t \n", "\ufeff", "é\n"])


@pytest.mark.slow
@law
@given(st.lists(st.tuples(NOISE, GOOD), min_size=1, max_size=8), st.booleans())
def test_good_certificates_are_found_whatever_is_around_them(parts: list[tuple[str, str]], crlf: bool) -> None:
    text = "".join(noise + pem for noise, pem in parts)
    found = parse_trust_bundle(text.replace("\n", "\r\n") if crlf else text, now=NOW)
    assert [one.pem for one in found] == list(dict.fromkeys(pem for _, pem in parts))


@pytest.mark.slow
@law
@given(st.lists(GOOD, max_size=6), st.lists(GOOD, max_size=6))
def test_joining_is_the_union_in_order(first: list[str], second: list[str]) -> None:
    bundle = joined(["".join(first), "".join(second)])
    assert bundle == "".join(dict.fromkeys([*first, *second]))
    assert joined([bundle, bundle]) == bundle


@pytest.mark.slow
@law
@given(st.data())
def test_a_bundle_with_one_thing_broken_gives_an_error_or_the_whole_set(data: st.DataObject) -> None:
    """A certificate that silently goes missing would be an authority that Teleport silently does not trust."""
    parts = data.draw(st.permutations([ONE.pem, TWO.pem, THREE.pem]))
    bundle = "".join(parts)
    at = data.draw(st.integers(0, len(bundle) - 1))
    kind = data.draw(st.sampled_from(["drop", "replace", "insert"]))
    sign = data.draw(st.sampled_from("\n\r -=Az0\x00\ufffd"))
    broken = {
        "drop": bundle[:at] + bundle[at + 1 :],
        "replace": bundle[:at] + sign + bundle[at + 1 :],
        "insert": bundle[:at] + sign + bundle[at:],
    }[kind]
    try:
        found = [one.pem for one in parse_trust_bundle(broken, now=NOW)]
    except TrustBundleError:
        return
    # A certificate with a changed issuer passes for one that the other issuer signed, so only self-signed certificates
    # are compared.
    assert [pem for pem in found if is_self_signed(pem)] == [pem for pem in parts if pem in found]
    assert len(found) == 3


def is_self_signed(pem: str) -> bool:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return certificate.issuer == certificate.subject


def test_a_signature_that_lacks_bits_is_refused() -> None:
    """A lenient DER parser accepts the signature if the missing bits are zeros, and the signature then verifies."""
    for certificate in (authority(f"Maker {number}").certificate for number in range(12)):
        der = bytearray(certificate.public_bytes(Encoding.DER))
        der[-len(certificate.signature) - 1] = 1
        with pytest.raises(TrustBundleError):
            parse_trust_bundle(ssl.DER_cert_to_PEM_cert(bytes(der)), now=NOW)


def test_a_name_of_another_kind_of_text_is_refused_as_one_that_cannot_be_read() -> None:
    der = ONE.certificate.public_bytes(Encoding.DER)
    name = ONE.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value.encode()
    at = der.index(name) - 2
    changed = der[:at] + b"\x03" + der[at + 1 :]
    with pytest.raises(TrustBundleError, match="has a part that cannot be read"):
        parse_trust_bundle(ssl.DER_cert_to_PEM_cert(changed), now=NOW)


@pytest.mark.slow
@law
@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_self_signed_certificate_with_one_byte_changed_is_refused(at: int, change: int) -> None:
    der = bytearray(ONE.certificate.public_bytes(Encoding.DER))
    der[at % len(der)] ^= change
    try:
        (found,) = parse_trust_bundle(ssl.DER_cert_to_PEM_cert(bytes(der)), now=NOW)
    except TrustBundleError:
        return
    assert not is_self_signed(found.pem)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN ", "A" * 63]
)
def test_the_largest_file_is_refused_within_seconds(piece: str) -> None:
    """The settings accept files up to 1 MiB. A parser that looks ahead from each line would take hours."""
    began = time.monotonic()
    with pytest.raises(TrustBundleError):
        parse_trust_bundle(piece * (LARGEST_FILE // len(piece)), now=NOW)
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_the_largest_file_of_certificates_is_one_set() -> None:
    text = (ONE.pem + TWO.pem) * (LARGEST_FILE // len(ONE.pem + TWO.pem))
    assert [one.pem for one in parse_trust_bundle(text, now=NOW)] == [ONE.pem, TWO.pem]


def test_a_databases_bundle_may_have_what_is_over_and_a_server_that_vouches_for_itself() -> None:
    itself = authority("Database", is_authority=False)
    found = parse_database_bundle(EXPIRED.pem + itself.pem + ONE.pem + ONE.pem, now=NOW)
    assert [one.pem for one in found] == [EXPIRED.pem, itself.pem, ONE.pem]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no PEM certificate"),
        (EXPIRED.pem, "has none that is still valid, the last ended at 2026-11-24 11:59 UTC"),
        (ONE.pem + LEAF.pem, "certificate 2 (CN=Teleport Access Graph) is no authority's"),
        (ONE.pem + ONE.key_pem, "block 2 is a private key"),
        (ONE.pem[:-30], "certificate 1 is cut off"),
        (DAMAGED, "certificate 1 (CN=One) is damaged: its signature does not match its content"),
    ],
)
def test_a_databases_bundle_that_cannot_be_used_says_why(text: str, words: str) -> None:
    with pytest.raises(TrustBundleError, match=re.escape(words)):
        parse_database_bundle(text, now=NOW)


def test_a_renewed_authority_is_the_same_and_one_with_another_key_is_not() -> None:
    one, renewed, other = map(authorities_of, (ONE.pem, RENEWED.pem, authority("One").pem))
    assert authority_identities(one) == authority_identities(renewed)
    assert authority_identities(one) != authority_identities(other)
    assert len(authority_identities(authorities_of(joined([ONE.pem, TWO.pem, RENEWED.pem])))) == 2


def test_what_was_joined_is_read_again_as_it_was_given() -> None:
    given = parse_trust_bundle(ONE.pem + TWO.pem, now=NOW)
    assert authorities_of(joined(one.pem for one in given)) == given
    assert authorities_of("") == ()
