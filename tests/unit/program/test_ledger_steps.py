"""The ledger is the last thing that an `up` tells: one that fails at any step leaves the ledger of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording, RecordingMonitor
from tests.unit.platform.test_external_service import BALANCED, NAMED
from tests.unit.program.stack import configuration, run_program

STEPS = (
    "credentials-tls",
    "credentials-postgres",
    "access-graph-release",
    f"teleport-{TELEPORT_CLUSTER}-ca",
    f"teleport-{TELEPORT_CLUSTER}-release",
    f"teleport-{TELEPORT_CLUSTER}-proxies",
    "database-logins-job",
    "external-service-service",
)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_an_up_that_fails_at_a_step_tells_no_ledger(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = RecordingMonitor.RegisterResource

    def failing(monitor: RecordingMonitor, request: Any) -> Any:
        if request.name == step:
            raise TimeoutError(f"{step} did not become ready")
        return register(monitor, request)

    monkeypatch.setattr(RecordingMonitor, "RegisterResource", failing)
    config = configuration(tmp_path, **NAMED)
    config["accessGraph"]["external"] = {"hostname": "graph.example.com"}
    begun = Recording()
    with pytest.raises(TimeoutError, match="did not become ready"):
        run_program(config, tmp_path, computed=BALANCED, recording=begun)
    assert "ledger" not in begun.outputs
