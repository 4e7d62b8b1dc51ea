"""What a preview shows is either what the `up` does or still unknown: in every mode, for every input and option.

A placeholder text for an unknown value would show as a change, and would be stored in whatever is made from it.
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
    """Paths at which a known part of the preview's inputs differs from the `up`'s, or is secret in only one of the
    two."""
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
    """Shows that the comparison would find a placeholder; otherwise its silence would prove nothing."""
    assert list(differences({"a": [{"b": "-"}]}, {"a": [{"b": "c"}]}, "")) == [".a[0].b: '-' becomes 'c'"]
    assert list(differences({"a": Secret("x")}, {"a": "x"}, ""))
    assert list(differences({}, {"a": 1}, "")) == [".a: None becomes 1"]
    assert list(differences({"a": UNKNOWN_SENTINEL, "b": Secret(UNKNOWN_SENTINEL)}, {"a": 1, "b": Secret(2)}, "")) == []
