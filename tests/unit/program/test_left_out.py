"""A run that leaves out what the settings have changed fails, and is not remembered as complete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.applied import LeftOutError
from tests.unit.monitor import Recording
from tests.unit.program import stack

pytestmark = [pytest.mark.unit, pytest.mark.slow]

# What the engine answers of a resource that a run leaves out: as it was before.
AS_BEFORE = {
    "the ConfigMap teleport-access-graph-ca": ("kubernetes:core/v1:ConfigMap", {"=data": {"ca.pem": "former"}}),
    "the release teleport-access-graph": ("kubernetes:helm.sh/v3:Release", {"=values": {"clusterHostCAs": ["former"]}}),
    "the server certificate's names": ("tls:index/certRequest:CertRequest", {"=dnsNames": ["former.example.com"]}),
}


@pytest.mark.parametrize("what", AS_BEFORE)
def test_what_is_left_out_is_named_and_the_ledger_stays_as_it_was(what: str, tmp_path: Path) -> None:
    type_, outputs = AS_BEFORE[what]
    computed: dict[str, Any] = {**stack.COMPUTED, type_: {**stack.COMPUTED.get(type_, {}), **outputs}}
    begun = Recording()
    with pytest.raises(LeftOutError, match=f"{what}: this run leaves it as it was"):
        stack.run_program(stack.configuration(tmp_path), tmp_path, computed=computed, recording=begun)
    assert "ledger" not in begun.outputs


def test_what_others_keep_in_the_same_config_map_is_not_missed(tmp_path: Path) -> None:
    """Applied, it comes back with the keys of others in it: a controller's, or an operator's further authority."""
    data = {"ca.pem": stack.COMPUTED[stack.SELF_SIGNED]["certPem"], "others.pem": "somebody else's"}
    computed: dict[str, Any] = {**stack.COMPUTED, "kubernetes:core/v1:ConfigMap": {"=data": data}}
    recording = stack.run_program(stack.configuration(tmp_path), tmp_path, computed=computed)
    assert "ledger" in recording.outputs
