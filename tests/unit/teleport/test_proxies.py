"""When the proxies restart. They ask auth for the access graph once, at their start, so they keep an answer that has
changed since."""

from __future__ import annotations

from typing import Any

import pytest

from components.teleport import TeleportCluster
from tests.unit.components.test_construction import ARGUMENTS, constructed

pytestmark = [pytest.mark.unit, pytest.mark.slow]

ANSWER = "spec.template.metadata.annotations.checksum/access-graph"


def started_with(**changes: Any) -> Any:
    """The annotation of the proxies' pods. Another value makes them anew."""
    return constructed(TeleportCluster, {**ARGUMENTS["TeleportCluster"], **changes})["it-proxies"].plain(ANSWER)


@pytest.mark.parametrize("change", [{"endpoint": "other.example.com:443"}, {"trust_bundle": "renewed"}])
def test_the_proxies_restart_for_another_endpoint_and_another_authority(change: dict[str, Any]) -> None:
    assert started_with(**change) != started_with()


def test_the_proxies_restart_for_nothing_else() -> None:
    values = {**ARGUMENTS["TeleportCluster"]["values"], "highAvailability": {"replicaCount": 3}}
    changes = {"values": values, "audit_log_enabled": True, "timeout_seconds": 900, "adopt": False}
    assert started_with(**changes) == started_with()
