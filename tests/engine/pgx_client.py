"""The Go program in `pgx/`, which connects to the database as the access graph does."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.home import Cache
from tests.engine.go_programs import compiled

SOURCES = Path(__file__).parent / "pgx"
NAME = "pgx-client"
SECONDS = 180


def pgx_client(cache: Cache) -> Path:
    return compiled(cache, SOURCES, NAME)


def run_client(program: Path, environment: Mapping[str, str], *, fails: bool = False) -> dict[str, Any]:
    """Run `prove`; returns what it printed. The URI is passed only in the environment."""
    done = subprocess.run(
        [program, "prove"], env=dict(environment), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed
