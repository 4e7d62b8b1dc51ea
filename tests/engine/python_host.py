"""The engine's official Python host, compiled from its Go module.

The host is of 2023, the newest in a module of its own code. The executor, with which the program itself deals, is
current.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.tools import GoProgram
from tests.engine.go_programs import built
from tests.published import PYTHON_EXECUTOR, fetched

HOST = GoProgram(
    name="pulumi-language-python",
    title="Pulumi's Python host",
    version="3.68.0",
    module="github.com/pulumi/pulumi/sdk/v3",
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    expected_seconds=60,
    workspace="python-host",
)


def python_host(directory: Path) -> Path:
    """Puts the host and its executor into `directory`, and returns it."""
    program = built(Cache.from_environment(), HOST)
    # Copies, because the host looks for its executor beside its own file, even if it is started by a link.
    for source in (program, fetched(PYTHON_EXECUTOR) / f"{HOST.name}-exec"):
        shutil.copyfile(source, directory / source.name)
        (directory / source.name).chmod(0o755)
    return directory


def hosted(environment: Mapping[str, str], host: Path) -> dict[str, str]:
    """`environment`, in which the engine takes the host in that directory: it looks on PATH first."""
    return {**environment, "PATH": f"{host}{os.pathsep}{environment['PATH']}"}
