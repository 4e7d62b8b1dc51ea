"""The soak test resumes where it stopped, on the commit with which it began, and publishes what it has completed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.plugins.faults import Point
from tests.faults.results import POINTS, SEQUENCES, Points, Sequences

pytestmark = pytest.mark.unit

EVERY = [Point(name, "create", moment) for name in ("key", "job") for moment in ("before", "after")]


def test_what_was_struck_is_not_struck_again_on_the_same_commit(tmp_path: Path) -> None:
    directory = tmp_path / "soak"
    first = Points(directory, "abc", "2026-06-01")
    assert first.left("up", EVERY) == EVERY
    first.add("up", EVERY[:3])

    resumed = Points(directory, "abc", "2026-06-02")
    assert resumed.left("up", EVERY) == EVERY[3:]
    assert not resumed.complete
    resumed.add("up", EVERY[3:])
    assert resumed.complete
    assert Points(directory, "def", "2026-06-02").left("up", EVERY) == EVERY


def test_the_counts_of_points_are_published_with_commit_and_date(tmp_path: Path) -> None:
    points = Points(tmp_path, "abc", "2026-06-01")
    points.left("up", EVERY)
    points.add("up", EVERY)
    points.left("destroy", EVERY[:2])
    points.add("destroy", EVERY[:1])
    document = json.loads((tmp_path / POINTS).read_text())
    assert (document["commit"], document["date"]) == ("abc", "2026-06-01")
    assert document["counts"] == {
        "journeys": {"up": {"points": 4, "converged": 4}, "destroy": {"points": 2, "converged": 1}},
        "points": 6,
        "converged": 5,
    }
    assert not points.complete


def test_nothing_is_not_complete(tmp_path: Path) -> None:
    assert not Points(tmp_path / "none", "abc", "2026-06-01").complete


def test_a_sequence_that_converged_is_not_repeated_on_the_same_commit(tmp_path: Path) -> None:
    sequences = Sequences(tmp_path, "abc", "2026-06-01")
    assert sequences.left(3) == [1, 2, 3]
    sequences.add(10, ["labels"])
    sequences.add(
        2, ["rotate", "and tls.trust", "killed at key create before engine", "pods restarted", "taken back", "off"]
    )
    resumed = Sequences(tmp_path, "abc", "2026-06-02")
    assert resumed.left(3) == [1, 3]
    assert Sequences(tmp_path, "def", "2026-06-02").left(3) == [1, 2, 3]
    document = json.loads((tmp_path / SEQUENCES).read_text())
    assert list(document["sequences"]) == ["2", "10"]
    assert document["counts"] == {
        "sequences": 2,
        "changes": 3,
        "settings turned beside": 1,
        "kills": 1,
        "pods restarted": 1,
        "taken back": 1,
    }
