"""Go programs of the tests' own, each compiled once for each content and kept beside the sandbox's tools."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.build import exclusive
from sandbox.toolchain.go import find_go

# Modules to fetch and AWS's SDK to compile, on a slow machine.
BUILD_SECONDS = 600


def compiled(cache: Cache, sources: Path, name: str) -> Path:
    """The program of `sources`, a module's directory. What it needs comes by the proxy that Go is set up with, at the
    sums that its go.sum has."""
    digest = hashlib.sha256()
    for source in sorted(sources.iterdir()):
        digest.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
    program = cache.tools / f"{name}-{digest.hexdigest()[:16]}" / name
    if program.exists():
        return program
    with exclusive(cache):
        cache.logs.mkdir(parents=True, exist_ok=True)
        go = find_go(cache, cache.logs / "go.log")
        staging = program.parent.with_suffix(".partial")
        shutil.rmtree(staging, ignore_errors=True)
        done = subprocess.run(
            [go.command, "build", "-trimpath", "-ldflags", "-s -w", "-o", staging / name, "."],
            cwd=sources,
            # Nothing but what go.mod and go.sum say.
            env={**go.environment, "GOFLAGS": "-mod=readonly -modcacherw"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
        )
        assert done.returncode == 0, f"{name} does not build:\n{done.stderr}"
        for stale in cache.tools.glob(f"{name}-*"):
            if stale != staging:
                shutil.rmtree(stale)
        staging.rename(program.parent)
        # As after every build: hundreds of megabytes that only a further one would read.
        shutil.rmtree(cache.work, ignore_errors=True)
    return program
