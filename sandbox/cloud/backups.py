"""Automated backups of one server: a base copy, and PostgreSQL's own log of every change since.

The two restore any moment since the base copy was made. Knows nothing of AWS and starts no server.
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
    """Data from a snapshot."""

    name: str


@dataclass(frozen=True)
class MomentOrigin:
    """Data as another instance had it at a point in time."""

    resource_id: str
    time: datetime.datetime | None
    """With a time zone; None: the latest moment there is."""


Origin = SnapshotOrigin | MomentOrigin
"""The data that an instance begins with, if any."""


class Backups:
    """Where one server's backups are kept. The files belong to the server's user, who writes the log."""

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
        """The earliest moment that can be restored; None before there is one."""
        record = read_json(self._directory / RECORD, {})
        return datetime.datetime.fromisoformat(record["earliest"]) if record and self.base.is_dir() else None

    def prepare(self) -> None:
        for directory in (self._directory, self.log):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._user.own(directory)

    def begun(self) -> None:
        """Record that the base copy is complete."""
        now = datetime.datetime.now(datetime.timezone.utc)
        write_json(self._directory / RECORD, {"earliest": now.isoformat()})

    def remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    # Settings of servers

    def writing(self) -> dict[str, str]:
        """Settings of the server being backed up. A partial file left by a killed copy is overwritten by the next
        attempt."""
        part, whole = shlex.quote(f"{self.log}/%f.part"), shlex.quote(f"{self.log}/%f")
        return {"archive_command": f"cp %p {part} && mv {part} {whole}"}

    def reading(self) -> dict[str, str]:
        """Settings of a server that reads from here what its source no longer holds."""
        return {"restore_command": f"cp {shlex.quote(f'{self.log}/%f')} %p", "recovery_target_timeline": "latest"}

    def recovery(self, time: datetime.datetime | None) -> dict[str, str]:
        """Settings of a server restored from the base copy to its state at `time`; None: the latest."""
        target = {} if time is None else {"recovery_target_time": time.isoformat(sep=" ")}
        # Nobody can log in before the server has reached the requested state.
        return {**self.reading(), **target, "recovery_target_action": "promote", "hot_standby": "off"}


# The log is always written, because switching that on would restart the server; without backups it is discarded.
NO_BACKUPS: Mapping[str, str] = {"archive_command": "true"}
