"""Chooses each tool: from PATH if the version serves, else from the cache, else by a build.

Owns the order of preference and how it is reported. `build` compiles.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox.home import Cache
from sandbox.toolchain.build import build, clock, workshop
from sandbox.toolchain.tools import TOOLS, Tool, Version


@dataclass(frozen=True)
class ChosenTool:
    """A program to run. `note` says why one on PATH was passed over, if one was."""

    name: str
    version: str
    path: Path
    source: Literal["PATH", "built"]
    note: str = ""


@dataclass(frozen=True)
class Toolchain:
    """Every tool, by name."""

    tools: Mapping[str, ChosenTool]

    def path(self, name: str) -> Path:
        return self.tools[name].path


def ensure_toolchain(
    cache: Cache,
    *,
    not_from: tuple[Path, ...] = (),
    environment: Mapping[str, str] = os.environ,
    say: Callable[[str], None] = print,
) -> Toolchain:
    """Every tool; builds those that are missing. `not_from`: directories whose programs are ours, not the user's.

    Raises ToolchainError.
    """
    chosen: dict[str, ChosenTool] = {}
    missing: list[tuple[Tool, str]] = []
    for tool in TOOLS:
        note = ""
        found = on_path(tool.name, environment.get("PATH", ""), (*not_from, cache.root))
        if found:
            version = version_of(found, tool.version_arguments)
            if version and tool.serves(version):
                chosen[tool.name] = ChosenTool(tool.name, ".".join(map(str, version)), found, "PATH")
                continue
            note = f"{found} is {'.'.join(map(str, version)) if version else 'of unknown version'}, not {tool.wanted}"
        cached = cache.tools / tool.directory / tool.name
        if cached.exists():
            chosen[tool.name] = ChosenTool(tool.name, tool.version, cached, "built", note)
        else:
            missing.append((tool, note))
    if missing:
        _build_missing(missing, cache, chosen, say)
    return Toolchain({tool.name: chosen[tool.name] for tool in TOOLS})


def _build_missing(
    missing: list[tuple[Tool, str]], cache: Cache, chosen: dict[str, ChosenTool], say: Callable[[str], None]
) -> None:
    started = time.monotonic()
    expected = clock(sum(tool.expected_seconds for tool, _ in missing))
    names = ", ".join(f"{tool.title} {tool.version}" for tool, _ in missing)
    say(f"once for this machine: building {names} into {cache.root} (about {expected} minutes on two cores)")
    built = 0
    with workshop(cache) as find_go:
        for position, (tool, note) in enumerate(missing, start=1):
            path = cache.tools / tool.directory / tool.name
            if not path.exists():
                go = find_go()
                if not built:
                    say(f"compiling with Go {go.version} ({go.source})")
                path = build(tool, cache, go, position=position, total=len(missing))
                built += 1
            chosen[tool.name] = ChosenTool(tool.name, tool.version, path, "built", note)
    say(f"{built} built in {clock(time.monotonic() - started)}; the next start finds them")


def on_path(name: str, path: str, not_from: tuple[Path, ...]) -> Path | None:
    """The first program of that name on PATH that neither is in one of our directories nor links into one."""
    for directory in path.split(os.pathsep):
        found = shutil.which(name, path=directory) if directory else None
        if found is None:
            continue
        places = {Path(found).absolute(), Path(found).resolve()}
        if not any(place.is_relative_to(own) for place in places for own in not_from):
            return Path(found).absolute()
    return None


def version_of(program: Path, arguments: tuple[str, ...]) -> Version | None:
    """The first version that the program prints, or None if it prints none or cannot run."""
    try:
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode != 0:
        return None
    return parse_version(done.stdout)


def parse_version(text: str) -> Version | None:
    """Handles `v3.19`, `Kubernetes v1.36.3` and `etcd Version: 3.6.13` alike; a missing patch number counts as 0."""
    found = re.search(r"(?<![\w.])v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return (int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)) if found else None
