"""Added and removed host CAs are listed by name and fingerprint, and a warning says who is refused because of the
change."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives import hashes

from operations.preview.document import Preview
from operations.preview.trusted_authorities import trust_change
from tests.unit.operations.certificates import authority
from tests.unit.preview.previews import GRAPH_RELEASE, preview_of, recorded, step

pytestmark = pytest.mark.unit

CLUSTER = "teleport.example.com"


def changed(before: list[str], after: list[str], mode: str = "file") -> Preview:
    teleport = {name: {"hostAuthorities": {"mode": mode}} for name in (CLUSTER, "other.example.com")}
    return preview_of(
        step(
            "update",
            GRAPH_RELEASE,
            "access-graph-release",
            old={"values": {"clusterHostCAs": before}},
            new={"values": {"clusterHostCAs": after}},
        ),
        config={"teleport-access-graph:teleport": json.dumps(teleport)},
    )


def print_of(name: str) -> str:
    return authority(name).certificate.fingerprint(hashes.SHA256()).hex()


def test_a_recorded_change_of_host_authority_is_told_by_fingerprint() -> None:
    change = trust_change(recorded("other-host-authority"))
    assert [(one.cluster, one.fingerprint[:16], one.not_after) for one in change.comes] == [
        (CLUSTER, "7c5dd266de16e16f", "2036-11-22")
    ]
    assert [(one.cluster, one.fingerprint[:16]) for one in change.goes] == [(CLUSTER, "8127d26480115034")]
    assert change.comes[0].subject == f"CN={CLUSTER},O={CLUSTER}"
    assert len(change.warnings) == 1
    assert "another one takes its place" in change.warnings[0]


@pytest.mark.parametrize("name", ["quiet", "renewed-authority", "replaced-database", "switched-off"])
def test_where_no_host_authority_changes_none_is_told(name: str) -> None:
    assert trust_change(recorded(name)) == trust_change(preview_of())


def test_a_second_one_beside_the_first_refuses_nobody() -> None:
    one, two = authority(CLUSTER).pem, authority("other.example.com").pem
    change = trust_change(changed([one], [one, two]))
    assert [(found.cluster, found.fingerprint) for found in change.comes] == [
        ("other.example.com", print_of("other.example.com"))
    ]
    assert (change.goes, change.warnings) == ((), ())


def test_one_text_may_hold_several_and_their_order_is_nothing() -> None:
    one, two = authority(CLUSTER).pem, authority("other.example.com").pem
    assert trust_change(changed([one + two], [two, one])) == trust_change(preview_of())


def test_the_last_one_of_a_cluster_goes_without_another() -> None:
    one, two = authority(CLUSTER).pem, authority("other.example.com").pem
    change = trust_change(changed([one, two], [two]))
    assert [found.fingerprint for found in change.goes] == [print_of(CLUSTER)]
    assert len(change.warnings) == 1
    assert change.warnings[0].startswith(f"{CLUSTER}: a host CA goes and none takes its place")


def test_the_gap_of_proxy_intake_is_told_when_a_host_authority_changes() -> None:
    one, two = authority(CLUSTER).pem, authority("other.example.com").pem
    assert list(trust_change(changed([one], [one, two], "proxy")).warnings) == [
        "other.example.com: `hostAuthorities.mode: proxy` sees active keys only. Between a rotation of the host CA and "
        "the next `up` the access graph refuses the new certificates, and after it the old ones; `file` with active "
        "and additional keys has no such gap."
    ]
    (_, gap) = trust_change(changed([one, two], [one], "proxy")).warnings
    assert gap.startswith("other.example.com: `hostAuthorities.mode: proxy`")
    assert trust_change(changed([one], [one], "proxy")).warnings == ()


def test_a_block_that_is_no_certificate_is_left_out() -> None:
    broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    change = trust_change(changed([authority(CLUSTER).pem], [broken, authority(CLUSTER).pem]))
    assert (change.comes, change.goes) == ((), ())
