"""Official plugins, built from source on request, and which plugins are then used."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sandbox import lifecycle as lifecycle_module
from sandbox.cli import main
from sandbox.home import CHECKOUT, Cache, Home
from sandbox.lifecycle import Sandbox
from sandbox.plugins.download import plugin_caches
from sandbox.plugins.install import install_plugins, plugin_versions
from sandbox.toolchain import OFFICIAL_PLUGINS, USUAL_PLUGINS, aws_provider, build_plugins
from sandbox.toolchain import build as build_module
from sandbox.toolchain import official as official_module
from sandbox.toolchain.build import write_go_mod
from sandbox.toolchain.go import Go
from sandbox.toolchain.tools import KUBERNETES_PLUGIN, GoProgram, contents

pytestmark = pytest.mark.unit

ASKED = plugin_versions(Path(sys.executable))
VERSIONS = {name: ASKED[name] for name in OFFICIAL_PLUGINS}
STAND_INS = dict.fromkeys(("kubernetes", "tls", "random", "aws", "python"), "stand-in")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache on a machine whose Go has the modules, where the user has no plugin and the engine has no network."""
    sources = tmp_path / "module" / "cmd" / "pulumi-resource-kubernetes"
    sources.mkdir(parents=True)
    (sources / "schema.json").write_text('{\n    "name": "kubernetes"\n}\n')
    (sources / "terraform-mapping.json").write_text('{\n    "mappings": []\n}\n')
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(build_module, "find_go", lambda cache, log: Go(Path("go"), "1.27", "here", {}))
    # The log must be the same however slow this machine is.
    monkeypatch.setattr(official_module, "clock", lambda seconds: "0:00")
    monkeypatch.setattr(build_module, "NEEDED_FREE_BYTES", 0)
    monkeypatch.setattr(official_module, "download", lambda tool, go, output: {"Dir": str(tmp_path / "module")})
    monkeypatch.setattr(official_module, "required", lambda sources, module, go, output: tmp_path / "provider")
    monkeypatch.setattr(aws_provider, "copy_module", lambda plugin, module, workspace: plugin)
    return Cache(tmp_path / "cache")


@dataclass
class Compiler:
    """Records what it was given: the program, and the files of its workspace by name (if it has a workspace)."""

    given: list[tuple[GoProgram, dict[str, str]]] = field(default_factory=list)

    def build(self, tool: GoProgram, cache: Cache, go: Go, *, position: int, total: int) -> Path:
        workspace = cache.work / tool.workspace
        files = {file.name: file.read_text() for file in workspace.iterdir()} if tool.sources is None else {}
        self.given.append((tool, files))
        return runnable(cache.tools / tool.directory / tool.name)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr(official_module, "build", made.build)
    return made


@pytest.fixture
def sandbox(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    made = Sandbox(Home.at(tmp_path / "home"), cache, say=lambda line: None)

    class NoTools:
        def path(self, name: str) -> Path:
            return Path(name)

    monkeypatch.setattr(Sandbox, "tools", lambda self: NoTools())
    monkeypatch.setattr(lifecycle_module, "fetch_plugins", lambda *arguments: None)
    return made


def runnable(program: Path) -> Path:
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def serving(cache: Cache, home: Path) -> dict[str, str]:
    choices = install_plugins(home, Path(sys.executable), CHECKOUT, plugin_caches(cache.root))
    return {choice.name: choice.source for choice in choices}


def test_they_are_compiled_once_with_what_the_modules_lack(cache: Cache, compiler: Compiler) -> None:
    said: list[str] = []
    programs = build_plugins(cache, VERSIONS, say=said.append)
    assert build_plugins(cache, VERSIONS, say=said.append) == programs
    assert list(programs) == list(VERSIONS)
    assert [line.partition(" (")[0] for line in said] == [
        "once for this machine: building the plugins kubernetes, tls, random, aws from official sources",
        "built in 0:00",
    ]
    (_, files), *bridged = compiler.given
    assert json.loads(files["schema.json"]) == {
        "name": "kubernetes",
        "version": f"{VERSIONS['kubernetes']}+f47bc2d6f199",
    }
    assert json.loads(files["terraform-mapping.json"]) == {"mappings": []}
    assert not cache.work.exists()
    # Every file that its `main` embeds is there.
    embedded = {line.split()[1] for line in files["main.go"].splitlines() if line.startswith("//go:embed ")}
    assert embedded == {"schema.json", "terraform-mapping.json"}
    for program, _ in bridged:
        assert program.sources is not None
        text = (program.sources / program.package / "main.go").read_text()
        assert program.module in (program.sources / "go.mod").read_text()
        assert re.search(r"^var version string$", text, re.MULTILINE), "the linker sets it, or says nothing"


def test_each_says_the_version_that_the_sdk_asks_for(cache: Cache, compiler: Compiler) -> None:
    build_plugins(cache, VERSIONS, say=lambda line: None)
    said = {program.name.rpartition("-")[2]: program.linker_variables for program, _ in compiler.given}
    assert {name: stamp.removeprefix("v").partition("+")[0] for name, ((_, stamp),) in said.items()} == VERSIONS, (
        "the engine warns of a plugin that says less"
    )


def test_only_what_is_asked_for_and_missing_is_compiled(cache: Cache, compiler: Compiler) -> None:
    build_plugins(cache, {"tls": "5.6.2"}, say=lambda line: None)
    build_plugins(cache, {"tls": "5.6.2", "random": "4.21.4"}, say=lambda line: None)
    build_plugins(cache, {"tls": "5.6.3", "random": "4.21.4"}, say=lambda line: None)
    names = [(program.name, program.version.partition("-")[0]) for program, _ in compiler.given]
    assert names == [
        ("pulumi-resource-tls", "5.6.2"),
        ("pulumi-resource-random", "4.21.4"),
        ("pulumi-resource-tls", "5.6.3"),
    ]


def test_another_edition_of_a_module_of_this_tree_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "bridge").mkdir()
    (tmp_path / "bridge" / "bridge.go").write_text("package bridge\n")
    first = contents(tmp_path)
    assert contents(tmp_path) == first
    (tmp_path / "bridge" / "bridge.go").write_text("package bridge // another\n")
    second = contents(tmp_path)
    (tmp_path / "bridge" / "bridge.go").rename(tmp_path / "bridge.go")
    assert len({first, second, contents(tmp_path)}) == 3


def test_the_kubernetes_plugins_go_mod_requires_its_module(tmp_path: Path) -> None:
    write_go_mod(KUBERNETES_PLUGIN, tmp_path, Go(Path("go"), "1.27", "here", {}), output=1)
    assert f"require {KUBERNETES_PLUGIN.module} v{KUBERNETES_PLUGIN.version}" in (tmp_path / "go.mod").read_text()


def test_they_serve_until_they_are_taken_back(
    cache: Cache, compiler: Compiler, sandbox: Sandbox, tmp_path: Path
) -> None:
    assert serving(cache, tmp_path / "home") == STAND_INS
    sandbox.build_official(["tls", "random"])
    sandbox.build_official(["kubernetes", "aws"])
    built = dict.fromkeys(OFFICIAL_PLUGINS, "official source")
    assert serving(cache, tmp_path / "home") == {**STAND_INS, **built}
    sandbox.forget_official()
    sandbox.forget_official()
    assert serving(cache, tmp_path / "home") == STAND_INS
    sandbox.build_official(OFFICIAL_PLUGINS)
    assert len(compiler.given) == len(OFFICIAL_PLUGINS), "what was compiled is kept"


def test_the_newest_edition_serves(
    cache: Cache, compiler: Compiler, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sandbox.build_official(["tls"])["tls"]
    assert first is not None
    before = first.resolve()
    monkeypatch.setattr(official_module, "contents", lambda sources: "another")
    second = sandbox.build_official(["tls"])["tls"]
    assert second == first
    assert (second.resolve().parent.name, before.exists()) == (f"pulumi-resource-tls-{VERSIONS['tls']}-another", True)


def test_a_downloaded_one_is_better(cache: Cache, compiler: Compiler, sandbox: Sandbox, tmp_path: Path) -> None:
    built = sandbox.build_official(["kubernetes"])["kubernetes"]
    assert built is not None
    (downloaded, _), _ = plugin_caches(cache.root)
    released = runnable(downloaded / built.parent.name / built.name)
    chosen = install_plugins(tmp_path / "home", Path(sys.executable), CHECKOUT, plugin_caches(cache.root))
    (kubernetes,) = [choice for choice in chosen if choice.name == "kubernetes"]
    assert (kubernetes.source, kubernetes.path.resolve()) == ("official", released)


def test_one_that_is_installed_is_not_compiled(
    cache: Cache, compiler: Compiler, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (downloaded, _), _ = plugin_caches(cache.root)
    runnable(downloaded / f"resource-tls-v{VERSIONS['tls']}" / "pulumi-resource-tls")
    monkeypatch.setenv("PATH", str(runnable(tmp_path / "bin" / "pulumi-resource-random").parent))
    user = tmp_path / "user" / ".pulumi" / "plugins"
    for name in ("kubernetes", "aws"):
        runnable(user / f"resource-{name}-v{VERSIONS[name]}" / f"pulumi-resource-{name}")
    assert sandbox.build_official(OFFICIAL_PLUGINS) == dict.fromkeys(OFFICIAL_PLUGINS)
    assert compiler.given == []
    assert serving(cache, tmp_path / "home") == {**STAND_INS, **dict.fromkeys(OFFICIAL_PLUGINS, "official")}


def test_one_that_the_engine_could_fetch_is_not_compiled(
    cache: Cache, compiler: Compiler, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (downloaded, _), _ = plugin_caches(cache.root)

    def fetch(engine: Path, root: Path, versions: dict[str, str], say: object) -> None:
        assert versions == {"tls": VERSIONS["tls"]}
        runnable(downloaded / f"resource-tls-v{VERSIONS['tls']}" / "pulumi-resource-tls")

    monkeypatch.setattr(lifecycle_module, "fetch_plugins", fetch)
    assert sandbox.build_official(["tls"]) == {"tls": None}
    assert compiler.given == []


def test_awss_is_built_where_somebody_asks_for_it(
    cache: Cache, compiler: Compiler, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_CACHE", str(cache.root))
    assert main(["--home", str(sandbox.home.root), "official"]) == 0
    assert [program.name.rpartition("-")[2] for program, _ in compiler.given] == list(USUAL_PLUGINS)
    assert set(OFFICIAL_PLUGINS) - set(USUAL_PLUGINS) == {"aws"}


def test_the_command_says_what_serves_and_refuses_other_names(
    cache: Cache,
    compiler: Compiler,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SANDBOX_CACHE", str(cache.root))
    own = ["--home", str(sandbox.home.root)]
    assert main([*own, "official", "tls"]) == 0
    assert main([*own, "official", "--remove"]) == 0
    with pytest.raises(SystemExit):
        main([*own, "official", "azure"])
    said = capsys.readouterr()
    built, *others = [line for line in said.out.splitlines() if not line.startswith(("once", "built"))]
    assert re.fullmatch(rf"tls  .*/resource-tls-v{VERSIONS['tls']}/pulumi-resource-tls", built)
    assert others == [
        "the next start of a sandbox uses them; `make official ARGS=--remove` takes that back",
        "the next start of a sandbox uses the stand-ins again, but for plugins that are installed",
    ]
    assert "'azure' is none of kubernetes, tls, random, aws" in said.err
