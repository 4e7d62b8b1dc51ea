"""The soak test refuses what it cannot do, and ends when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults import soak

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def not_stopping() -> Iterator[None]:
    yield
    soak.stopping.clear()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--journeys", "up,rotat"], "there is no rotat: a run is one of up, "),
        (["--sequences", "-3"], "-3 is less than 0"),
        (["--streams", "-1"], "-1 is less than 0"),
    ],
)
def test_what_it_could_not_do_is_refused_before_anything_starts(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        soak.main(arguments)
    assert said in capsys.readouterr().err


def test_an_interrupt_ends_every_part_and_waits_for_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[str] = []

    def part(*given: Any) -> None:
        assert soak.stopping.wait(60)
        ended.append(given[-1] if isinstance(given[-1], str) else "journeys")
        raise soak.BrokenOff

    def interrupted(parts: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "journeys", part)
    monkeypatch.setattr(soak, "stream", part)
    monkeypatch.setattr(soak, "as_completed", interrupted)
    assert soak.main(["--results", str(tmp_path)]) == soak.INTERRUPTED
    assert sorted(ended) == ["journeys", "sequences-0"]
    said = capsys.readouterr().err
    assert said.startswith("broken off: ")
    assert "not converged" not in said


def test_a_life_is_left_at_the_next_kill() -> None:
    soak.tell([])
    soak.stopping.set()
    with pytest.raises(soak.BrokenOff):
        soak.tell([])
