"""Fetches official plugins with the engine's own `plugin install`, where the network allows it.

Owns where the plugins are kept, the attempt, and when to give up. `install.py` chooses which plugin then serves.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sandbox.plugins.install import Source

# The AWS plugin is not fetched: it is ten times as large as the others together and asks more of AWS than moto offers.
# One that is already installed is used all the same.
FETCHED: Final = ("tls", "random", "kubernetes")
# A working network answers within a second; one that swallows packets must not delay `make up` for longer than this.
PATIENCE_SECONDS: Final = 10.0
DOWNLOAD_SECONDS: Final = 300.0
# A machine without network access tries again the next day.
ATTEMPT_AGAIN_SECONDS: Final = 24 * 3600.0
_FAILURE: Final = "Error downloading"


def downloaded_plugins(cache: Path) -> Path:
    """Where `fetch_plugins` puts the plugins: a plugin cache laid out like the engine's."""
    return cache / "official" / "plugins"


def built_plugins(cache: Path) -> Path:
    """Where plugins compiled here from official sources are kept: a plugin cache laid out like the engine's."""
    return cache / "official" / "built"


def plugin_caches(cache: Path) -> list[tuple[Path, Source]]:
    """Both caches, the preferred one first."""
    return [(downloaded_plugins(cache), "official"), (built_plugins(cache), "official source")]


def fetch_plugins(
    engine: Path,
    cache: Path,
    versions: Mapping[str, str],
    say: Callable[[str], None],
    *,
    patience: float = PATIENCE_SECONDS,
) -> None:
    """Install every plugin of `FETCHED` that `versions` (name to version, without `v`) names and the cache lacks.

    Failure is not an error: the stand-ins serve instead. A failed attempt is remembered for a day.
    """
    plugins = downloaded_plugins(cache)
    missing = [
        name for name in FETCHED if name in versions and not (plugins / f"resource-{name}-v{versions[name]}").exists()
    ]
    mark = cache / "official" / "unreachable"
    if not missing or _is_recent(mark):
        return
    mark.parent.mkdir(parents=True, exist_ok=True)
    for name in missing:
        if not _fetch(engine, plugins.parent, name, versions[name], patience):
            mark.touch()
            return
        say(f"installed the official plugin {name} {versions[name]}")
    mark.unlink(missing_ok=True)


def _fetch(engine: Path, home: Path, name: str, version: str, patience: float) -> bool:
    """Whether the plugin is now installed. Gives up on the first failed request, or after `patience` seconds of
    silence."""
    scratch = home / "tmp"
    scratch.mkdir(exist_ok=True)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")},
        "PULUMI_HOME": str(home),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Downloads pass through this directory, so their progress can be measured.
        "TMPDIR": str(scratch),
    }
    command = [str(engine), "plugin", "install", "resource", name, version]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    failed = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if _FAILURE in line:
                failed.set()
                # The engine would retry four more times.
                process.kill()

    listener = threading.Thread(target=listen, name=f"plugin {name}", daemon=True)
    listener.start()
    started = progress = time.monotonic()
    size = 0
    while process.poll() is None:
        now = time.monotonic()
        if (grown := _bytes_in(home)) != size:
            size, progress = grown, now
        if now - progress > patience or now - started > DOWNLOAD_SECONDS:
            failed.set()
            process.kill()
        time.sleep(0.05)
    listener.join(timeout=5)
    return process.returncode == 0 and not failed.is_set()


def _bytes_in(directory: Path) -> int:
    """Total size of everything downloaded and unpacked so far."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # moved into place in the meantime
    return total


def _is_recent(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime < ATTEMPT_AGAIN_SECONDS
    except FileNotFoundError:
        return False
