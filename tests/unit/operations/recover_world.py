"""What the tests of `recover` share: `pulumi` and `helm` programs that record their calls, states of a stack, and the
steps of a recovery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.settings.names import PROJECT, STACK_ANNOTATION
from operations.__main__ import app
from operations.engines import EngineProcess
from operations.mending import Step
from operations.recover import Recovery
from operations.stack import StackFile
from tests.unit.operations.world import CLUSTER, GRAPH, configuration, settings

NAME = f"organization/{PROJECT}/test"
ENGINES = {"managedFields": [{"manager": "pulumi-kubernetes-0123", "operation": "Apply"}]}
OTHERS = {**ENGINES, "annotations": {STACK_ANNOTATION: "acme/graph/test"}}
OURS = {**ENGINES, "annotations": {STACK_ANNOTATION: NAME}}
_PROGRAM = """#!/bin/sh
echo "{name} $*" >> {at}/calls
case "$*" in
    *export*) cat {at}/state;;
    whoami*) printf '{{"user": "someone", "url": "%s"}}' "$(cat {at}/backend)";;
    *cancel*) cat {at}/cancel >&2; test ! -s {at}/cancel;;
    "stack import"*) while [ "$1" != --file ]; do shift; done; cp "$2" {at}/stored;;
    import*) cat {at}/import >&2; test ! -s {at}/import && cp {at}/after {at}/state;;
    *) echo Done.;;
esac
"""


class Programs:
    """Stand-ins for `pulumi` and `helm` on PATH: they record their calls, and `pulumi` prints a prepared state."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        for name in ("pulumi", "helm"):
            (directory / name).write_text(_PROGRAM.format(name=name, at=directory))
            (directory / name).chmod(0o755)
        (directory / "cancel").touch()
        (directory / "import").touch()
        self.backend("https://api.example.com")
        self.state()

    def state(self, *ids: str, pending: list[dict[str, Any]] | None = None) -> None:
        """Set the state. Each of `ids` has the form `Kind:id`, such as `Role:teleport/x`."""
        resources = []
        for one in ids:
            kind, _, identity = one.rpartition(":")
            resources.append({"urn": f"urn::{one}", "id": identity, "type": f"kubernetes:core/v1:{kind}"})
        document = {"deployment": {"resources": resources, "pending_operations": pending or []}}
        for moment in ("state", "after"):
            (self._directory / moment).write_text(json.dumps(document))

    def record(self, *resources: dict[str, Any]) -> None:
        """Add resources to the state."""
        self.import_records(*resources)
        (self._directory / "state").write_text((self._directory / "after").read_text())

    def import_records(self, *resources: dict[str, Any]) -> None:
        """Add resources to the state that `pulumi` prints after an import."""
        document = json.loads((self._directory / "after").read_text())
        document["deployment"]["resources"] += resources
        (self._directory / "after").write_text(json.dumps(document))

    def backend(self, url: str) -> None:
        (self._directory / "backend").write_text(url)

    def cancel_fails_with(self, message: str) -> None:
        (self._directory / "cancel").write_text(message)

    def import_fails_with(self, message: str) -> None:
        (self._directory / "import").write_text(message)

    def stored(self) -> dict[str, Any]:
        """The state that was imported (`pulumi stack import`) last."""
        stored: dict[str, Any] = json.loads((self._directory / "stored").read_text())
        return stored

    def imports(self) -> list[str]:
        """Ids of the imported resources."""
        return [call.split()[4] for call in self.calls if call.startswith("pulumi import ")]

    @property
    def calls(self) -> list[str]:
        return (self._directory / "calls").read_text().splitlines()


def no_engines() -> list[EngineProcess]:
    """A machine on which no engine is running."""
    return []


LOCK = "the stack test may still be locked by an `up` that was killed"


def steps(root: Path, **changes: Any) -> list[Step]:
    """All steps of the recovery except the one about the lock."""
    found = Recovery(settings=settings(root, **changes), stack="test", processes=no_engines, root=root).steps()
    return [step for step in found if step.problem != LOCK]


GRAPH_VALUES = {"podAnnotations": {"checksum/credentials": "0123"}}
NAMESPACE_RECORDED, RELEASE_RECORDED = f"Namespace:{GRAPH}", f"Release:{GRAPH}/{GRAPH}"
CA_RECORDED = "ConfigMap:teleport/teleport-access-graph-ca"
ALL_RECORDED = (NAMESPACE_RECORDED, RELEASE_RECORDED, CA_RECORDED)


def recovery(root: Path) -> Recovery:
    return Recovery(settings=settings(root), stack="test", processes=no_engines, root=root)


PROVIDER = "urn:pulumi:test::p::pulumi:providers:aws::aws::id"


def begun(kind: str, resource_name: str, /, **inputs: Any) -> dict[str, Any]:
    """A pending operation: the engine writes it into the state when it begins to create a resource."""
    urn = f"urn:pulumi:test::p::{kind}::{resource_name}"
    resource = {"type": kind, "urn": urn, "inputs": inputs, "parent": "urn:parent", "provider": PROVIDER}
    return {"type": "creating", "resource": resource}


def run(root: Path, **changes: Any) -> list[str]:
    """Carry out every step in order, as `--yes` does. Returns what each step reports."""
    return every_act(Recovery(settings=settings(root, **changes), stack="test", processes=no_engines, root=root))


def every_act(recovery: Recovery) -> list[str]:
    return [step.act() if step.act else "left" for step in recovery.steps() if step.problem != LOCK]


def of_another_owner() -> dict[str, Any]:
    """The entry of a Teleport whose release this stack does not own."""
    entry = configuration()["teleport"][CLUSTER]
    return {CLUSTER: {key: entry[key] for key in ("hostAuthorities", "valuesFiles")} | {"mode": "values"}}


def invoke(monkeypatch: pytest.MonkeyPatch, root: Path, steps: list[Step], *arguments: str, answers: str = "") -> Any:
    """Run `python -m operations recover` on a stack whose recovery has these steps."""
    monkeypatch.setattr("operations.recover.Recovery.steps", lambda self: iter(steps))
    file = StackFile(name="test", path=root, plain=configuration(), secret_keys=frozenset())
    monkeypatch.setattr(StackFile, "settings", lambda self: settings(root))
    monkeypatch.setattr("operations.__main__.read_stack_file", lambda *_: file)
    return CliRunner().invoke(app, ["recover", "--stack", "test", *arguments], input=answers)
