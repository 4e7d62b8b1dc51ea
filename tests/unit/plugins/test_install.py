"""Official plugins are preferred; without one, the plugin cache gets a launcher of the stand-in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.plugins.install import PluginChoice, install_plugins

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ["kubernetes", "tls", "random", "aws", "python"]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing installed: its home and PATH are the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def install(machine: Path) -> dict[str, PluginChoice]:
    choices = install_plugins(machine / "sandbox", Path(sys.executable), REPOSITORY)
    assert [choice.name for choice in choices] == NAMES
    return {choice.name: choice for choice in choices}


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_a_bare_machine_gets_stand_ins_where_the_engine_looks(machine: Path) -> None:
    choices = install(machine)
    assert {choice.source for choice in choices.values()} == {"stand-in"}
    tls = choices["tls"]
    assert (
        tls.path == machine / "sandbox" / "pulumi" / "plugins" / f"resource-tls-v{tls.version}" / "pulumi-resource-tls"
    )
    assert choices["python"].path.parent.name == f"language-python-v{choices['python'].version}"


@pytest.mark.slow
def test_a_launcher_becomes_the_plugin_from_any_directory(machine: Path) -> None:
    launcher = install(machine)["random"].path
    (machine / "grpc.py").write_text("raise RuntimeError('a module of the program was imported')\n")
    with subprocess.Popen([launcher, "127.0.0.1:1"], cwd=machine, stdout=subprocess.PIPE, text=True) as plugin:
        assert plugin.stdout is not None
        assert int(plugin.stdout.readline()) > 0
        # The launcher uses `exec`: the started process is Python itself, so the engine's signals reach it.
        assert Path(f"/proc/{plugin.pid}/cmdline").read_bytes().split(b"\0")[0] == sys.executable.encode()
        plugin.terminate()


def test_an_official_plugin_of_the_users_cache_is_linked(machine: Path) -> None:
    version = install(machine)["tls"].version
    official = executable(machine / "user" / ".pulumi" / "plugins" / f"resource-tls-v{version}" / "pulumi-resource-tls")
    choices = install(machine)
    assert choices["tls"].source == "official"
    assert choices["tls"].path.resolve() == official
    # The engine lists the folders of its cache, and does not count a link to a folder as one.
    assert choices["tls"].path.parent.is_dir()
    assert not choices["tls"].path.parent.is_symlink()
    assert choices["random"].source == "stand-in"


def test_what_lies_beside_an_official_plugin_comes_with_it_and_goes_with_it(machine: Path) -> None:
    version = install(machine)["tls"].version
    official = executable(machine / "user" / ".pulumi" / "plugins" / f"resource-tls-v{version}" / "pulumi-resource-tls")
    beside = official.with_name("PulumiPlugin.yaml")
    beside.write_text("runtime: go\n")
    folder = install(machine)["tls"].path.parent
    assert sorted(entry.name for entry in folder.iterdir()) == ["PulumiPlugin.yaml", "pulumi-resource-tls"]
    beside.unlink()
    official.unlink()
    official.parent.rmdir()
    install(machine)
    assert [entry.name for entry in folder.iterdir()] == ["pulumi-resource-tls"]


def test_one_that_serves_already_is_not_touched(machine: Path) -> None:
    version = install(machine)["tls"].version
    executable(machine / "user" / ".pulumi" / "plugins" / f"resource-tls-v{version}" / "pulumi-resource-tls")
    folder = install(machine)["tls"].path.parent
    before = folder.stat().st_ino
    assert install(machine)["tls"].path.parent.stat().st_ino == before


def test_one_that_the_engine_has_not_finished_installing_is_not_taken(machine: Path) -> None:
    version = install(machine)["tls"].version
    plugins = machine / "user" / ".pulumi" / "plugins"
    executable(plugins / f"resource-tls-v{version}" / "pulumi-resource-tls")
    mark = plugins / f"resource-tls-v{version}.partial"
    mark.touch()
    assert install(machine)["tls"].source == "stand-in"
    mark.unlink()
    assert install(machine)["tls"].source == "official"


def test_a_folder_that_an_earlier_version_linked_whole_is_replaced(machine: Path) -> None:
    version = install(machine)["tls"].version
    official = executable(machine / "user" / ".pulumi" / "plugins" / f"resource-tls-v{version}" / "pulumi-resource-tls")
    folder = install(machine)["tls"].path.parent
    (folder / official.name).unlink()
    folder.rmdir()
    folder.symlink_to(official.parent)
    assert not install(machine)["tls"].path.parent.is_symlink()
    assert official.is_file()


def test_another_version_in_the_users_cache_is_not_taken(machine: Path) -> None:
    executable(machine / "user" / ".pulumi" / "plugins" / "resource-tls-v0.0.1" / "pulumi-resource-tls")
    assert install(machine)["tls"].source == "stand-in"


def test_an_official_plugin_on_the_path_wins(machine: Path) -> None:
    official = executable(machine / "bin" / "pulumi-language-python")
    assert install(machine)["python"] == PluginChoice(
        "python", install(machine)["python"].version, "official", official
    )
    assert not list((machine / "sandbox" / "pulumi" / "plugins").glob("language-*"))


def test_a_stand_in_comes_back_when_the_official_plugin_goes(machine: Path) -> None:
    version = install(machine)["aws"].version
    official = executable(machine / "user" / ".pulumi" / "plugins" / f"resource-aws-v{version}" / "pulumi-resource-aws")
    install(machine)
    official.unlink()
    official.parent.rmdir()
    choices = install(machine)
    assert (choices["aws"].source, choices["aws"].path.is_file()) == ("stand-in", True)


def test_an_interpreter_without_the_sdks_is_refused(machine: Path) -> None:
    python = executable(machine / "bare" / "bin" / "python")
    (machine / "bare" / "pyvenv.cfg").write_text("home = /usr\n")
    with pytest.raises(ModuleNotFoundError, match=r"has no pulumi-kubernetes; install requirements-dev\.txt"):
        install_plugins(machine / "sandbox", python, REPOSITORY)
