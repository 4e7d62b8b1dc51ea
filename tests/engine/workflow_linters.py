"""The linters of the GitHub workflows: actionlint, compiled as the sandbox compiles its tools, and zizmor, a wheel.

Owns their pins. Both are cached; the first run takes about a minute.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.build import exclusive
from sandbox.toolchain.tools import GoProgram
from tests.engine.go_programs import built

ZIZMOR = "zizmor==1.32.0"
ACTIONLINT = GoProgram(
    name="actionlint",
    title="actionlint",
    version="1.7.12",
    module="github.com/rhysd/actionlint",
    package="github.com/rhysd/actionlint/cmd/actionlint",
    expected_seconds=60,
    workspace="actionlint",
)
FETCH_SECONDS = 300


def actionlint() -> Path:
    """The path of its program. Raises ToolchainError if it cannot be built."""
    return built(Cache.from_environment(), ACTIONLINT)


def zizmor() -> Path:
    """The path of its program."""
    cache = Cache.from_environment()
    home = cache.tools / ZIZMOR.replace("==", "-")
    program = home / "bin" / "zizmor"
    with exclusive(cache):
        if not program.exists():
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            subprocess.run([*command, "--target", str(home), ZIZMOR], check=True, timeout=FETCH_SECONDS)
    return program
