"""The programs `psql` and `aws`, as pods and people find them on PATH.

Each is a small script that runs a module of this package with the sandbox's own Python, regardless of the caller's
environment.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

LAUNCHED = {"psql": "sandbox.cloud.psql", "aws": "sandbox.cloud.aws_cli"}

_SCRIPT = """#!/bin/sh
exec {python} -c 'import sys
# The first entry is the caller'"'"'s directory, which holds no modules of ours.
sys.path[0] = sys.argv.pop(1)
from {module} import main
sys.exit(main(sys.argv[1:]))' {repository} "$@"
"""


def install_launchers(
    bin_directory: Path, python: Path, repository: Path, names: Sequence[str] = tuple(LAUNCHED)
) -> list[Path]:
    """Write the launchers of `names` and return their paths.

    `python` has this project's requirements installed; `repository` is the checkout.
    """
    bin_directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        path = bin_directory / name
        path.write_text(
            _SCRIPT.format(
                module=LAUNCHED[name], python=shlex.quote(str(python)), repository=shlex.quote(str(repository))
            )
        )
        path.chmod(0o755)
        written.append(path)
    return written
