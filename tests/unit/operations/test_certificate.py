"""A certificate and key that TAG cannot serve, or Teleport cannot verify, are reported before any connection is
made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from operations.checks.certificate import check_pair
from operations.findings import Finding, Outcome
from tests.unit.certificates.pki import HOST, NOW, Pair, authority, of_unknown_version, server

pytestmark = pytest.mark.unit

ROOT = authority("Root")
OTHER = authority("Other")
MIDDLE = authority("Middle", signer=ROOT)
GOOD = server(ROOT)


def check(pair: Pair, **changes: Any) -> dict[str, Finding]:
    arguments: dict[str, Any] = {
        "names": [HOST],
        "trust": ROOT.pem,
        "now": NOW,
        "where": "Secret pair",
        "certificate": pair.pem.encode(),
        "key": pair.key_pem.encode(),
        **changes,
    }
    findings = check_pair(arguments.pop("certificate"), arguments.pop("key"), **arguments)
    return {finding.check.removeprefix("certificate."): finding for finding in findings}


def test_a_pair_that_fits_passes_everything() -> None:
    findings = check(GOOD)
    assert {name: finding.outcome for name, finding in findings.items()} == dict.fromkeys(
        ("pair", "names", "uses", "dates", "chain"), Outcome.PASS
    )
    assert findings["chain"].reason == "CN=Teleport Access Graph <- CN=Root"
    assert findings["names"].reason == HOST


ENCRYPTED = GOOD.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))


@pytest.mark.parametrize(
    ("pair", "changes", "name", "words"),
    [
        (GOOD, {"certificate": None}, "pair", "tls.crt has no readable PEM certificate"),
        (GOOD, {"certificate": b"\xff\xfe"}, "pair", "tls.crt has no readable PEM certificate"),
        (GOOD, {"certificate": of_unknown_version(GOOD.pem).encode()}, "pair", "no readable PEM certificate"),
        (GOOD, {"key": None}, "pair", "it has no tls.key"),
        (GOOD, {"key": b"\xff"}, "pair", "no readable PEM key"),
        (GOOD, {"key": ENCRYPTED}, "pair", "without a password"),
        (GOOD, {"key": OTHER.key_pem.encode()}, "pair", "tls.key belongs to another certificate"),
        (server(ROOT, names=b"no DER"), {}, "pair", "has a part that cannot be read; issue it anew"),
        (server(ROOT, names=()), {}, "names", "no subject alternative name, and the common name does not count"),
        (server(ROOT, names=("a.example.com",)), {}, "names", f"{HOST} is not in it, it has a.example.com"),
        (GOOD, {"names": [HOST, "b.example.com"]}, "names", "b.example.com is not in it"),
        (server(ROOT, names=("*.svc.cluster.local",)), {}, "names", "is not in it"),
        (server(ROOT, uses=(ExtendedKeyUsageOID.CLIENT_AUTH,)), {}, "uses", "serverAuth is not among"),
        (server(ROOT, ends=NOW), {}, "dates", "it ended at 2026-11-24 12:00 UTC"),
        (server(ROOT, begins=NOW + timedelta(hours=1)), {}, "dates", "it begins at 2026-11-24 13:00 UTC"),
        (GOOD, {"trust": OTHER.pem}, "chain", "its issuer is CN=Root, and the bundle has CN=Other"),
        # A machine's trust store has more than a hundred authorities, and their names would say nothing.
        (
            GOOD,
            {"trust": OTHER.pem * 11, "store": "this machine's trust store"},
            "chain",
            "its issuer is CN=Root, and this machine's trust store has 11 others; put the issuer's root into this "
            "machine's trust store, and",
        ),
        # An authority with the right name that did not sign the certificate.
        (GOOD, {"trust": authority("Root").pem}, "chain", "its issuer is CN=Root, and the bundle has CN=Root"),
        # A bundle that was not renewed, although its root is the right one.
        (
            GOOD,
            {"trust": authority("Root", key=ROOT.key, ends=NOW).pem},
            "chain",
            "the authority CN=Root ended at 2026-11-24 12:00 UTC; have it renewed, or another authority sign",
        ),
        (
            GOOD,
            {"trust": authority("Root", key=ROOT.key, begins=NOW + timedelta(hours=1)).pem},
            "chain",
            "the authority CN=Root begins at 2026-11-24 13:00 UTC",
        ),
        (GOOD, {"trust": authority("Root", key=ROOT.key, is_authority=False).pem}, "chain", "put the issuer's root"),
        (server(MIDDLE), {}, "chain", "intermediate certificates after the server's in tls.crt"),
    ],
)
def test_what_does_not_fit_is_named(pair: Pair, changes: dict[str, Any], name: str, words: str) -> None:
    findings = check(pair, **changes)
    wrong = {found: finding for found, finding in findings.items() if finding.outcome is Outcome.FAIL}
    assert set(wrong) == {name}
    assert words in wrong[name].reason
    assert "PRIVATE KEY" not in "".join(finding.reason for finding in findings.values())


@pytest.mark.parametrize("name", ["graph.example.com", "GRAPH.example.com"])
def test_a_wildcard_stands_for_one_label(name: str) -> None:
    assert check(server(ROOT, names=("*.example.com",)), names=[name])["names"].outcome is Outcome.PASS
    assert check(server(ROOT, names=("*.example.com",)), names=["a.b.example.com"])["names"].outcome is Outcome.FAIL


def test_intermediate_authorities_are_taken_from_the_chain() -> None:
    pair = server(MIDDLE)
    findings = check(pair, certificate=(pair.pem + MIDDLE.pem).encode())
    assert findings["chain"].reason == "CN=Teleport Access Graph <- CN=Middle <- CN=Root"
    assert check(pair, trust=MIDDLE.pem)["chain"].outcome is Outcome.PASS


def test_authorities_that_signed_each_other_are_each_looked_at_once() -> None:
    """Twelve authorities with one name and one key form more than 479 million chains; the check must not follow
    each."""
    first = authority("Loop")
    loop = [first, *(authority("Loop", key=first.key) for _ in range(11))]
    pair = server(first)
    served = (pair.pem + "".join(one.pem for one in loop)).encode()
    assert check(pair, certificate=served)["chain"].outcome is Outcome.FAIL
    ends_well = check(pair, certificate=served, trust=OTHER.pem + authority("Loop", key=first.key).pem)
    assert ends_well["chain"].reason == "CN=Teleport Access Graph <- CN=Loop"


def test_a_renewed_authority_verifies_what_the_former_signed() -> None:
    assert check(GOOD, trust=OTHER.pem + authority("Root", key=ROOT.key).pem)["chain"].outcome is Outcome.PASS


@pytest.mark.parametrize("uses", [None, (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,)])
def test_without_limits_on_its_uses_a_certificate_may_be_a_servers(uses: Any) -> None:
    assert check(server(ROOT, uses=uses))["uses"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("life", "left", "outcome"),
    [
        (timedelta(days=90), timedelta(days=14), Outcome.PASS),
        (timedelta(days=90), timedelta(days=13), Outcome.NOT_PROVEN),
        (timedelta(hours=6), timedelta(hours=3), Outcome.PASS),
        (timedelta(hours=6), timedelta(hours=1), Outcome.NOT_PROVEN),
    ],
)
def test_a_renewal_that_stands_still_is_told(life: timedelta, left: timedelta, outcome: Outcome) -> None:
    pair = server(ROOT, begins=NOW + left - life, ends=NOW + left)
    assert check(pair)["dates"].outcome is outcome


def test_a_trust_store_that_is_not_here_proves_nothing() -> None:
    assert check(GOOD, trust=None)["chain"].outcome is Outcome.NOT_PROVEN
