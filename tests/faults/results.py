"""The results of the long test, written after every step, so that the test can be resumed and the counts published.

Owns the form of the files. A result belongs to one commit; on another commit the test begins anew. Several threads may
call every method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from sandbox.plugins.faults import Point

POINTS, SEQUENCES = "points.json", "sequences.json"
# Events of a sequence besides its moves. A kill also says where.
KILLED = "killed at "
TURNED = "and "  # a switch, in the same `up` as the move before it
RESTARTED, TAKEN_BACK, NOT_TAKEN_BACK = "pods restarted", "taken back", "not to be taken back"


class _Published:
    """The results file of one part: commit, date, counts, and what was counted."""

    def __init__(self, file: Path, commit: str, date: str) -> None:
        self.file = file
        self._commit, self._date = commit, date
        self._lock = Lock()

    def _read(self) -> Mapping[str, Any]:
        """The file's content; empty if the file is missing, unreadable or of another commit."""
        try:
            document: Mapping[str, Any] = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return document if document.get("commit") == self._commit else {}

    def _write(self, counts: Mapping[str, Any], **counted: Any) -> None:
        self.file.parent.mkdir(exist_ok=True)
        document = {"commit": self._commit, "date": self._date, "counts": counts, **counted}
        unfinished = self.file.with_suffix(".writing")
        unfinished.write_text(json.dumps(document, indent=2) + "\n")
        unfinished.replace(self.file)


class Points(_Published):
    """For each journey: all its points, and those at which it was killed and converged afterwards."""

    def __init__(self, directory: Path, commit: str, date: str) -> None:
        super().__init__(directory / POINTS, commit, date)
        found = self._read()
        self._points: dict[str, list[str]] = found.get("points", {})
        self._struck: dict[str, list[str]] = found.get("struck", {})

    def left(self, journey: str, points: list[Point]) -> list[Point]:
        """Those of `points` at which this journey has not been killed yet."""
        with self._lock:
            known = self._points.setdefault(journey, [])
            known += [str(point) for point in points if str(point) not in known]
            return [point for point in points if str(point) not in self._struck.get(journey, [])]

    def add(self, journey: str, struck: list[Point]) -> None:
        with self._lock:
            done = self._struck.setdefault(journey, [])
            done += [str(point) for point in struck if str(point) not in done]
            self._write(self.counts, points=self._points, struck=self._struck)

    @property
    def counts(self) -> dict[str, Any]:
        """The published counts, for each journey and in total."""
        journeys = {
            journey: {"points": len(points), "converged": len(self._struck.get(journey, []))}
            for journey, points in self._points.items()
        }
        return {
            "journeys": journeys,
            "points": sum(one["points"] for one in journeys.values()),
            "converged": sum(one["converged"] for one in journeys.values()),
        }

    @property
    def complete(self) -> bool:
        counts = self.counts
        return bool(counts["points"]) and counts["points"] == counts["converged"]


class Sequences(_Published):
    """The seeds of random sequences that converged, and what happened in each."""

    def __init__(self, directory: Path, commit: str, date: str) -> None:
        super().__init__(directory / SEQUENCES, commit, date)
        self._happened: dict[str, list[str]] = self._read().get("sequences", {})

    def left(self, count: int) -> list[int]:
        """Those of the seeds 1 to `count` whose sequences have not converged yet."""
        return [seed for seed in range(1, count + 1) if str(seed) not in self._happened]

    def add(self, seed: int, happened: list[str]) -> None:
        with self._lock:
            self._happened[str(seed)] = happened
            ordered = dict(sorted(self._happened.items(), key=lambda item: int(item[0])))
            self._write(self.counts, sequences=ordered)

    @property
    def counts(self) -> dict[str, int]:
        """How many sequences, moves and turned switches there were, and how often the engine was killed, pods were
        restarted and a change was taken back."""
        events = [event for happened in self._happened.values() for event in happened]
        kills = sum(event.startswith(KILLED) for event in events)
        turned = sum(event.startswith(TURNED) for event in events)
        restarts, back = events.count(RESTARTED), events.count(TAKEN_BACK)
        others = kills + turned + restarts + back + events.count(NOT_TAKEN_BACK)
        return {
            "sequences": len(self._happened),
            "changes": len(events) - others,
            "settings turned beside": turned,
            "kills": kills,
            "pods restarted": restarts,
            "taken back": back,
        }
