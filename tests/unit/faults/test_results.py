"""The long test goes on where it stopped, on the commit that it began with, and publishes what it came through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.plugins.faults import Point
from tests.faults.results import Results

pytestmark = pytest.mark.unit

POINTS = [Point(name, "create", moment) for name in ("key", "job") for moment in ("before", "after")]


def test_what_was_struck_is_not_struck_again_on_the_same_commit(tmp_path: Path) -> None:
    file = tmp_path / "soak" / "results.json"
    first = Results.read(file, "abc", "2026-06-01")
    assert first.left("up", POINTS) == POINTS
    first.add("up", POINTS[:3])
    first.write(file)

    resumed = Results.read(file, "abc", "2026-06-02")
    assert resumed.left("up", POINTS) == POINTS[3:]
    assert not resumed.complete
    resumed.add("up", POINTS[3:])
    assert resumed.complete
    assert Results.read(file, "def", "2026-06-02").left("up", POINTS) == POINTS


def test_the_counts_are_published_with_commit_and_date(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results = Results.read(file, "abc", "2026-06-01")
    results.left("up", POINTS)
    results.add("up", POINTS)
    results.left("destroy", POINTS[:2])
    results.add("destroy", POINTS[:1])
    results.seeds["1"] = ["rotate", "killed at key create before engine", "off", "killed at key delete after engine"]
    results.write(file)
    document = json.loads(file.read_text())
    assert (document["commit"], document["date"]) == ("abc", "2026-06-01")
    assert document["counts"] == {
        "journeys": {"up": {"points": 4, "converged": 4}, "destroy": {"points": 2, "converged": 1}},
        "points": 6,
        "converged": 5,
        "sequences": 1,
        "kills": 2,
    }
    assert not results.complete


def test_nothing_is_not_complete(tmp_path: Path) -> None:
    assert not Results.read(tmp_path / "none", "abc", "2026-06-01").complete
