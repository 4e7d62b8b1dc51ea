"""Renders the sandbox's charts with the real Helm and returns the objects by kind and name.

Owns finding Helm and parsing its output; the tests say what a render must contain.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.home import CHECKOUT, Cache, Home
from sandbox.toolchain.tools import HELM_VERSION

CHARTS = CHECKOUT / "sandbox" / "charts"

Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]


class RenderFailed(Exception):
    """Helm refused the values; the text is Helm's own."""


@pytest.fixture(scope="session")
def helm() -> str:
    """Helm from PATH, the sandbox's launchers or the cache of builds. Its absence is a failure, never a skip."""
    candidates = [
        shutil.which("helm"),
        Home.from_environment().bin / "helm",
        Cache.from_environment().tools / f"helm-{HELM_VERSION}" / "helm",
    ]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            return str(candidate)
    raise RuntimeError("helm is neither on PATH nor built; `make up` builds it")


def parse_objects(text: str) -> Objects:
    objects: Objects = {}
    for document in yaml.safe_load_all(text):
        if document:
            key = (document["kind"], document["metadata"]["name"])
            assert key not in objects, f"{key} is rendered twice"
            objects[key] = document
    return objects


@pytest.fixture(scope="session")
def render(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """`render(chart, values, release=, namespace=)`; `chart` is the name of a sandbox chart, or a path."""

    def run(chart: str | Path, values: Mapping[str, Any], *, release: str, namespace: str) -> Objects:
        values_file = tmp_path_factory.mktemp("values") / "values.yaml"
        values_file.write_text(yaml.safe_dump(dict(values)))
        finished = subprocess.run(
            [helm, "template", release, str(CHARTS / chart), "--namespace", namespace, "--values", str(values_file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if finished.returncode:
            raise RenderFailed(finished.stderr)
        return parse_objects(finished.stdout)

    return run
