from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.unit.settings import cases_tls


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project directory with one file of every kind that a setting may name."""
    root = tmp_path_factory.mktemp("project")
    (root / "values.yaml").write_text("clusterName: teleport.example.com\n")
    for name, text in cases_tls.FILES.items():
        (root / name).write_text(text)
    (root / "empty.yaml").touch()
    (root / "largest.yaml").write_bytes(b"#" * (1024 * 1024))
    (root / "huge.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    (root / "directory.yaml").mkdir()
    (root / "loop.yaml").symlink_to("loop.yaml")
    os.mkfifo(root / "pipe.yaml")
    for name, version in (
        ("teleport-access-graph", "1.30.2"),
        ("teleport-access-graph", "1.99.0"),
        ("teleport-access-graph", "18.0.0"),
        ("teleport-cluster", "18.10.3"),
        ("teleport-cluster", "13.0.0"),
        ("teleport-cluster", "18.10.3built"),
    ):
        package(root / f"{name}-{version}.tgz", {f"{name}/Chart.yaml": f"name: {name}\nversion: {version}\n"})
    described = "name: teleport-access-graph\nversion: 1.30.2\n"
    inside = {"values.yaml": "name: x\nversion: 9.9.9\n", "Chart.yaml": described}
    package(root / "values-first-1.30.2.tgz", {f"teleport-access-graph/{name}": text for name, text in inside.items()})
    package(root / "nothing.tgz", {"nothing/values.yaml": "a: 1\n"})
    whole = (root / "teleport-access-graph-1.30.2.tgz").read_bytes()
    (root / "broken.tgz").write_bytes(whole[: len(whole) // 2])
    return root


def package(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
