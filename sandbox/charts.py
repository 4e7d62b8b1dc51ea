"""Packages the sandbox's charts, so that the program gets them like published charts: as versioned files.

Owns `<home>/charts`. An unchanged chart keeps its file, so the stack sees no difference.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from sandbox.home import CHECKOUT, Home
from sandbox.supervisor import SandboxError

SOURCES = CHECKOUT / "sandbox" / "charts"
ACCESS_GRAPH = "teleport-access-graph"
TELEPORT = "teleport-cluster"


def package_chart(home: Home, name: str, environment: Mapping[str, str]) -> Path:
    """The chart's `.tgz`, rebuilt only if its source changed."""
    source = SOURCES / name
    version = yaml.safe_load((source / "Chart.yaml").read_text())["version"]
    archive = home.charts / f"{name}-{version}.tgz"
    record = home.charts / f"{name}.sha256"
    digest = _digest(source)
    if archive.exists() and record.exists() and record.read_text() == digest:
        return archive
    record.unlink(missing_ok=True)
    done = subprocess.run(
        [home.bin / "helm", "package", str(source), "--destination", str(home.charts)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SandboxError(f"could not package the chart {name}: {(done.stderr or done.stdout).strip()}")
    record.write_text(digest)
    return archive


def _digest(source: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        contents = file.read_bytes()
        digest.update(f"{file.relative_to(source)}\0{len(contents)}\0".encode())
        digest.update(contents)
    return digest.hexdigest()
