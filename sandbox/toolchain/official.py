"""Official plugins, compiled from Go modules, for machines that cannot download the releases.

Owns what the modules lack: for kubernetes, a `main`; for the others, whose plugins are in no module, a `main` that
serves Terraform's provider of that name through Pulumi's bridge, as the official plugin does. `sandbox.plugins.install`
decides when a compiled plugin serves.
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
from sandbox.toolchain import aws_provider
from sandbox.toolchain.build import build, clock, download, required, workshop
from sandbox.toolchain.diagnosis import explain
from sandbox.toolchain.go import Go
from sandbox.toolchain.tools import (
    BRIDGED_PLUGINS,
    KUBERNETES_PLUGIN,
    KUBERNETES_PLUGIN_VERSION_VARIABLE,
    GoProgram,
    contents,
)

OFFICIAL_PLUGINS: Final = ("kubernetes", *BRIDGED_PLUGINS)
# AWS only on request: its plugin polls for a database every half minute, and here one is ready in two seconds.
USUAL_PLUGINS: Final = ("kubernetes", "tls", "random")

_MAIN: Final = Path(__file__).parent / "kubernetes_plugin" / "main.go"
_COMMAND: Final = Path("cmd") / KUBERNETES_PLUGIN.name


def build_plugins(cache: Cache, versions: Mapping[str, str], *, say: Callable[[str], None] = print) -> dict[str, Path]:
    """The programs by plugin name, kept beside the sandbox's tools and built once. Raises ToolchainError.

    `versions` holds the wanted ones of `OFFICIAL_PLUGINS`, each with the version the SDK asks for, without `v`: on
    every run the engine warns about a plugin that reports an older one.
    """
    programs = {name: _program(name, version) for name, version in versions.items()}
    paths = {name: cache.tools / program.directory / program.name for name, program in programs.items()}
    if all(path.exists() for path in paths.values()):
        return paths
    started = time.monotonic()
    with workshop(cache) as find_go:
        missing = [name for name, path in paths.items() if not path.exists()]
        if missing:
            seconds = sum(programs[name].expected_seconds for name in missing)
            what = f"{', '.join(missing)} from official sources (about {clock(seconds)} minutes on two cores)"
            say(f"once for this machine: building the plugins {what}")
            go = find_go()
            for position, name in enumerate(missing, 1):
                program, log = programs[name], cache.logs / f"{name}-sources.log"
                if program.sources is None:
                    _complete(cache.work / program.workspace, versions[name], go, log)
                elif name == "aws":
                    program = _with_fewer_services(program, cache.work / program.workspace, go, log)
                build(program, cache, go, position=position, total=len(missing))
            say(f"built in {clock(time.monotonic() - started)}")
    return paths


def _program(name: str, version: str) -> GoProgram:
    if name == "kubernetes":
        stamp = f"v{_stamped(version)}"
        return replace(KUBERNETES_PLUGIN, linker_variables=((KUBERNETES_PLUGIN_VERSION_VARIABLE, stamp),))
    bridged = BRIDGED_PLUGINS[name]
    assert bridged.sources is not None
    edition = f"{version}-{contents(bridged.sources)}"
    return replace(bridged, version=edition, linker_variables=(("main.version", version),))


def _stamped(version: str) -> str:
    return f"{version}+{KUBERNETES_PLUGIN.version.rpartition('-')[2]}"


def _complete(workspace: Path, version: str, go: Go, log: Path) -> None:
    """Write what is compiled: a `main`, and the module's two files that it embeds, without their whitespace."""
    workspace.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        try:
            module = download(KUBERNETES_PLUGIN, go, output.fileno())
        except subprocess.CalledProcessError:
            raise explain(f"fetch the {KUBERNETES_PLUGIN.title}", log) from None
    sources = Path(str(module["Dir"])) / _COMMAND
    schema: Mapping[str, object] = json.loads((sources / "schema.json").read_text())
    _write(workspace / "schema.json", {**schema, "version": _stamped(version)})
    _write(workspace / "terraform-mapping.json", json.loads((sources / "terraform-mapping.json").read_text()))
    shutil.copyfile(_MAIN, workspace / _MAIN.name)


def _with_fewer_services(program: GoProgram, workspace: Path, go: Go, log: Path) -> GoProgram:
    """The same program, built from a copy whose provider has only the services in use."""
    assert program.sources is not None
    with log.open("wb") as output:
        try:
            module = required(program.sources, aws_provider.MODULE, go, output.fileno())
        except subprocess.CalledProcessError:
            raise explain("fetch Terraform's AWS provider", log) from None
    return replace(program, sources=aws_provider.copy_module(program.sources, module, workspace))


def _write(path: Path, document: Mapping[str, object]) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")))
