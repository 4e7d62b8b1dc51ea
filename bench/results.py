"""results.json and results.svg: the rows, and beside them every measurement and the plugins that were used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from bench.measuring import Figure
from bench.plot import plot


def write_results(directory: Path, found: Sequence[Figure], plugins: Sequence[dict[str, str]]) -> None:
    measured = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    document = {
        "results": [figure.row() for figure in found],
        "measured": measured,
        "plugins": list(plugins),
        "detail": {figure.name: figure.detail() for figure in found},
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    (directory / "results.svg").write_text(plot(found, f"Ratios to their reach, {measured}"))
    print(f"written: {directory / 'results.json'}, {directory / 'results.svg'}")
