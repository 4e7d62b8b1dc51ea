"""What a preview shows is what the `up` does, or is not known yet: in every mode, of every input and option.

A text that stands in for what is not known would be shown as a change, and kept in what is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.monitor import UNKNOWN_SENTINEL, Registration, Secret
from tests.unit.privileges.modes import MODES, configured, directory, recorded
from tests.unit.program.stack import run_program

pytestmark = [pytest.mark.unit, pytest.mark.slow]

OPTIONS = (
    "dependencies",
    "protect",
    "retain_on_delete",
    "delete_before_replace",
    "import_id",
    "ignore_changes",
    "replace_on_changes",
    "aliases",
    "timeouts",
    "additional_secret_outputs",
)


def differences(shown: Any, done: Any, path: str) -> Iterator[str]:
    """Where a known part of a preview's inputs is another one in the `up`, or secret in one of them alone."""
    if isinstance(shown, Secret) and isinstance(done, Secret):
        yield from differences(shown.value, done.value, path)
    elif shown == UNKNOWN_SENTINEL:
        return
    elif isinstance(shown, dict) and isinstance(done, dict):
        for key in shown.keys() | done.keys():
            yield from differences(shown.get(key), done.get(key), f"{path}.{key}")
    elif isinstance(shown, list) and isinstance(done, list) and len(shown) == len(done):
        for index, (one, other) in enumerate(zip(shown, done, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif shown != done:
        yield f"{path}: {shown!r} becomes {done!r}"


def registered(registrations: list[Registration]) -> dict[str, Registration]:
    return {item.urn: item for item in registrations}


@pytest.mark.parametrize("mode", MODES)
def test_a_preview_shows_what_the_up_does_or_that_it_is_not_known(mode: str) -> None:
    shown = registered(run_program(configured(mode), directory(), preview=True).registrations)
    done = registered(recorded(mode).registrations)
    assert shown.keys() == done.keys()
    found = [
        difference
        for urn, item in shown.items()
        for difference in differences(item.inputs, done[urn].inputs, f"{item.name}: ")
    ]
    assert found == []
    for urn, item in shown.items():
        for option in OPTIONS:
            assert getattr(item, option) == getattr(done[urn], option), f"{option} of {item.name}"


def test_the_comparison_sees_what_stands_in_for_the_unknown() -> None:
    """A search that finds nothing has to be one that could."""
    assert list(differences({"a": [{"b": "-"}]}, {"a": [{"b": "c"}]}, "")) == [".a[0].b: '-' becomes 'c'"]
    assert list(differences({"a": Secret("x")}, {"a": "x"}, ""))
    assert list(differences({}, {"a": 1}, "")) == [".a: None becomes 1"]
    assert list(differences({"a": UNKNOWN_SENTINEL, "b": Secret(UNKNOWN_SENTINEL)}, {"a": 1, "b": Secret(2)}, "")) == []
