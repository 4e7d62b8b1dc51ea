"""The sandbox takes over an official plugin that the engine has installed elsewhere, and its own engine finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from sandbox.home import CHECKOUT
from sandbox.plugins.install import install_plugins, plugin_versions
from tests.engine.conftest import RunningSandbox

pytestmark = pytest.mark.engine


def engine(running: RunningSandbox, home: Path, *arguments: str) -> str:
    environment = {**os.environ, "PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    command = [str(running.home.bin / "pulumi"), "plugin", *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def test_one_of_a_plugin_cache_is_found_by_the_engine(
    running_sandbox: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    version = plugin_versions(Path(sys.executable))["tls"]
    program = tmp_path / "pulumi-resource-tls"
    program.write_text("#!/bin/sh\n" + "# larger than a launcher\n" * 1000)
    program.chmod(0o755)
    packed = tmp_path / "tls.tar.gz"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(program, program.name)
    engine(running_sandbox, tmp_path / "official", "install", "resource", "tls", version, "--file", str(packed))

    home = tmp_path / "sandbox"
    install_plugins(home, Path(sys.executable), CHECKOUT, [(tmp_path / "official" / "plugins", "official")])

    found = json.loads(engine(running_sandbox, home / "pulumi", "ls", "--json"))
    (tls,) = [plugin for plugin in found if plugin["name"] == "tls"]
    assert (tls["version"], tls["size"]) == (version, program.stat().st_size)
