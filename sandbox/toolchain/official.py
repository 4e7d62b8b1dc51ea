"""The official kubernetes plugin, compiled from its own Go module, for machines that cannot download the release.

Owns what its module lacks for that. When it serves is `sandbox.plugins.install`'s choice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from sandbox.home import Cache
from sandbox.toolchain.build import build, clock, download, workshop
from sandbox.toolchain.diagnosis import explain
from sandbox.toolchain.go import Go
from sandbox.toolchain.tools import KUBERNETES_PLUGIN, KUBERNETES_PLUGIN_VERSION_VARIABLE

_MAIN: Final = Path(__file__).parent / "kubernetes_plugin" / "main.go"
_COMMAND: Final = Path("cmd") / KUBERNETES_PLUGIN.name


def build_kubernetes_plugin(cache: Cache, version: str, *, say: Callable[[str], None] = print) -> Path:
    """The program, which is kept beside the sandbox's tools and made once. Raises ToolchainError.

    `version`, without `v`, is what the SDK asks for: the engine warns in each run of a plugin that says less.
    """
    stamp = f"v{version}+{KUBERNETES_PLUGIN.version.rpartition('-')[2]}"
    tool = replace(KUBERNETES_PLUGIN, linker_variables=((KUBERNETES_PLUGIN_VERSION_VARIABLE, stamp),))
    program = cache.tools / tool.directory / tool.name
    if program.exists():
        return program
    started = time.monotonic()
    say(f"once for this machine: building the {tool.title} (about {clock(tool.expected_seconds)} minutes on two cores)")
    with workshop(cache) as find_go:
        if not program.exists():
            go = find_go()
            _complete(cache.work / tool.workspace, stamp, go, cache.logs / f"{tool.workspace}-sources.log")
            build(tool, cache, go, position=1, total=1)
    say(f"built in {clock(time.monotonic() - started)}")
    return program


def _complete(workspace: Path, version: str, go: Go, log: Path) -> None:
    """Writes what is compiled: a `main`, and the two files that it embeds, of the module's, without their layout."""
    workspace.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            module = download(KUBERNETES_PLUGIN, go, output.fileno())
        except subprocess.CalledProcessError:
            raise explain(f"fetch the {KUBERNETES_PLUGIN.title}", log) from None
    sources = Path(str(module["Dir"])) / _COMMAND
    schema: Mapping[str, object] = json.loads((sources / "schema.json").read_text())
    _write(workspace / "schema.json", {**schema, "version": version.removeprefix("v")})
    _write(workspace / "terraform-mapping.json", json.loads((sources / "terraform-mapping.json").read_text()))
    shutil.copyfile(_MAIN, workspace / _MAIN.name)


def _write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")))
