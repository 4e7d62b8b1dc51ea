"""Go programs for tests, our own and others', each compiled once and kept beside the sandbox's tools."""

from __future__ import annotations

from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.build import build, workshop
from sandbox.toolchain.tools import GoProgram, contents

# Disk space needed while compiling.
SMALL_BYTES = 2_000_000_000


def compiled(cache: Cache, sources: Path, name: str) -> Path:
    """The program from `sources`, a module's directory. Raises ToolchainError."""
    program = GoProgram(
        name=name,
        title=name,
        version=contents(sources),
        module=name,
        package=".",
        # Includes fetching modules and, for some programs, compiling the engine's or AWS's SDK.
        expected_seconds=90,
        workspace=name,
        sources=sources,
    )
    return built(cache, program)


def built(cache: Cache, program: GoProgram) -> Path:
    """Any program, compiled as the sandbox compiles its tools. Raises ToolchainError."""
    path = cache.tools / program.directory / program.name
    if not path.exists():
        with workshop(cache, SMALL_BYTES) as find_go:
            if not path.exists():
                build(program, cache, find_go(), position=1, total=1)
    return path
