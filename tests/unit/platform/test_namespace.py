"""TAG's namespace: made and owned by the stack, made and kept, or somebody else's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.credentials import AccessGraphNamespace
from components.ledger import LedgerError
from tests.unit.components.test_construction import constructed
from tests.unit.monitor import PROJECT, STACK, Recording, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program

pytestmark = pytest.mark.unit

# The same authority in every run: another one would be refused as a stranger.
HOST_AUTHORITY = {"hostAuthorities": {"mode": "inline", "certificates": [host_authority()]}}
ITSELF = f"organization/{PROJECT}/{STACK}"


def run(directory: Path, graph: dict[str, Any], after: Recording | None = None) -> Recording:
    """Run the program with these settings of the access graph, after the run `after`."""
    config = configuration(directory, entry=HOST_AUTHORITY)
    config["accessGraph"] |= graph
    outputs = {} if after is None else {"ledger": unsealed(after.outputs["ledger"])}
    return run_program(config, directory, stacks={ITSELF: outputs})


@pytest.mark.slow
def test_a_namespace_that_exists_is_used_by_name_and_not_touched(tmp_path: Path) -> None:
    stack = run(tmp_path, {"namespace": "identity", "createNamespace": False, "networkPolicy": {"enabled": True}})
    assert stack.of_type("kubernetes:core/v1:Namespace") == []
    assert stack.outputs["namespace"] == "identity"
    ours = ("credentials-tls", "credentials-postgres", "namespace-database-ca", "network-policies-access-graph")
    assert {stack[name].plain("metadata.namespace") for name in ours} == {"identity"}
    assert stack["access-graph-release"].plain("namespace") == "identity"


@pytest.mark.slow
def test_a_namespace_of_which_nothing_is_said_is_made_as_restricted_and_goes_with_the_stack() -> None:
    namespace = constructed(AccessGraphNamespace, {"namespace": "graph"})["it-namespace"]
    assert namespace.plain("metadata.name") == "graph"
    assert namespace.plain("metadata.labels")["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not namespace.retain_on_delete


@pytest.mark.slow
def test_a_namespace_that_is_kept_outlives_the_stack(tmp_path: Path) -> None:
    stack = run(tmp_path, {"keepNamespace": True})
    assert [item.name for item in stack.custom() if item.retain_on_delete and "namespace" in item.name] == [
        "namespace-namespace"
    ]
    assert not run(tmp_path, {})["namespace-namespace"].retain_on_delete


@pytest.mark.slow
def test_giving_up_a_namespace_that_would_be_deleted_is_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(
        LedgerError, match="would delete the namespace teleport-access-graph, which this stack made"
    ) as no:
        run(tmp_path, {"createNamespace": False}, after=run(tmp_path, {}))
    (problem,) = no.value.problems
    assert "set accessGraph.keepNamespace to true" in problem


@pytest.mark.slow
def test_a_namespace_that_was_kept_first_may_be_given_up(tmp_path: Path) -> None:
    kept = run(tmp_path, {"keepNamespace": True}, after=run(tmp_path, {}))
    given_up = run(tmp_path, {"createNamespace": False}, after=kept)
    assert unsealed(given_up.outputs["ledger"])["namespace"] == {
        "name": "teleport-access-graph",
        "made": False,
        "kept": False,
    }
    # The next run accepts this state.
    run(tmp_path, {"createNamespace": False}, after=given_up)


@pytest.mark.slow
def test_a_ledger_from_before_forbids_nothing(tmp_path: Path) -> None:
    before = run(tmp_path, {})
    ledger = unsealed(before.outputs["ledger"])
    del ledger["namespace"]
    config = configuration(tmp_path, entry=HOST_AUTHORITY)
    assert run_program(config, tmp_path, stacks={ITSELF: {"ledger": ledger}})["namespace-namespace"]
