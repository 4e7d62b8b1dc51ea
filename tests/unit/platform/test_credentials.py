"""The digest by which pods follow their Secrets: every change of a Secret's content changes it."""

from __future__ import annotations

from typing import Any

import pytest

from components.credentials import Credentials
from components.digests import keyed_digest
from tests.unit.components.test_construction import ARGUMENTS, constructed

pytestmark = pytest.mark.unit

CHANGES: dict[str, str] = {
    "certificate_pem": "another",
    "private_key_pem": "another",
    "database_uri": "postgres://another",
    "database_replica_uri": "postgres://replica",
    "database_ca_bundle": "another",
    "database_login_run": "another",
    "database_identity": "another",
    "digest_key": "x" * 32,
}


def checksum(**changes: Any) -> str:
    recording = constructed(Credentials, {**ARGUMENTS["Credentials"], **changes})
    return str(recording.component_outputs["it"]["checksum"])


@pytest.mark.slow
@pytest.mark.parametrize("argument", CHANGES)
def test_the_digest_follows_everything_that_the_pods_mount(argument: str) -> None:
    assert checksum() == checksum() != checksum(**{argument: CHANGES[argument]})


@pytest.mark.slow
def test_the_pair_is_of_the_type_that_kubernetes_checks() -> None:
    pair = constructed(Credentials, ARGUMENTS["Credentials"])["it-tls"]
    assert pair.plain("type") == "kubernetes.io/tls"
    assert pair.plain("stringData") == {"tls.crt": "certificate", "tls.key": "key"}


@pytest.mark.slow
def test_logins_by_iam_have_a_secret_of_their_own() -> None:
    """Pods that still log in the other way keep their Secret."""
    by_password, by_iam = (
        constructed(Credentials, {**ARGUMENTS["Credentials"], "database_by_iam": by_iam}) for by_iam in (False, True)
    )
    secret, other = by_password["it-postgres"], by_iam["it-postgres-iam"]
    assert secret.plain("metadata.name") != other.plain("metadata.name")
    for recording, made in ((by_password, secret), (by_iam, other)):
        assert recording.component_outputs["it"]["database_secret_name"] == made.plain("metadata.name")


def test_text_that_moves_from_one_value_to_the_next_is_another_digest() -> None:
    assert keyed_digest("k" * 32, ["ab", "c"]) != keyed_digest("k" * 32, ["a", "bc"])


def test_a_digest_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match="digest_key: has 31 characters; pass at least 32"):
        keyed_digest("k" * 31, ["value"])
    assert len(keyed_digest("k" * 32, ["value"])) == 64
