"""The components as a wheel, built from a checkout as pip does it, and installed for a test.

Owns the pin of the build's one requirement, which is fetched once and cached; everything after that is offline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from sandbox.home import CHECKOUT, Cache
from sandbox.toolchain.build import exclusive

SETUPTOOLS = "setuptools==80.9.0"
SECONDS = 300
# Everything the build reads; building in the checkout itself would leave intermediate files there.
SOURCES = ("components", "pyproject.toml", "setup.py", "README.md")


def copied_sources(directory: Path) -> Path:
    directory.mkdir()
    for name in SOURCES:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, directory / name)
    return directory


def build_environment() -> dict[str, str]:
    """An environment in which Python finds the build's requirement, but not the tests' installed packages."""
    cache = Cache.from_environment()
    home = cache.tools / SETUPTOOLS.replace("==", "-")
    with exclusive(cache):
        if not (home / "setuptools").exists():
            _pip("install", "--no-deps", "--target", str(home), SETUPTOOLS)
    return {**os.environ, "PYTHONPATH": str(home)}


def built_wheel(sources: Path, directory: Path) -> Path:
    options = ("--no-build-isolation", "--no-deps", "--no-index")
    _pip("wheel", *options, "--wheel-dir", str(directory), str(sources), environment=build_environment())
    (wheel,) = directory.glob("*.whl")
    return wheel


def installed(wheel: Path, directory: Path) -> Path:
    """Installs the wheel; returns the directory to put on Python's path."""
    _pip("install", "--no-deps", "--no-index", "--target", str(directory), str(wheel))
    return directory


def _pip(*arguments: str, environment: dict[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
