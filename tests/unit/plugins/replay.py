"""The recorded steps of the official random and tls plugins, and an engine that takes a plugin through them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins.protocol import DiffResult, ResourceProvider
from sandbox.plugins.values import unwrap

RECORDING = json.loads(Path(__file__).with_name("recordings").joinpath("random-and-tls.json").read_text())


@dataclass
class Live:
    inputs: dict[str, Any]
    id: str
    outputs: dict[str, Any]


@dataclass
class Seen:
    """What happened to one resource in one step."""

    op: str
    difference: DiffResult
    preview: dict[str, Any]
    live: Live


@dataclass
class Engine:
    """Calls a plugin in the engine's order: check, diff, then preview and create."""

    providers: Mapping[str, ResourceProvider]
    state: dict[str, Live] = field(default_factory=dict)

    def step(self, recorded: dict[str, Any]) -> Seen:
        type_, name = recorded["type"], recorded["name"]
        provider = self.providers[type_.split(":")[0]]
        urn = f"urn:pulumi:test::test::{type_}::{name}"
        news = {key: self._value(value) for key, value in recorded["inputs"].items()}
        old = self.state.get(name)
        checked = provider.check(urn, type_, old.inputs if old else {}, news, b"")
        assert checked.failures == []
        assert unwrap(checked.inputs) == unwrap(news), "inputs are kept as they are given: no defaults are put in"
        difference = DiffResult(changes=True)
        if old is not None:
            difference = provider.diff(urn, type_, old.id, old.inputs, old.outputs, checked.inputs, [])
            if not difference.changes:
                return Seen("same", difference, {}, old)
        op = "create" if old is None else "replace" if difference.replaces else "update"
        _, preview = provider.create(urn, type_, checked.inputs, 0, True)
        id_, outputs = provider.create(urn, type_, checked.inputs, 0, False)
        self.state[name] = Live(checked.inputs, id_, outputs)
        return Seen(op, difference, preview, self.state[name])

    def _value(self, recorded: dict[str, Any]) -> Any:
        if "reference" not in recorded:
            return recorded["value"]
        name, output = recorded["reference"].split(".")
        return self.state[name].outputs[output]


def replay(providers: Mapping[str, ResourceProvider]) -> dict[str, Seen]:
    """Replay every step once, in order, because later steps need the state of earlier ones."""
    engine = Engine(providers)
    return {
        f"{step['step']}-{recorded['name']}": engine.step(recorded)
        for step in RECORDING["steps"]
        for recorded in step["resources"]
    }


CASES = [
    pytest.param(f"{step['step']}-{recorded['name']}", recorded, id=f"step {step['step']}: {recorded['name']}")
    for step in RECORDING["steps"]
    for recorded in step["resources"]
]
