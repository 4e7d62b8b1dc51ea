"""A run that the program refuses ends with one error, shown once, wherever in the run the refusal happens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import stack as sdk

from components.refusal import ALREADY_SHOWN, run
from tests.unit.monitor import PROJECT, STACK, Recording, record
from tests.unit.program.stack import configuration, run_program, values_file

pytestmark = pytest.mark.unit

REFUSED = "database.rotation: does not follow"
OWN_WAIT = sdk.wait_for_rpcs


def refuse(_: Any = None) -> None:
    raise pulumi.RunError(REFUSED)


async def by_itself() -> None:
    refuse()


async def in_a_value() -> None:
    pulumi.Output.from_input(1).apply(refuse)


async def in_a_resource() -> None:
    pulumi.export("refused", pulumi.Output.from_input(1).apply(refuse))
    pulumi.CustomResource("kubernetes:core/v1:Secret", "secret", {"data": pulumi.Output.from_input(1).apply(refuse)})


@pytest.mark.parametrize("program", [by_itself, in_a_value, in_a_resource], ids=lambda program: program.__name__)
def test_the_engine_is_told_that_the_error_was_shown(program: Any) -> None:
    begun = Recording()
    with pytest.raises(SystemExit) as ended:
        record(lambda: run(program), recording=begun)
    assert ended.value.code == ALREADY_SHOWN
    assert [text for text in begun.said if REFUSED in text and "Traceback" not in text] == [REFUSED]
    assert sdk.wait_for_rpcs is OWN_WAIT


def test_an_error_of_the_programs_own_is_left_to_the_engine() -> None:
    async def broken() -> None:
        pulumi.Output.from_input(0).apply(lambda value: 1 // value)

    with pytest.raises(ZeroDivisionError):
        record(lambda: run(broken))
    assert sdk.wait_for_rpcs is OWN_WAIT


def test_what_is_left_to_do_is_waited_for() -> None:
    async def slow() -> None:
        async def later() -> str:
            await asyncio.sleep(0.05)
            return "there"

        pulumi.export("late", pulumi.Output.from_input(later()))

    assert record(lambda: run(slow)).outputs == {"late": "there"}
    assert sdk.wait_for_rpcs is OWN_WAIT


NAME = f"organization/{PROJECT}/{STACK}"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["ledger", "another stack", "URI", "secret values"])
def test_whatever_is_known_late_is_refused_as_a_setting_is(where: str, tmp_path: Path) -> None:
    config, secrets, stacks = configuration(tmp_path), {}, {}
    if where == "ledger":
        stacks[NAME] = {"ledger": {"version": 1, "rotation": 0, "database": {"mode": "rds"}}}
        config["database"]["rotation"] = 5
    elif where == "another stack":
        config["database"]["network"]["vpcId"] = "stack:organization/network/dev#vpcId"
    elif where == "URI":
        config = {key: section for key, section in config.items() if key != "aws"} | {"database": {"mode": "existing"}}
        secrets["databaseUri"] = "mysql://graph@db.example.com/graph"
    else:
        secrets["teleportSecretValues"] = {"nobody.example.com": {}}
    values_file(tmp_path)
    begun = Recording()
    with pytest.raises(pulumi.RunError) as refused:
        run_program(config, tmp_path, secrets=secrets, stacks=stacks, recording=begun)
    assert begun.said.count(str(refused.value)) == 1
