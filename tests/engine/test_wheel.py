"""The components, installed from a wheel, in a program that has a package `components` of its own."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from components.package import COMPONENTS, VERSION
from sandbox.home import CHECKOUT
from tests.engine.wheel import build_environment, built_wheel, copied_sources, installed

pytestmark = pytest.mark.engine

EXAMPLE = CHECKOUT / "examples" / "package" / "python"
SECONDS = 120
# Runs the example as `pulumi up` would, and prints what it registers and exports.
RUN = """
import json, os, runpy, sys

import components  # the program's own
from tests.unit.monitor import record, unsealed

os.chdir(sys.argv[1])
config = {"context": "test", "clusterIdentifier": "0" * 36, "hostAuthorities": sys.argv[2]}
recording = record(
    lambda: runpy.run_path("__main__.py") and None,
    project="teleport-access-graph-from-a-package",
    config=config,
    secrets={"databaseUri": "postgres://canary"},
)
print(json.dumps({
    "resources": {item.name: item.type for item in recording.registrations},
    "outputs": unsealed(recording.outputs),
    "own": components.OWN,
    "from": sys.modules["teleport_access_graph.certificates"].__file__,
}))
"""
EVERY_MODULE = """
import importlib, json, pkgutil, sys

import teleport_access_graph
from teleport_access_graph.package import COMPONENTS

for module in pkgutil.walk_packages(teleport_access_graph.__path__, "teleport_access_graph."):
    importlib.import_module(module.name)
print(json.dumps([sorted(one.__name__ for one in COMPONENTS), "components" in sys.modules]))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied_sources(tmp_path_factory.mktemp("sources") / "checkout")


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("site"))


def answer(script: str, *arguments: str, path: tuple[Path, ...]) -> Any:
    """What `script` prints as JSON in a new Python that has `path` first on its search path."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        # Not in the checkout, because Python searches the current directory first.
        cwd=path[0],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_wheel_has_the_whole_tree_under_its_own_name_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"teleport_access_graph-{VERSION}-py3-none-any.whl"
    tree = CHECKOUT / "components"
    # Without compiled files.
    files = [file for file in tree.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    wanted = {f"teleport_access_graph/{file.relative_to(tree).as_posix()}" for file in files}
    with zipfile.ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if ".dist-info/" not in name}
        for name in sorted(built):
            if name.endswith(".py"):
                imported = [
                    node for node in ast.walk(ast.parse(archive.read(name))) if isinstance(node, ast.ImportFrom)
                ]
                assert [node for node in imported if (node.module or "").split(".")[0] == "components"] == [], name
    assert built == wanted


def test_every_module_is_found_by_that_name_alone(site: Path) -> None:
    names, shadowed = answer(EVERY_MODULE, path=(site,))
    assert names == sorted(one.__name__ for one in COMPONENTS)
    assert shadowed is False


def test_the_example_runs_beside_a_package_called_components(site: Path, tmp_path: Path) -> None:
    own = tmp_path / "program"
    (own / "components").mkdir(parents=True)
    (own / "components" / "__init__.py").write_text("OWN = True\n")
    (own / "authorities.pem").write_text("authority")
    told = answer(RUN, str(EXAMPLE), str(own / "authorities.pem"), path=(own, site, CHECKOUT))
    assert told["own"] is True
    assert Path(told["from"]).is_relative_to(site)
    ours = {name: kind for name, kind in told["resources"].items() if kind.startswith("teleport-access-graph:")}
    assert ours == {
        "namespace": "teleport-access-graph:index:AccessGraphNamespace",
        "certificates": "teleport-access-graph:index:Certificates",
        "credentials": "teleport-access-graph:index:Credentials",
        "access-graph": "teleport-access-graph:index:AccessGraph",
    }
    assert told["outputs"]["endpoint"] == "teleport-access-graph.teleport-access-graph.svc.cluster.local:443"


def test_an_editable_install_is_refused_with_what_to_do(sources: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import setuptools.build_meta as b, sys; b.build_editable(sys.argv[1])", str(tmp_path)],
        cwd=sources,
        env=build_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode != 0
    assert "cannot be installed as editable" in done.stderr
