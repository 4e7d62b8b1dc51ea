"""A chart before its installation: its metadata, from an archive, a directory or a repository.

Owns finding a chart; `helm.py` installs it.
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class ChartError(Exception):
    """The chart cannot be found, read or installed."""


@dataclass(frozen=True)
class Metadata:
    """The contents of `Chart.yaml`; `bundled` are the dependencies that the chart brings along."""

    name: str
    version: str
    application_version: str
    type: str
    dependencies: tuple[str, ...]
    bundled: frozenset[str]


def local_path(chart: str) -> Path | None:
    """The archive or directory that a chart's name refers to; None for a name in a repository.

    Raises `ChartError` for a name that can only be a path but does not exist.
    """
    path = Path(chart)
    if path.is_file() or (path / "Chart.yaml").is_file():
        return path
    if chart.startswith((".", "/")):
        raise ChartError(f'path "{chart}" not found')
    return None


def read(path: Path) -> Metadata:
    # A directory may change while the plugin runs; an archive is cached by its name and modification time.
    return _read_directory(path) if path.is_dir() else _read_archive(path, path.stat().st_mtime_ns)


def parse(text: str | bytes, bundled: frozenset[str] = frozenset()) -> Metadata:
    try:
        values: Any = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ChartError(f"cannot load Chart.yaml: {error}") from None
    if not isinstance(values, Mapping) or not values.get("name") or not values.get("version"):
        raise ChartError("validation: chart.metadata.name and chart.metadata.version are required")
    return Metadata(
        name=str(values["name"]),
        version=str(values["version"]),
        application_version=str(values.get("appVersion", "")),
        type=str(values.get("type", "")),
        dependencies=tuple(str(entry.get("name")) for entry in values.get("dependencies") or []),
        bundled=bundled,
    )


def check_installable(metadata: Metadata, updates_dependencies: bool) -> None:
    if metadata.type not in ("", "application"):
        raise ChartError(f"{metadata.type} charts are not installable")
    missing = [name for name in metadata.dependencies if name not in metadata.bundled]
    if missing and not updates_dependencies:
        raise ChartError(f"found in Chart.yaml, but missing in charts/ directory: {', '.join(missing)}")


def find_in_program_directory(name: str, version: str) -> str | None:
    """Where an imported release's chart may lie beside the program; looks where the official plugin looks."""
    for candidate in (f"{name}-{version}", f"{name}-{version}.tgz", name, f"{name}.tgz"):
        try:
            if local_path(candidate) is not None:
                read(Path(candidate))
                return candidate
        except (ChartError, OSError):
            continue
    return None


def _read_directory(path: Path) -> Metadata:
    charts = path / "charts"
    bundled = frozenset(_bundled_name(entry.name) for entry in charts.iterdir()) if charts.is_dir() else frozenset()
    return parse((path / "Chart.yaml").read_bytes(), bundled)


@functools.lru_cache(maxsize=64)
def _read_archive(path: Path, modified: int) -> Metadata:
    try:
        with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as archive:
            chart, bundled = None, set()
            for member in archive:
                parts = member.name.split("/")
                if len(parts) == 2 and parts[1] == "Chart.yaml":
                    content = archive.extractfile(member)
                    chart = content.read() if content is not None else None
                elif len(parts) > 2 and parts[1] == "charts":
                    bundled.add(_bundled_name(parts[2]))
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ChartError(f"{path}: {error}") from None
    if chart is None:
        raise ChartError("Chart.yaml file is missing")
    return parse(chart, frozenset(bundled))


def _bundled_name(entry: str) -> str:
    """The dependency's name: in `charts/` it lies as `<name>/` or `<name>-<version>.tgz`."""
    return entry.removesuffix(".tgz").rsplit("-", 1)[0] if entry.endswith(".tgz") else entry
