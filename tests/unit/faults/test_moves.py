"""The moves of a random life of a stack: the settings allow each of them, and none leads to a state without further
moves."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from tests.faults.lives import is_refusal
from tests.faults.moves import Teleports, moves
from tests.faults.switches import SWITCHES, some

pytestmark = pytest.mark.unit

TELEPORTS = Teleports("few.pem", "many.pem", "other.pem", "other")
SETTINGS: dict[str, Any] = {
    "accessGraph": {},
    "database": {"mode": "rds", "masterPassword": "managed"},
    "tls": {"mode": "generated"},
    "teleport": {"teleport.example.com": {"mode": "manual", "hostAuthorities": {"mode": "file", "path": "few.pem"}}},
}


def named(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings after the move of this name."""
    (move,) = [one for one in moves(settings, TELEPORTS) if one.name == name]
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
        ("a Teleport joins by values", "a Teleport leaves"),
        ("audit log", "audit log"),
        ("login by IAM", "login by password"),
        ("master password of ours", "master password of AWS"),
    ],
)
def test_there_and_back_is_where_it_was(there: str, back: str) -> None:
    gone = named(SETTINGS, there)
    assert gone != SETTINGS
    again = named(named(gone, back), there)
    assert again["accessGraph"] == gone["accessGraph"]
    assert again["tls"] == gone["tls"]
    assert again["teleport"] == gone["teleport"]
    assert again["database"] == gone["database"]


def test_every_move_changes_something_wherever_a_life_has_come() -> None:
    chance, settings, seen = random.Random(1), copy.deepcopy(SETTINGS), set()
    for _ in range(300):
        before = copy.deepcopy(settings)
        move = chance.choice(moves(settings, TELEPORTS))
        move.change(settings)
        assert settings != before, move.name
        seen.add(move.name)
        database = settings["database"]
        assert "replica" not in database or database["masterPassword"] == "generated"
        assert database.get("authentication") != "iam" or not database.get("rotation")
    assert len(seen) == 23


def test_a_switch_turned_twice_leaves_the_settings_as_they_were() -> None:
    settings = copy.deepcopy(SETTINGS)
    for switch in SWITCHES:
        switch.turn(settings)
        assert settings[switch.concern].items() >= switch.on.items()
    for switch in SWITCHES:
        switch.turn(settings)
    assert settings == {**SETTINGS, "annotations": {}, "tags": {}}


def test_every_switch_is_turned_at_some_time_and_none_twice_in_a_move() -> None:
    chance, turned = random.Random(1), set()
    for _ in range(200):
        switches = [str(switch) for switch in some(chance)]
        assert len(set(switches)) == len(switches)
        turned.update(switches)
    assert len(turned) == len(SWITCHES)


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
