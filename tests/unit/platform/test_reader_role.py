"""The readers' role, made through the Teleport operator on request: the same role as in the output."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.outputs import READER_ROLE
from tests.samples import OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.program.stack import OF_THE_STACK, configuration, run_program

pytestmark = pytest.mark.unit

NAME = f"reader-role-{TELEPORT_CLUSTER}-role"


@pytest.mark.slow
def test_it_is_applied_only_where_it_is_asked_for(tmp_path: Path) -> None:
    stack = run_program(configuration(tmp_path), tmp_path)
    assert [item.name for item in stack.registrations if "reader-role" in item.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", [{}, {"mode": "values", "chart": ...}], ids=["release", "values"])
def test_the_operators_object_is_the_role_of_the_output(tmp_path: Path, mode: dict[str, object]) -> None:
    stack = run_program(configuration(tmp_path, entry={**mode, "applyReaderRole": True}), tmp_path)
    role = stack[NAME]
    assert role.type == "kubernetes:resources.teleport.dev/v1:TeleportRoleV7"
    assert role.plain("metadata") == {
        "name": "access-graph-reader",
        "namespace": "teleport",
        "annotations": OF_THE_STACK,
    }
    written = yaml.safe_load(READER_ROLE)
    assert (written["kind"], written["version"]) == ("role", "v7")
    assert role.plain("metadata.name") == written["metadata"]["name"]
    assert role.plain("spec") == written["spec"]
    assert written["spec"] == {"allow": {"rules": [{"resources": ["access_graph"], "verbs": ["list", "read"]}]}}


@pytest.mark.slow
def test_it_goes_to_that_teleports_kubernetes_cluster(tmp_path: Path) -> None:
    elsewhere = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    config = configuration(
        tmp_path,
        entry={"kubernetes": elsewhere, "endpoint": "graph.example.com:443", "applyReaderRole": True},
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    )
    assert f"::kubernetes-{OTHER_CLUSTER_IDENTIFIER}::" in run_program(config, tmp_path)[NAME].provider
