"""Go programs for tests, the tests' own and others', each compiled once and kept beside the sandbox's tools."""

from __future__ import annotations

from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.build import build, workshop
from sandbox.toolchain.tools import GoProgram, contents

# Of disk, while it is compiled.
SMALL_BYTES = 2_000_000_000


def compiled(cache: Cache, sources: Path, name: str) -> Path:
    """The program of `sources`, a module's directory. Raises ToolchainError."""
    program = GoProgram(
        name=name,
        title=name,
        version=contents(sources),
        module=name,
        package=".",
        # Modules to fetch, and for some of them the engine's or AWS's SDK to compile.
        expected_seconds=90,
        workspace=name,
        sources=sources,
    )
    return built(cache, program)


def built(cache: Cache, program: GoProgram) -> Path:
    """Somebody else's, or one of `sources`, compiled as the sandbox compiles its tools. Raises ToolchainError."""
    path = cache.tools / program.directory / program.name
    if not path.exists():
        with workshop(cache, SMALL_BYTES) as find_go:
            if not path.exists():
                build(program, cache, find_go(), position=1, total=1)
    return path
