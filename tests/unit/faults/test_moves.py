"""The moves of a random life: what the settings allow, and no way out of which no move leads."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from tests.faults.lives import is_refusal
from tests.faults.moves import moves

pytestmark = pytest.mark.unit

HOST_CAS = ("few.pem", "many.pem")
SETTINGS: dict[str, Any] = {
    "accessGraph": {},
    "database": {"mode": "rds"},
    "tls": {"mode": "generated"},
    "teleport": {"teleport.example.com": {"mode": "manual", "hostAuthorities": {"mode": "file", "path": "few.pem"}}},
}


def named(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings after that move."""
    (move,) = [one for one in moves(settings, HOST_CAS) if one.name == name]
    changed = copy.deepcopy(settings)
    move.change(changed)
    return changed


def test_an_authority_takes_its_steps_in_order_and_then_again() -> None:
    settings, steps = SETTINGS, []
    for _ in range(5):
        settings = named(settings, "step of the authority")
        steps.append((settings["tls"]["authority"]["generation"], settings["tls"]["authority"]["phase"]))
    assert steps == [(2, "introduce"), (2, "switch"), (2, "retire"), (2, "stable"), (3, "introduce")]


@pytest.mark.parametrize(
    ("there", "back"),
    [
        ("off", "on"),
        ("host CA joins", "host CA leaves"),
        ("replicas", "replicas"),
        ("another name", "another name"),
        ("network policy", "network policy"),
    ],
)
def test_there_and_back_is_where_it_was(there: str, back: str) -> None:
    gone = named(SETTINGS, there)
    assert gone != SETTINGS
    again = named(named(gone, back), there)
    assert again["accessGraph"] == gone["accessGraph"]
    assert again["tls"] == gone["tls"]


def test_every_move_changes_something_wherever_a_life_has_come() -> None:
    chance, settings, seen = random.Random(1), copy.deepcopy(SETTINGS), set()
    for _ in range(300):
        before = copy.deepcopy(settings)
        move = chance.choice(moves(settings, HOST_CAS))
        move.change(settings)
        assert settings != before, move.name
        seen.add(move.name)
    assert len(seen) == 10


REFUSED = "    error: The stack cannot go from where it stands\n\nResources:\n    12 unchanged\n    1 errored\n"


@pytest.mark.parametrize(
    ("shown", "refused"),
    [
        (REFUSED, True),
        (REFUSED.replace("12 unchanged", "+ 1 created\n    11 unchanged"), False),
        (REFUSED.replace("error: ", "Traceback (most recent call last):\nerror: "), False),
        ("", False),
    ],
)
def test_a_refusal_is_an_error_before_which_nothing_was_changed(shown: str, refused: bool) -> None:
    assert is_refusal(shown) == refused
