"""Invariants that hold whatever happens in whatever order: each running auth trusts each serving certificate, each
serving graph accepts each host CA in use, each login in use is valid, and everything that pods mount exists.

`MODEL_RUNS` sets how many runs each machine gets; a few thousand runs take minutes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from components import database_steps, ledger_guards
from components.host_authority_succession import successions
from components.ledger import Ledger
from components.settings import Settings
from tests.unit.model import up as ups
from tests.unit.model.machine import Authorities, Everything, HostAuthorities, Logins, Names, Owners

pytestmark = pytest.mark.unit

# Enough runs for every rule to meet every other; they take a few seconds.
RUNS = int(os.environ.get("MODEL_RUNS", "80"))
STEPS = 25
MACHINES = (Everything, Logins, HostAuthorities, Authorities, Names, Owners)


@pytest.mark.slow
@pytest.mark.parametrize("machine", MACHINES)
def test_no_moment_is_one_of_harm(machine: type[Everything]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=RUNS, stateful_step_count=STEPS))


def nothing(*_: Any) -> Iterator[Any]:
    return iter(())


def kept_by_nobody(recorded: Ledger, settings_: Settings, intake: Any) -> list[Any]:
    return [replace(one, kept=()) for one in successions(recorded, settings_, intake)]


# The rule that is switched off -> the machine that finds the fault, and the invariant that breaks.
SWITCHED_OFF: dict[str, tuple[Any, str, Callable[..., Any], type[Everything], str]] = {
    "one rotation at a time": (database_steps, "_rotation", nothing, Logins, "is in use, and is not valid"),
    "the namespace stays": (ledger_guards, "_namespace", nothing, Owners, "is mounted, and is not there"),
    "a former host CA is kept": (ups, "successions", kept_by_nobody, HostAuthorities, "does not accept a host CA"),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", SWITCHED_OFF)
def test_it_finds_what_a_rule_that_is_switched_off_would_let_happen(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name, replacement, machine, words = SWITCHED_OFF[rule]
    monkeypatch.setattr(module, name, replacement)
    search = settings(
        max_examples=3000,
        stateful_step_count=STEPS,
        phases=[Phase.generate],
        database=None,
        derandomize=True,
        deadline=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    with pytest.raises(AssertionError, match=words):
        run_state_machine_as_test(machine, settings=search)
