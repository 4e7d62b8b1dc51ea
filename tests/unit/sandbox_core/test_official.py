"""The official kubernetes plugin, built from its source where somebody asks, and which plugins then serve."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT, Cache, Home
from sandbox.lifecycle import Sandbox
from sandbox.plugins.download import plugin_caches
from sandbox.plugins.install import install_plugins, plugin_versions
from sandbox.toolchain import build as build_module
from sandbox.toolchain import build_kubernetes_plugin
from sandbox.toolchain import official as official_module
from sandbox.toolchain.build import write_go_mod
from sandbox.toolchain.go import Go
from sandbox.toolchain.tools import KUBERNETES_PLUGIN, GoProgram

pytestmark = pytest.mark.unit

SDK_VERSION = plugin_versions(Path(sys.executable))["kubernetes"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache on a machine with a Go that has the plugin's module, and no plugin of the user's."""
    sources = tmp_path / "module" / "cmd" / "pulumi-resource-kubernetes"
    sources.mkdir(parents=True)
    (sources / "schema.json").write_text('{\n    "name": "kubernetes"\n}\n')
    (sources / "terraform-mapping.json").write_text('{\n    "mappings": []\n}\n')
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build_module, "find_go", lambda cache, log: Go(Path("go"), "1.27", "here", {}))
    # However slow this machine is.
    monkeypatch.setattr(official_module, "clock", lambda seconds: "0:00")
    monkeypatch.setattr(build_module, "NEEDED_FREE_BYTES", 0)
    monkeypatch.setattr(official_module, "download", lambda tool, go, output: {"Dir": str(tmp_path / "module")})
    return Cache(tmp_path / "cache")


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """What was compiled: the files of the workspace, by name, for each time."""
    found: list[dict[str, str]] = []

    def build(tool: GoProgram, cache: Cache, go: Go, *, position: int, total: int) -> Path:
        ((_, stamp),) = tool.linker_variables
        assert stamp.partition("+")[0] == f"v{SDK_VERSION}", "the engine warns of a plugin that says less"
        found.append({file.name: file.read_text() for file in (cache.work / tool.workspace).iterdir()})
        program = cache.tools / tool.directory / tool.name
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        return program

    monkeypatch.setattr(official_module, "build", build)
    return found


def test_it_is_compiled_once_with_what_its_module_lacks(cache: Cache, compiled: list[dict[str, str]]) -> None:
    said: list[str] = []
    program = build_kubernetes_plugin(cache, SDK_VERSION, say=said.append)
    assert build_kubernetes_plugin(cache, SDK_VERSION, say=said.append) == program
    assert [line.partition(" (")[0] for line in said] == [
        "once for this machine: building the official kubernetes plugin",
        "built in 0:00",
    ]
    (files,) = compiled
    assert json.loads(files["schema.json"]) == {"name": "kubernetes", "version": f"{SDK_VERSION}+f47bc2d6f199"}
    assert json.loads(files["terraform-mapping.json"]) == {"mappings": []}
    assert not cache.work.exists()
    # Each file that its `main` embeds is there.
    embedded = {line.split()[1] for line in files["main.go"].splitlines() if line.startswith("//go:embed ")}
    assert embedded == {"schema.json", "terraform-mapping.json"}


def test_its_go_mod_requires_its_module(tmp_path: Path) -> None:
    write_go_mod(KUBERNETES_PLUGIN, tmp_path, Go(Path("go"), "1.27", "here", {}), output=1)
    assert f"require {KUBERNETES_PLUGIN.module} v{KUBERNETES_PLUGIN.version}" in (tmp_path / "go.mod").read_text()


def test_it_serves_until_it_is_taken_back(cache: Cache, compiled: list[dict[str, str]], tmp_path: Path) -> None:
    sandbox = Sandbox(Home.at(tmp_path / "home"), cache, say=lambda line: None)

    def serving() -> dict[str, str]:
        caches = plugin_caches(cache.root)
        choices = install_plugins(tmp_path / "home", Path(sys.executable), CHECKOUT, caches)
        return {choice.name: choice.source for choice in choices}

    assert serving()["kubernetes"] == "stand-in"
    sandbox.build_official()
    sandbox.build_official()
    assert serving() == {
        "kubernetes": "official source",
        "tls": "stand-in",
        "random": "stand-in",
        "aws": "stand-in",
        "python": "stand-in",
    }
    sandbox.forget_official()
    sandbox.forget_official()
    assert serving()["kubernetes"] == "stand-in"
    sandbox.build_official()
    assert len(compiled) == 1, "what was compiled is kept"


def test_a_downloaded_one_is_better(cache: Cache, compiled: list[dict[str, str]], tmp_path: Path) -> None:
    built = Sandbox(Home.at(tmp_path / "home"), cache, say=lambda line: None).build_official()
    (downloaded, _), _ = plugin_caches(cache.root)
    released = downloaded / built.parent.name / built.name
    released.parent.mkdir(parents=True)
    released.write_text("#!/bin/sh\n")
    released.chmod(0o755)
    chosen = install_plugins(tmp_path / "home", Path(sys.executable), CHECKOUT, plugin_caches(cache.root))
    (kubernetes,) = [choice for choice in chosen if choice.name == "kubernetes"]
    assert (kubernetes.source, kubernetes.path.resolve()) == ("official", released)
