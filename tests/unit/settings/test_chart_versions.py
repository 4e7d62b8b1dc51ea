"""What the program knows about chart versions: how it reads a version, and which values each version accepts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.settings.chart_versions import KNOWN_CHARTS, knows, numbers

pytestmark = pytest.mark.unit


def test_a_name_stands_for_all_below_it_and_for_no_other() -> None:
    chart = dataclasses.replace(KNOWN_CHARTS[0], values=frozenset({"image", "log.level"}))
    for value in ("image", "image.tag", "log.level", "log.level.below"):
        assert knows(chart, value)
    for value in ("imagePullSecrets", "log", "log.levels", "log.format", "metrics"):
        assert not knows(chart, value)


@given(st.text())
def test_any_text_is_read_as_three_numbers(text: str) -> None:
    assert [number >= 0 for number in numbers(text)] == [True] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", (0, 0, 0)), ("18", (18, 0, 0)), ("18.7", (18, 7, 0)), ("v18.7.2-rc.1", (18, 7, 2)), ("1.2.3.4", (1, 2, 3))],
)
def test_what_a_version_leaves_out_is_0(text: str, expected: tuple[int, int, int]) -> None:
    assert numbers(text) == expected
