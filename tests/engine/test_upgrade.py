"""The present program on the state of every released version: a preview that replaces and deletes nothing.

Only previews: the state is another sandbox's, brought to this one's facts, and no object of it is here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import OwnStack, Settings
from tests.states.inputs import STATES
from tests.states.placeholders import filled, renewed, secret_texts
from tests.states.record import FILE, STACK, facts_of

pytestmark = pytest.mark.engine

VERSIONS = sorted(path.parent.name for path in STATES.glob(f"*/{FILE}"))
NAME = "upgraded"
# Their names end with a digest that is keyed by a secret, and every secret here is a fresh one.
JOBS = ("database-access-job", "database-logins-job")
HARMLESS = {"same", "read", "update", "create"}


class Upgraded(OwnStack):
    """Never deployed, and never destroyed: only its state is forgotten."""

    def load(self, state: Any) -> None:
        path = self.configuration.parent / "state.json"
        path.write_text(json.dumps(state))
        path.chmod(0o600)
        self.pulumi("stack", "import", "--file", str(path), "--force")
        path.unlink()

    def steps(self) -> list[dict[str, Any]]:
        steps: list[dict[str, Any]] = self.preview()["steps"]
        return steps


@pytest.fixture(scope="module")
def stack(running_sandbox: RunningSandbox) -> Iterator[Upgraded]:
    document = yaml.safe_load(running_sandbox.configuration.read_text())

    def as_recorded(settings: Settings) -> None:
        settings["accessGraph"].pop("namespace", None)
        settings["database"]["identifier"] = f"teleport-access-graph-{STACK}"
        settings["teleport"] = document["config"]["teleport-access-graph:teleport"]

    stack = Upgraded(running_sandbox, NAME)
    stack.configure(running_sandbox, as_recorded)
    try:
        yield stack
    finally:
        stack.pulumi("stack", "rm", NAME, "--yes", "--force")


def state_of(version: str, sandbox: RunningSandbox) -> Any:
    """Of this sandbox and this stack's name, with fresh secrets and young certificates."""
    text = (STATES / version / FILE).read_text()
    text = text.replace(f"urn:pulumi:{STACK}::", f"urn:pulumi:{NAME}::")
    text = text.replace(f"teleport-access-graph/{STACK}", f"teleport-access-graph/{NAME}")
    return renewed(filled(json.loads(text), facts_of(sandbox.configuration)))


def names_of_jobs(steps: list[dict[str, Any]]) -> dict[str, str]:
    """Recorded name of each Job -> the one that the present program gives it."""
    found = {}
    for step in steps:
        if step["urn"].rpartition("::")[2] in JOBS and "newState" in step and "oldState" in step:
            old, new = (step[side]["inputs"]["metadata"]["name"] for side in ("oldState", "newState"))
            found[old] = new
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgrade_replaces_and_deletes_nothing(
    version: str, stack: Upgraded, running_sandbox: RunningSandbox
) -> None:
    state = state_of(version, running_sandbox)
    stack.load(state)
    text = json.dumps(state)
    for old, new in names_of_jobs(stack.steps()).items():
        text = text.replace(old, new)
    stack.load(json.loads(text))
    steps = stack.steps()
    assert len(steps) > 40
    harm = {
        step["urn"].rpartition("::")[2]: (step["op"], step.get("replaceReasons"))
        for step in steps
        if step["op"] not in HARMLESS
    }
    assert harm == {}
    made = [step["urn"] for step in steps if step["op"] == "create"]
    recorded = {resource["urn"] for resource in state["deployment"]["resources"]}
    assert [urn for urn in made if urn in recorded] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_recorded_state_has_no_secret_and_no_key(version: str) -> None:
    path: Path = STATES / version / FILE
    state = json.loads(path.read_text())
    for where, text in secret_texts(state):
        assert text.startswith("-----BEGIN CERTIFICATE") or "${" in text, where
    assert not re.search(r"PRIVATE KEY-----\n|ciphertext|encryptionsalt|secrets_providers", path.read_text())
