"""The model's operations are the program's resources, and they wait for each other as the resources do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.model.configurations import ISSUERS, Configuration, directory
from tests.unit.model.search import deployed
from tests.unit.model.up import LEDGER, Up
from tests.unit.monitor import PROJECT, STACK
from tests.unit.program.stack import run_program

pytestmark = pytest.mark.unit

ITSELF = f"organization/{PROJECT}/{STACK}"
PLAIN = Configuration(rotation=1, generation=2, phase="introduce")
ISSUED = Configuration(mode="certManager", given=ISSUERS[:1], next_generation=1, owner="values")
STABLE = replace(PLAIN, phase="stable", generation=1)
BY_IAM = replace(STABLE, authentication="iam", rotation=0, create_namespace=False)
# The configurations that are complete beforehand, and the configuration under test.
SHAPES: dict[str, tuple[tuple[Configuration, ...], Configuration]] = {
    "generated": ((STABLE,), PLAIN),
    "switching": ((STABLE, PLAIN), replace(PLAIN, phase="switch", given=ISSUERS[:1])),
    "off": ((STABLE,), replace(PLAIN, enabled=False)),
    "by IAM, in a namespace of somebody's": ((BY_IAM,), BY_IAM),
    "issued": ((ISSUED,), ISSUED),
    "issued, off": ((ISSUED,), replace(ISSUED, enabled=False)),
}


def ancestors(waits: dict[str, set[str]], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for before in waits[waiting.pop()] - found:
            found.add(before)
            waiting.append(before)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_each_operation_waits_for_what_its_resource_waits_for(shape: str) -> None:
    complete, configuration = SHAPES[shape]
    world = deployed(*complete)
    waits = {name: set(before) for name, before in Up(world, configuration).waits.items() if "delete " not in name}
    assert waits.pop(LEDGER) == set(waits)
    recording = run_program(configuration.plain(), directory(), stacks={ITSELF: {"ledger": world.ledger}})
    real = {name: recording.ancestors(name) & set(waits) for name in waits}
    assert {name: ancestors(waits, name) for name in waits} == real
