"""What the long test has come through, written after every step: it is resumed from here, and published from here.

Owns the file's form. A result belongs to one commit; another commit begins anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sandbox.plugins.faults import Point

# How a kill begins in what happened.
KILLED = "killed at "


@dataclass
class Results:
    """`points` are those that a run has, `struck` those at which it was killed and came back."""

    commit: str
    date: str
    points: dict[str, list[str]] = field(default_factory=dict)
    struck: dict[str, list[str]] = field(default_factory=dict)
    seeds: dict[str, list[str]] = field(default_factory=dict)
    """Random sequences: the seed and what happened in it."""

    @classmethod
    def read(cls, file: Path, commit: str, date: str) -> Results:
        """Those of that commit so far; none yet where the file is of another one, or not there."""
        try:
            document = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            document = {}
        if document.get("commit") != commit:
            return cls(commit, date)
        return cls(commit, date, document["points"], document["struck"], document["seeds"])

    def left(self, journey: str, points: list[Point]) -> list[Point]:
        """Points of this run that have not been struck yet."""
        known = self.points.setdefault(journey, [])
        known += [str(point) for point in points if str(point) not in known]
        return [point for point in points if str(point) not in self.struck.get(journey, [])]

    def add(self, journey: str, struck: list[Point]) -> None:
        done = self.struck.setdefault(journey, [])
        done += [str(point) for point in struck if str(point) not in done]

    @property
    def counts(self) -> dict[str, Any]:
        """What is published: per run and altogether."""
        journeys = {
            journey: {"points": len(points), "converged": len(self.struck.get(journey, []))}
            for journey, points in self.points.items()
        }
        return {
            "journeys": journeys,
            "points": sum(one["points"] for one in journeys.values()),
            "converged": sum(one["converged"] for one in journeys.values()),
            "sequences": len(self.seeds),
            "kills": sum(event.startswith(KILLED) for events in self.seeds.values() for event in events),
        }

    @property
    def complete(self) -> bool:
        counts = self.counts
        return bool(counts["points"]) and counts["points"] == counts["converged"]

    def write(self, file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        document = {"commit": self.commit, "date": self.date, "counts": self.counts, **asdict(self)}
        unfinished = file.with_suffix(".writing")
        unfinished.write_text(json.dumps(document, indent=2) + "\n")
        unfinished.replace(file)
