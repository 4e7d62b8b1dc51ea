"""The Go program in `pgx/`, which reaches the database as the access graph does; compiled once for each content."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sandbox.home import Cache
from sandbox.toolchain.build import exclusive
from sandbox.toolchain.go import find_go

SOURCES = Path(__file__).parent / "pgx"
NAME = "pgx-client"
# Modules to fetch and AWS's SDK to compile, on a slow machine.
BUILD_SECONDS = 600
SECONDS = 60


def pgx_client(cache: Cache) -> Path:
    """The compiled program. Modules come by the proxy that Go is set up with, at the sums that go.sum has."""
    digest = hashlib.sha256()
    for source in sorted(SOURCES.iterdir()):
        digest.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
    program = cache.tools / f"{NAME}-{digest.hexdigest()[:16]}" / NAME
    if program.exists():
        return program
    with exclusive(cache):
        cache.logs.mkdir(parents=True, exist_ok=True)
        go = find_go(cache, cache.logs / "go.log")
        staging = program.parent.with_suffix(".partial")
        shutil.rmtree(staging, ignore_errors=True)
        done = subprocess.run(
            [go.command, "build", "-trimpath", "-ldflags", "-s -w", "-o", staging / NAME, "."],
            cwd=SOURCES,
            # Nothing but what go.mod and go.sum say.
            env={**go.environment, "GOFLAGS": "-mod=readonly -modcacherw"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
        assert done.returncode == 0, f"{NAME} does not build:\n{done.stderr}"
        for stale in cache.tools.glob(f"{NAME}-*"):
            if stale != staging:
                shutil.rmtree(stale)
        staging.rename(program.parent)
        # As after every build: hundreds of megabytes that only a further one would read.
        shutil.rmtree(cache.work, ignore_errors=True)
    return program


def run_client(program: Path, environment: Mapping[str, str], *, fails: bool = False) -> dict[str, Any]:
    """`prove`: what it printed. The URI reaches it in its environment alone."""
    done = subprocess.run(
        [program, "prove"], env=dict(environment), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed
