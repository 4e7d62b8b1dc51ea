"""results.json and results.svg: the rows, with every measurement and the plugins that were used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bench.measuring import Figure
from bench.plot import plot


def write_results(directory: Path, found: Sequence[Figure], plugins: Sequence[dict[str, str]]) -> None:
    """Rows that were not measured now stay as they were, and so do the plugins if none were used."""
    file = directory / "results.json"
    document: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    measured = {figure.name: figure for figure in found}
    former = _figures(document)
    rows = [measured.pop(figure.name, figure) for figure in former] + list(measured.values())
    today = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    document = {
        "results": [figure.row() for figure in rows],
        "measured": today,
        "plugins": list(plugins) or document.get("plugins", []),
        "detail": {figure.name: figure.detail() for figure in rows},
    }
    directory.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")
    (directory / "results.svg").write_text(plot(rows, f"Ratios to their reach, {today}"))
    print(f"written: {file}, {directory / 'results.svg'}")


def _figures(document: Mapping[str, Any]) -> list[Figure]:
    details = document.get("detail", {})
    return [Figure(name=row["name"], reach=row["reach"], **details[row["name"]]) for row in document.get("results", [])]
