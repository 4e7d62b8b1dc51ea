"""Host CAs: every form in which they may be given yields the same set; what must not be used is refused with the
reason."""

from __future__ import annotations

import hashlib
import json
import ssl
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from components.host_authorities import (
    HostAuthority,
    HostAuthorityError,
    load_host_authorities,
    parse_authorities,
    pinning_advice,
)
from tests.unit.host_authorities.authorities import (
    CLUSTER,
    NOW,
    authority,
    certificate,
    encoded,
    private_key,
    tctl_json,
)

law = settings(max_examples=60, deadline=None)


def inline(*certificates: str) -> Any:
    return SimpleNamespace(mode="inline", certificates=list(certificates), fingerprints=())


def file(path: str) -> Any:
    return SimpleNamespace(mode="file", path=path, fingerprints=())


def proxy(*fingerprints: str) -> Any:
    return SimpleNamespace(mode="proxy", address="proxy.example:443", ca_file=None, fingerprints=list(fingerprints))


def load(source: Any, root: Path = Path(), **changes: Any) -> tuple[HostAuthority, ...]:
    return load_host_authorities(source, **{"cluster": CLUSTER, "root": root, "now": NOW, **changes})


def fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def test_an_authority_tells_its_fingerprint_subject_and_end() -> None:
    (found,) = load(inline(authority()))
    assert found.pem == authority()
    assert found.fingerprint == fingerprint(authority())
    assert found.subject == f"CN={CLUSTER},O={CLUSTER}"
    assert found.not_after == NOW + timedelta(days=3650)


def test_every_form_gives_the_same_set(tmp_path: Path) -> None:
    one, two = authority(1), authority(2)
    expected = load(inline(one, two))
    assert len(expected) == 2
    forms = {
        "bundle.pem": one + two,
        "reversed.pem": two + one,
        "windows.pem": (one + two).replace("\n", "\r\n"),
        "marked.pem": "\ufeff" + one + two,
        "commented.pem": f"# the first\n{one}\nsubject=x\n{two}trailing words\n",
        "twice.pem": one + two + one,
        "tctl.json": tctl_json([one], [two]),
        "export.json": json.dumps([{"data": encoded(one)}, {"data": encoded(two)}]),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        assert load(file(name), tmp_path) == expected, name


def test_one_tctl_resource_alone_will_do() -> None:
    resource = json.loads(tctl_json([authority()]))[1]
    assert parse_authorities(json.dumps(resource)) == load(inline(authority()))


def test_a_leaf_clusters_ca_in_the_same_listing_is_left_out() -> None:
    leaf = certificate(cluster="leaf.example.com", serial=7)
    listing = json.dumps(
        [*json.loads(tctl_json([authority()])), *json.loads(tctl_json([leaf], cluster="leaf.example.com"))]
    )
    assert [found.pem for found in load(inline(listing))] == [authority()]
    assert len(parse_authorities(listing)) == 2


@pytest.mark.parametrize("unnamed", ["metadata", "spec"])
def test_a_ca_is_of_the_cluster_that_either_place_names(unnamed: str) -> None:
    leaf = json.loads(tctl_json([certificate(cluster="leaf.example.com", serial=7)], cluster="leaf.example.com"))[1]
    own = json.loads(tctl_json([authority()]))[1]
    for one in (leaf, own):
        one[unnamed].pop("name", None)
        one[unnamed].pop("cluster_name", None)
    assert [found.pem for found in load(inline(json.dumps([own, leaf])))] == [authority()]


def test_a_ca_that_no_place_names_is_judged_by_its_certificate() -> None:
    own = json.loads(tctl_json([authority()]))[1]
    del own["metadata"], own["spec"]["cluster_name"]
    assert [found.pem for found in load(inline(json.dumps(own)))] == [authority()]


def changed_signature(pem: str) -> str:
    der = bytearray(ssl.PEM_cert_to_DER_cert(pem))
    der[-1] ^= 1
    return ssl.DER_cert_to_PEM_cert(bytes(der))


REFUSED = {
    "empty": ("", "there is no certificate"),
    "blank": (" \r\n\n", "there is no certificate"),
    "prose": ("here it comes", "has no PEM block"),
    "tctl's YAML": ("kind: cert_authority\nspec:\n  active_keys:\n", "is YAML, as tctl prints without a format"),
    "no JSON": ("[{", "neither PEM nor valid JSON"),
    "deep JSON": ("[" * 100_000, "neither PEM nor valid JSON"),
    "JSON of something else": ('["a"]', "no list of certificate authorities"),
    "empty JSON": ("[]", "there is no certificate"),
    "JSON without a host CA": ('[{"spec": {"type": "user"}}]', "has no host CA"),
    "no base64": ('[{"data": "%"}]', "entry 1 is not the base64"),
    "no PEM in base64": ('[{"data": "eA=="}]', "has no PEM block"),
    "nothing in base64": ('[{"data": ""}]', "entry 1 has no certificate"),
    "cut off": (authority()[:200], "certificate 1 is cut off"),
    "damaged": (authority().replace("M", "A", 1), "certificate 1 is damaged"),
    "changed": (changed_signature(authority()), "its signature does not match its content"),
    "without its first line": (authority(1) + authority(2).split("\n", 1)[1], "outside of any whole block"),
    "another block": (authority().replace("CERTIFICATE", "PUBLIC KEY"), "is 'PUBLIC KEY', not a CERTIFICATE"),
    "private key beside it": (authority() + private_key(), "block 2 is a private key"),
    "private key in JSON": (tctl_json([authority()], secret="eA=="), "the JSON holds private keys"),
    "private key in base64": (json.dumps([{"data": encoded(private_key())}]), "block 1 is a private key"),
    "another cluster in JSON": (tctl_json([authority()], cluster="other"), f"of 'other', none of '{CLUSTER}'"),
    "another cluster": (certificate(cluster="other"), f"does not name the cluster '{CLUSTER}'"),
    "a leaf": (certificate(ca=False, sign=False), "no certificate authority"),
    "no basic constraints": (certificate(ca=None), "no certificate authority"),
    "may not sign": (certificate(sign=False), "no certificate authority"),
    "expired": (certificate(end=NOW - timedelta(seconds=1)), "has expired on 2026-05-31T23:59:59"),
    "too early": (certificate(start=NOW + timedelta(seconds=1)), "is not valid before 2026-06-01T00:00:01"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_must_not_be_used_is_refused_with_its_reason(case: str) -> None:
    text, reason = REFUSED[case]
    with pytest.raises(HostAuthorityError) as caught:
        load(inline(text))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"teleport.{CLUSTER}.hostAuthorities.certificates: ")
    assert reason in caught.value.problems[0]
    assert private_key().splitlines()[1] not in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(HostAuthorityError) as caught:
        load(
            inline(
                certificate(cluster="other", ca=False, end=NOW - timedelta(days=1), start=NOW - timedelta(days=2)), "x"
            )
        )
    assert len(caught.value.problems) == 3
    with pytest.raises(HostAuthorityError) as caught:
        load(inline(authority(), authority()[:200], private_key()))
    assert len(caught.value.problems) == 2


def test_a_ca_without_key_usage_may_sign() -> None:
    assert len(load(inline(certificate(sign=None)))) == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "der.crt").write_bytes(ssl.PEM_cert_to_DER_cert(authority()))
    (tmp_path / "large.pem").write_bytes(b"#" * (1024 * 1024 + 1))
    (tmp_path / "directory").mkdir()
    for name, reason in {
        "der.crt": "is not UTF-8",
        "large.pem": "longer than 1048576 bytes",
        "directory": "cannot be read",
        "absent.pem": "cannot be read (No such file or directory)",
    }.items():
        with pytest.raises(HostAuthorityError) as caught:
            load(file(name), tmp_path)
        assert str(caught.value).startswith(f"teleport.{CLUSTER}.hostAuthorities.path ({name}): ")
        assert reason in str(caught.value)
    with pytest.raises(HostAuthorityError, match="longer than 1048576 bytes"):
        load(inline("#" * (1024 * 1024 + 1)))


def test_fetched_authorities_are_checked_against_the_pins() -> None:
    def fetch(address: str, ca_file: Path | None) -> str:
        assert (address, ca_file) == ("proxy.example:443", None)
        return authority(1) + authority(2)

    found = load(proxy(), fetch=fetch)
    assert load(proxy(fingerprint(authority(1)).upper(), fingerprint(authority(2)), "0" * 64), fetch=fetch) == found
    with pytest.raises(HostAuthorityError) as caught:
        load(proxy(fingerprint(authority(1))), fetch=fetch)
    assert len(caught.value.problems) == 1
    assert fingerprint(authority(2)) in str(caught.value)
    with pytest.raises(HostAuthorityError, match="'abc' is no SHA-256"):
        load(proxy("abc"), fetch=fetch)


def test_a_proxy_is_verified_by_the_authorities_in_the_file_that_is_named(tmp_path: Path) -> None:
    """With the system's trust store in its place, any public authority could vouch for another proxy."""
    asked: list[Path | None] = []

    def fetch(address: str, ca_file: Path | None) -> str:
        asked.append(ca_file)
        return authority(1)

    source = proxy()
    source.ca_file = "proxy-ca.pem"
    load(source, tmp_path, fetch=fetch)
    assert asked == [tmp_path / "proxy-ca.pem"]


def test_what_was_fetched_can_be_pinned_from_the_message() -> None:
    advice = pinning_advice(CLUSTER, load(inline(authority(1), authority(2))))
    assert fingerprint(authority(1)) in advice
    assert fingerprint(authority(2)) in advice


def test_a_subject_cannot_be_taken_for_a_fingerprint_of_its_own() -> None:
    """An impostor of a proxy chooses the subject of the certificate that it sends. A crafted subject must not add a
    line that looks like a fingerprint, since people compare those lines."""
    forged = certificate(organization=f"x\r\n\x1b[1A\x1b[2K  {'0' * 64}  CN={CLUSTER}")
    (found,) = load(inline(forged))
    assert found.subject == rf"CN={CLUSTER},O=x  \x1b[1A\x1b[2K  {'0' * 64}  CN={CLUSTER}"
    advice = pinning_advice(CLUSTER, [found])
    assert advice.splitlines()[1:] == [f"  {fingerprint(forged)}  {found.subject}"]
    with pytest.raises(HostAuthorityError) as refusal:
        load(inline(forged), cluster="another.example.com")
    assert str(refusal.value).isprintable()


@pytest.mark.slow
@law
@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_gives_a_clear_error(text: str) -> None:
    with pytest.raises(HostAuthorityError) as caught:
        load(inline(text))
    assert caught.value.problems


def is_self_signed(found: HostAuthority) -> bool:
    certificate = x509.load_pem_x509_certificate(found.pem.encode())
    return certificate.issuer == certificate.subject


@pytest.mark.slow
@law
@given(st.data())
def test_a_bundle_with_one_thing_broken_gives_an_error_or_the_whole_set(data: st.DataObject) -> None:
    bundle = "".join(authority(serial) for serial in data.draw(st.permutations([1, 2, 3])))
    at = data.draw(st.integers(0, len(bundle) - 1))
    kind = data.draw(st.sampled_from(["drop", "replace", "insert", "cut", "none"]))
    sign = data.draw(st.sampled_from("\n\r -=Az0\x00\ufffd"))
    broken = {
        "drop": bundle[:at] + bundle[at + 1 :],
        "replace": bundle[:at] + sign + bundle[at + 1 :],
        "insert": bundle[:at] + sign + bundle[at:],
        "cut": bundle[:at],
        "none": bundle,
    }[kind]
    whole = {fingerprint(authority(serial)) for serial in (1, 2, 3)}
    problems: tuple[str, ...] = ()
    found: set[str] = set()
    try:
        found = {one.fingerprint for one in load(inline(broken)) if is_self_signed(one)}
    except HostAuthorityError as error:
        problems = error.problems
    # Two cases are allowed: a bundle cut between two blocks is just a shorter bundle, and a certificate with a changed
    # issuer passes for one that the other issuer signed. Otherwise nothing may be missed, and nothing foreign accepted.
    assert found <= whole
    assert (problems and kind != "none") or found == whole or kind in ("cut", "replace")


@pytest.mark.slow
@law
@given(
    st.permutations([1, 2, 3]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.lists(st.sampled_from(["# comment", "", "  ", "subject=CN = x"]), min_size=3, max_size=3),
)
def test_order_line_ends_and_comments_make_no_difference(serials: list[int], end: str, comments: list[str]) -> None:
    text = "".join(
        f"{comment}\n{authority(serial)}" for comment, serial in zip(comments, serials, strict=True)
    ).replace("\n", end)
    assert load(inline(text)) == load(inline(*(authority(serial) for serial in (1, 2, 3))))
