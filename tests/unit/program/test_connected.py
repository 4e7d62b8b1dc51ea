"""One of several Teleports does not use the access graph, not yet or no longer. The others keep their connection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.intake import IntakeError
from tests.samples import TELEPORT_CLUSTER, release_entry
from tests.unit.monitor import PROJECT, STACK, Recording, unsealed
from tests.unit.program.stack import configuration, host_authority, run_program, values_file

OTHER = "other.example.com"
ENDPOINT = "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"
ITSELF = f"organization/{PROJECT}/{STACK}"

pytestmark = pytest.mark.slow


FIRST = host_authority()


@pytest.fixture
def pem() -> str:
    return host_authority(OTHER)


def config(directory: Path, **entry: Any) -> dict[str, Any]:
    """This Teleport beside another one that is always connected."""
    both = configuration(directory, entry={"hostAuthorities": inline(FIRST)})
    own = {"namespace": "other", "release": "other", "valuesFiles": [values_file(directory, OTHER)], **entry}
    both["teleport"][OTHER] = {
        key: value
        for key, value in release_entry(**own).items()
        if value is not ... and not (key == "chart" and own.get("mode") == "values")
    }
    return both


def inline(pem: str) -> dict[str, Any]:
    return {"mode": "inline", "certificates": [pem]}


def up(config: Mapping[str, Any], directory: Path, before: Recording | None = None) -> Recording:
    stacks = {} if before is None else {ITSELF: {"ledger": unsealed(before.outputs["ledger"])}}
    return run_program(dict(config), directory, stacks=stacks)


def of_the_other(stack: Recording) -> set[str]:
    return {item.name.removeprefix(f"teleport-{OTHER}-") for item in stack.custom() if f"-{OTHER}-" in item.name}


def test_a_teleport_that_is_not_there_yet_is_made_unpatched_while_the_others_keep_their_access_graph(
    tmp_path: Path,
) -> None:
    stack = up(config(tmp_path, connected=False, hostAuthorities=...), tmp_path)
    assert of_the_other(stack) == {"ca", "release", "auth"}
    assert "access_graph" not in str(stack[f"teleport-{OTHER}-release"].plain("values"))
    assert "access-graph-release" not in stack.ancestors(f"teleport-{OTHER}-release"), "its making waits for nothing"
    assert stack[f"teleport-{TELEPORT_CLUSTER}-proxies"].custom
    assert len(stack["access-graph-release"].plain("values.clusterHostCAs")) == 1
    assert unsealed(stack.outputs["teleportConfig"])[OTHER] == {}
    assert list(stack.outputs["hostAuthorityFingerprints"]) == [TELEPORT_CLUSTER]


def test_connected_it_waits_for_the_access_graph_and_let_go_it_is_forgotten(tmp_path: Path, pem: str) -> None:
    new = up(config(tmp_path, connected=False), tmp_path)
    used = up(config(tmp_path, hostAuthorities=inline(pem)), tmp_path, new)
    assert pem in used["access-graph-release"].plain("values.clusterHostCAs")
    assert {"access-graph-release", f"teleport-{OTHER}-ca"} <= used.ancestors(f"teleport-{OTHER}-release")
    assert set(unsealed(used.outputs["ledger"])["endpoints"]) == {TELEPORT_CLUSTER, OTHER}

    # Its host CAs stay in the settings, ready for when it is connected again.
    gone = up(config(tmp_path, hostAuthorities=inline(pem), connected=False), tmp_path, used)
    assert pem not in gone["access-graph-release"].plain("values.clusterHostCAs")
    assert f"teleport-{OTHER}-release" in gone.ancestors(f"teleport-{OTHER}-ca"), "auth lets go of it first"
    ledger = unsealed(gone.outputs["ledger"])
    assert set(ledger["endpoints"]) == set(ledger["hostAuthorities"]) == {TELEPORT_CLUSTER}

    rebuilt = host_authority(OTHER)
    again = up(config(tmp_path, hostAuthorities=inline(rebuilt)), tmp_path, gone)
    assert rebuilt in again["access-graph-release"].plain("values.clusterHostCAs")


def test_its_audit_log_is_told_when_it_is_connected(tmp_path: Path, pem: str) -> None:
    date = "2026-01-31T00:00:00Z"
    entry = {"hostAuthorities": inline(pem), "auditLog": {"startDate": date}}
    assert unsealed(up(config(tmp_path, **entry, connected=False), tmp_path).outputs["ledger"])["auditLog"] == {}
    assert unsealed(up(config(tmp_path, **entry), tmp_path).outputs["ledger"])["auditLog"] == {OTHER: date}


def test_what_stands_beside_it_for_the_access_graph_is_there_while_it_is_connected(tmp_path: Path, pem: str) -> None:
    entry = {"hostAuthorities": inline(pem), "applyReaderRole": True}

    def beside(connected: bool) -> tuple[bool, list[dict[str, Any]]]:
        settings = config(tmp_path, **entry, connected=connected)
        settings["accessGraph"]["networkPolicy"] = {"enabled": True}
        stack = up(settings, tmp_path)
        callers = stack["network-policies-access-graph"].plain("spec.ingress")[0]["from"]
        return f"reader-role-{OTHER}" in str([item.name for item in stack.custom()]), callers

    (with_role, more), (without, fewer) = beside(True), beside(False)
    assert (with_role, without) == (True, False)
    assert [one for one in more if one not in fewer] != []
    assert [one for one in fewer if one not in more] == []


def test_values_of_the_owners_own_that_connect_it_are_refused_with_the_switch(tmp_path: Path) -> None:
    settings = config(tmp_path, connected=False)
    connecting = {"access_graph": {"enabled": True, "endpoint": ENDPOINT}}
    with (tmp_path / f"{OTHER}.yaml").open("a") as file:
        file.write(yaml.safe_dump({"auth": {"teleportConfig": connecting}}))
    with pytest.raises(IntakeError, match=rf"and teleport\.{OTHER}\.connected is false"):
        up(settings, tmp_path)


def test_the_owner_of_a_release_is_handed_their_own_values(tmp_path: Path, pem: str) -> None:
    owners = {"mode": "values", "hostAuthorities": inline(pem), "rollout": {}}
    stack = up(config(tmp_path, **owners, connected=False), tmp_path)
    assert "access_graph" not in stack[f"teleport-{OTHER}-values"].plain("data")["values.yaml"]
    made = of_the_other(stack)
    assert "proxies" not in made
    assert "rollout-job" in made
