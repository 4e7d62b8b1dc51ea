"""Installs the sandbox's plugins: the official ones where this machine has them, otherwise the stand-ins.

Owns `<home>/pulumi/plugins` (the plugin cache of the sandbox's PULUMI_HOME); `download.py` fetches.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from sandbox.plugins.language import VERSION as LANGUAGE_VERSION
from sandbox.plugins.language.interpreter import Interpreter
from sandbox.plugins.language.packages import required_packages

RESOURCE_PLUGINS: Final = ("kubernetes", "tls", "random", "aws")


# "official source": compiled here from the official plugin's own modules, at a version near the official one.
Source: TypeAlias = Literal["official", "official source", "stand-in"]


@dataclass(frozen=True)
class PluginChoice:
    """`path` is the executable that the engine will start; `version` without a leading `v`."""

    name: str
    version: str
    source: Source
    path: Path


def plugin_versions(python: Path) -> dict[str, str]:
    """The version (no `v`) of each plugin that the SDKs installed beside `python` ask for, keyed by plugin name."""
    environment = python.parent.parent
    interpreter = Interpreter(python, environment if (environment / "pyvenv.cfg").is_file() else None, None)
    return {package.name: package.version.removeprefix("v") for package in required_packages(interpreter)}


def install_plugins(
    home: Path, python: Path, repository: Path, others: Sequence[tuple[Path, Source]] = ()
) -> list[PluginChoice]:
    """Fill the plugin cache under `home` and return the choices made.

    Safe to call again: a plugin that has become available since then replaces its stand-in.

    `python` runs the stand-ins, and its installed SDKs determine the plugin versions; raises `ModuleNotFoundError` if
    an SDK is missing. A plugin on PATH wins, because the engine itself prefers it; next comes the user's own plugin
    cache (`~/.pulumi/plugins`), then `others`: caches of the same layout, each with the source of its plugins.
    """
    cache = home / "pulumi" / "plugins"
    cache.mkdir(parents=True, exist_ok=True)
    versions = plugin_versions(python)
    caches: list[tuple[Path, Source]] = [(_user_cache(), "official"), *others]
    choices = []
    for name in RESOURCE_PLUGINS:
        if name not in versions:
            raise ModuleNotFoundError(f"{python} has no pulumi-{name}; install requirements-dev.txt into it")
        choices.append(_install(cache, "resource", name, versions[name], caches, python, repository))
    choices.append(_install(cache, "language", "python", LANGUAGE_VERSION, caches, python, repository))
    return choices


def is_installed(name: str, version: str, caches: Sequence[Path]) -> bool:
    """Whether this machine has the official plugin: on PATH, in the user's own plugin cache or in one of `caches`."""
    executable = f"pulumi-resource-{name}"
    return shutil.which(executable) is not None or any(
        _is_whole(cache / f"resource-{name}-v{version}", executable) for cache in (_user_cache(), *caches)
    )


def _install(
    cache: Path,
    kind: str,
    name: str,
    version: str,
    caches: Sequence[tuple[Path, Source]],
    python: Path,
    repository: Path,
) -> PluginChoice:
    executable = f"pulumi-{kind}-{name}"
    folder = cache / f"{kind}-{name}-v{version}"
    on_path = _on_path(executable, excluding=cache.parent.parent)
    if on_path is not None:
        _remove(folder)
        return PluginChoice(name, version, "official", on_path)
    for other, source in caches:
        if _is_whole(other / folder.name, executable) and other.resolve() != cache.resolve():
            _link(other / folder.name, folder)
            return PluginChoice(name, version, source, folder / executable)
    if folder.is_symlink() or any(entry.is_symlink() for entry in folder.glob("*")):
        # The folder links to an official plugin that no longer exists.
        _remove(folder)
    folder.mkdir(exist_ok=True)
    module = "sandbox.plugins.language" if kind == "language" else f"sandbox.plugins.{name}"
    launcher = folder / executable
    text = launcher_text(module, python, repository)
    # The launcher may be running, so it is replaced atomically, never overwritten.
    unfinished = folder / f".{executable}.{os.getpid()}"
    unfinished.write_text(text)
    unfinished.chmod(0o755)
    unfinished.replace(launcher)
    return PluginChoice(name, version, "stand-in", launcher)


def _is_whole(folder: Path, executable: str) -> bool:
    """Whether the engine has finished installing the plugin: until then a `.partial` file stands beside its folder."""
    unfinished = folder.with_name(f"{folder.name}.partial")
    return (folder / executable).is_file() and os.access(folder / executable, os.X_OK) and not unfinished.exists()


def _link(plugin: Path, folder: Path) -> None:
    """Make a folder of links to the plugin's files: the engine ignores a folder that is itself a link."""
    wanted = {entry.name: entry.resolve() for entry in plugin.iterdir()}
    present = {entry.name: entry.resolve() for entry in folder.iterdir()} if folder.is_dir() else {}
    if present == wanted and not folder.is_symlink():
        return
    _remove(folder)
    folder.mkdir()
    for name, target in wanted.items():
        (folder / name).symlink_to(target)


def launcher_text(module: str, python: Path, repository: Path) -> str:
    """A script that `exec`s the stand-in, so that the engine's child process is the plugin itself.

    `-I` keeps the caller's directory and PYTHON* variables out: the plugin must not import the program's modules.
    Garbage collection is off until the plugin serves (`serve.py`).
    """
    start = (
        f"import gc, runpy, sys; gc.disable(); sys.path.insert(0, {str(repository)!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    arguments: Sequence[str] = [str(python), "-I", "-c", start]
    return (
        f'#!/bin/sh\n# Written by the sandbox: runs its stand-in for this plugin.\nexec {shlex.join(arguments)} "$@"\n'
    )


def _user_cache() -> Path:
    return Path.home() / ".pulumi" / "plugins"


def _on_path(executable: str, excluding: Path) -> Path | None:
    """The first match on PATH that is not within the sandbox's own home."""
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        candidate = Path(entry) / executable
        if not entry or excluding.resolve() in candidate.resolve().parents:
            continue
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    return None


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        shutil.rmtree(folder)
