"""Where the network allows, the engine fetches official plugins; where it does not, nothing is lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sandbox.plugins.download import ATTEMPT_AGAIN_SECONDS, downloaded_plugins, fetch_plugins
from tests.unit.plugins.test_install import executable

pytestmark = pytest.mark.unit

VERSIONS = {"kubernetes": "4.34.0", "tls": "5.6.0", "random": "4.21.0", "aws": "7.51.1"}

INSTALLS = """#!/bin/sh
echo "$@" >> "$PULUMI_HOME/asked"
folder="$PULUMI_HOME/plugins/resource-$4-v$5"
mkdir -p "$folder"
echo plugin > "$folder/pulumi-resource-$4"
"""
FAILS_AND_TRIES_AGAIN = """#!/bin/sh
echo "$@" >> "$PULUMI_HOME/asked"
echo 'warning: Error downloading plugin: no such host'
exec sleep 30
"""
HEARS_NOTHING = """#!/bin/sh
echo "$@" >> "$PULUMI_HOME/asked"
exec sleep 30
"""


def asked(cache: Path) -> list[str]:
    record = cache / "official" / "asked"
    return record.read_text().splitlines() if record.exists() else []


@pytest.mark.slow
def test_what_is_missing_is_installed_once_at_the_version_of_the_sdk(tmp_path: Path) -> None:
    engine, cache, said = executable(tmp_path / "pulumi", INSTALLS), tmp_path / "cache", []
    fetch_plugins(engine, cache, VERSIONS, said.append)
    fetch_plugins(engine, cache, VERSIONS, said.append)
    assert asked(cache) == [
        f"plugin install resource {name} {VERSIONS[name]}" for name in ("tls", "random", "kubernetes")
    ]
    assert said == [
        f"installed the official plugin {name} {VERSIONS[name]}" for name in ("tls", "random", "kubernetes")
    ]
    assert (downloaded_plugins(cache) / "resource-tls-v5.6.0" / "pulumi-resource-tls").exists()


@pytest.mark.slow
@pytest.mark.parametrize("engine_text", [FAILS_AND_TRIES_AGAIN, HEARS_NOTHING], ids=["refused", "silent"])
def test_without_the_network_it_gives_up_soon_and_asks_again_next_day(tmp_path: Path, engine_text: str) -> None:
    engine, cache = executable(tmp_path / "pulumi", engine_text), tmp_path / "cache"
    started = time.monotonic()
    fetch_plugins(engine, cache, VERSIONS, print, patience=0.5)
    assert time.monotonic() - started < 5
    assert len(asked(cache)) == 1
    fetch_plugins(engine, cache, VERSIONS, print, patience=0.5)
    assert len(asked(cache)) == 1
    yesterday = time.time() - ATTEMPT_AGAIN_SECONDS - 1
    os.utime(cache / "official" / "unreachable", (yesterday, yesterday))
    fetch_plugins(engine, cache, VERSIONS, print, patience=0.5)
    assert len(asked(cache)) == 2
