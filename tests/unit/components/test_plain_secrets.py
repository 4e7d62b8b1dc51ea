"""A component host may pass secrets as plain values: the components seal every input that is secret by its meaning."""

from __future__ import annotations

from typing import Any

import pytest

from components.credentials import Credentials
from components.database_access import DatabaseAccess
from components.teleport import TeleportCluster
from tests.unit.components.test_construction import ARGUMENTS, constructed
from tests.unit.monitor import Recording, leaves

pytestmark = pytest.mark.unit

CANARY = "canary-word-in-plain"
SECRET_VALUES = {"auth": {"extraEnv": [{"name": "TOKEN", "value": CANARY}]}}
HANDED_OVER = {"secret_values": SECRET_VALUES, "mode": "values", "chart": None, "adopt": False}
BY_PASSWORD = {"master_password": CANARY, "master_secret_arn": None, "kms_key_arn": None, "oidc_provider_arn": None}
TO_REPLICA = {"database_replica_uri": f"postgres://graph:{CANARY}@replica"}


@pytest.mark.parametrize(
    ("component", "arguments", "places"),
    [
        (Credentials, {"private_key_pem": CANARY}, {("it-tls", "stringData.tls.key")}),
        (Credentials, {"database_uri": f"postgres://graph:{CANARY}@db"}, {("it-postgres", "stringData.uri")}),
        (
            Credentials,
            TO_REPLICA,
            {("it-postgres", "stringData.replica-uri"), ("it-postgres-replica", "stringData.replica-uri")},
        ),
        (Credentials, {"digest_key": CANARY * 2}, set()),
        (DatabaseAccess, BY_PASSWORD, {("it-secret", "stringData.master-password")}),
        (DatabaseAccess, {"digest_key": CANARY * 2}, set()),
        (TeleportCluster, {"secret_values": SECRET_VALUES}, {("it-release", "values.auth.extraEnv[0].value")}),
        (TeleportCluster, HANDED_OVER, set()),
        (
            TeleportCluster,
            {**HANDED_OVER, "emit_merged_values": True},
            {("output of it", "merged_values.auth.extraEnv[0].value")},
        ),
    ],
)
def test_a_plain_secret_is_just_where_it_is_needed_and_always_in_an_envelope(
    component: Any, arguments: dict[str, Any], places: set[tuple[str, str]]
) -> None:
    found = occurrences(constructed(component, {**ARGUMENTS[component.__name__], **arguments}))
    assert set(found) == places
    assert all(found.values()), found


def occurrences(recording: Recording) -> dict[tuple[str, str], bool]:
    """Every occurrence of the canary, in inputs and outputs: (resource, path) -> whether it is in an envelope."""
    everything = {item.name: item.inputs for item in recording.registrations if item.custom}
    everything |= {f"output of {name}": outputs for name, outputs in recording.component_outputs.items()}
    return {
        (name, path): secret
        for name, values in everything.items()
        for path, value, secret in leaves(values)
        if isinstance(value, str) and CANARY in value
    }
