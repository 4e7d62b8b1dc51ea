"""Go programs for tests, the tests' own and others', each compiled once and kept beside the sandbox's tools."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.build import build, workshop
from sandbox.toolchain.tools import GoProgram

# Modules to fetch and AWS's SDK to compile, on a slow machine.
BUILD_SECONDS = 600
# Of disk, while it is compiled.
SMALL_BYTES = 2_000_000_000


def compiled(cache: Cache, sources: Path, name: str) -> Path:
    """The program of `sources`, a module's directory. What it needs comes by the proxy that Go is set up with, at the
    sums that its go.sum has."""
    digest = hashlib.sha256()
    for source in sorted(sources.iterdir()):
        digest.update(f"{source.name}\0".encode() + source.read_bytes() + b"\0")
    program = cache.tools / f"{name}-{digest.hexdigest()[:16]}" / name
    if program.exists():
        return program
    with workshop(cache, SMALL_BYTES) as find_go:
        if program.exists():
            return program
        go = find_go()
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
    return program


def built(cache: Cache, program: GoProgram) -> Path:
    """Somebody else's, compiled as the sandbox compiles its tools. Raises ToolchainError."""
    path = cache.tools / program.directory / program.name
    if not path.exists():
        with workshop(cache, SMALL_BYTES) as find_go:
            if not path.exists():
                build(program, cache, find_go(), position=1, total=1)
    return path
