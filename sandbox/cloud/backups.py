"""Automated backups of one server: a base copy, and every change since, as PostgreSQL's own log of them.

From the two any moment since the base copy was made is restored. Knows nothing of AWS, and starts no server.
"""

from __future__ import annotations

import datetime
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.cloud.files import read_json, write_json
from sandbox.cloud.programs import ServerUser

BASE = "base"
LOG = "log"
RECORD = "backup.json"


@dataclass(frozen=True)
class SnapshotOrigin:
    """The data of a snapshot."""

    name: str


@dataclass(frozen=True)
class MomentOrigin:
    """The data that another instance had at a moment."""

    resource_id: str
    time: datetime.datetime | None
    """With its zone; the latest there is when None."""


Origin = SnapshotOrigin | MomentOrigin
"""What an instance begins with, if not with nothing."""


class Backups:
    """Where one server's backups lie. Its files are the server's user's, who writes the log."""

    def __init__(self, directory: Path, user: ServerUser):
        self._directory = directory
        self._user = user

    @property
    def base(self) -> Path:
        return self._directory / BASE

    @property
    def log(self) -> Path:
        return self._directory / LOG

    @property
    def earliest(self) -> datetime.datetime | None:
        """The first moment that can be restored; None before there is one."""
        record = read_json(self._directory / RECORD, {})
        return datetime.datetime.fromisoformat(record["earliest"]) if record and self.base.is_dir() else None

    def prepare(self) -> None:
        for directory in (self._directory, self.log):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._user.own(directory)

    def begun(self) -> None:
        """The base copy is complete."""
        now = datetime.datetime.now(datetime.timezone.utc)
        write_json(self._directory / RECORD, {"earliest": now.isoformat()})

    def remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    # Settings of servers

    def writing(self) -> dict[str, str]:
        """Of the server whose backups these are. A part that a killed copy left is overwritten by the next try."""
        part, whole = shlex.quote(f"{self.log}/%f.part"), shlex.quote(f"{self.log}/%f")
        return {"archive_command": f"cp %p {part} && mv {part} {whole}"}

    def reading(self) -> dict[str, str]:
        """Of a server that takes from here what the other one no longer holds."""
        return {"restore_command": f"cp {shlex.quote(f'{self.log}/%f')} %p", "recovery_target_timeline": "latest"}

    def recovery(self, time: datetime.datetime | None) -> dict[str, str]:
        """Of a server that is made from the base copy, as it was at `time`."""
        target = {} if time is None else {"recovery_target_time": time.isoformat(sep=" ")}
        # It lets nobody in before it is what was asked for.
        return {**self.reading(), **target, "recovery_target_action": "promote", "hot_standby": "off"}


# The log is always written, since turning it on restarts a server; without backups nobody keeps it.
NO_BACKUPS: Mapping[str, str] = {"archive_command": "true"}
