"""Laws of the comparison: a release that was deployed from its owner's values differs from them only by the patch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from components.teleport_values import AccessGraphPatch, patch_values, unpatch_values
from operations.checks.values import check_values, differences
from operations.findings import Outcome
from tests.unit.teleport_values.test_laws import law, patches, users_values

pytestmark = [pytest.mark.unit, pytest.mark.slow]

# Empty keys as people leave them: copied from the chart's values, or with everything below them commented out.
EMPTY: dict[str, Any] = {
    "auth": {"auth": None},
    "configuration": {"auth": {"teleportConfig": {}}},
    "no configuration": {"auth": {"teleportConfig": None}},
    "section": {"auth": {"teleportConfig": {"access_graph": {}}}},
    "no section": {"auth": {"teleportConfig": {"access_graph": None}}},
    "no endpoint": {"auth": {"teleportConfig": {"access_graph": {"endpoint": None}}}},
    "annotations": {"auth": {"annotations": {"pod": {}, "deployment": {}}}},
    "no annotations": {"auth": {"annotations": None}},
    "no annotations of pods": {"auth": {"annotations": {"pod": None}}},
    "no volumes of auth's": {"extraVolumes": [{"name": "x"}], "auth": {"extraVolumes": None, "extraVolumeMounts": []}},
}


def assert_nothing_is_told(values: dict[str, Any], patch: AccessGraphPatch) -> None:
    live, own = patch_values(values, patch), replace(patch, ca_checksum="")
    assert differences(unpatch_values(values, own), unpatch_values(live, own)) == []
    assert check_values("teleport", values, live, "its files").outcome is Outcome.PASS


@law
@given(users_values, patches)
def test_whatever_the_values_the_patch_is_no_difference(values: dict[str, Any], patch: AccessGraphPatch) -> None:
    assert_nothing_is_told(values, patch)


@pytest.mark.parametrize("name", EMPTY)
def test_what_stood_there_empty_is_no_difference(name: str) -> None:
    assert_nothing_is_told(EMPTY[name], AccessGraphPatch(endpoint="graph.example.svc:443", ca_checksum="0123"))


def test_what_an_owner_took_away_is_told_beside_it() -> None:
    files = {"auth": {"log": None, "teleportConfig": {"access_graph": {"insecure": False}, "proxy_service": {}}}}
    assert differences(files, {}) == [
        "- auth.log",
        "- auth.teleportConfig.access_graph.insecure",
        "- auth.teleportConfig.proxy_service",
    ]
    assert differences({}, {"auth": {"teleportConfig": {"access_graph": {"enabled": True}}}}) == [
        "+ auth.teleportConfig.access_graph.enabled"
    ]
