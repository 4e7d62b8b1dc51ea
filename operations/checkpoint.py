"""A stack's record in a file backend. A full disk cuts it off, a kill during a write may leave none, and the engine
then cannot read the stack (`failed to load checkpoint`, `no stack named`). The previous record is kept beside it.

Other backends write a record whole or not at all.
"""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

BACKUP = ".bak"
ATTRIBUTES = ".attrs"
CUT_OFF = ".cut-off"
# A record, plain or compressed as the engine's settings say. After a change of settings, the former file stays as a
# backup.
_ENDINGS = (".json", ".json.gz")
# A format that nothing here reads; where it exists, other records are older.
_UNREAD = ".json.zst"


@dataclass(frozen=True)
class CutOff:
    """A file of the backend that is damaged or missing, and the backup that can take its place; None for attributes,
    which the backend can do without."""

    file: Path
    backup: Path | None
    spoilt: tuple[Path, ...] = ()
    """The damaged files in its place; empty when there is none."""

    @property
    def is_missing(self) -> bool:
        """Whether there is no record at all; `pulumi stack rm` leaves that too, not only a kill."""
        return self.backup is not None and not self.spoilt

    def mend(self) -> str:
        """Put the backup in place and keep the damaged files beside it; returns what it did."""
        if self.backup is None:
            self.file.unlink()
        else:
            for file in self.spoilt:
                file.replace(file.with_name(file.name + CUT_OFF))
            shutil.copyfile(self.backup, self.file)
        return "done"


def backend_directory(url: str) -> Path | None:
    """Where a file backend keeps its files, from the URL that `pulumi whoami --json` prints; None for other
    backends."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return Path(unquote(parts.netloc + parts.path)).expanduser() / ".pulumi"


def cut_off(directory: Path, project: str, stack: str) -> Iterator[CutOff]:
    """The stack's files that cannot be read and can be mended. directory: see `backend_directory`."""
    for attributes in sorted(directory.rglob(f"*{ATTRIBUTES}")):
        own = stack in attributes.parent.parts or attributes.name.startswith(f"{stack}.json")
        if (own or attributes.parent == directory) and not _is_whole(attributes):
            yield CutOff(attributes, None)
    records = [directory / "stacks" / project / f"{stack}{ending}" for ending in _ENDINGS]
    backups = [record.with_name(record.name + BACKUP) for record in records]
    packed = directory / "stacks" / project / f"{stack}{_UNREAD}"
    whole = [backup for backup in backups if _is_whole(backup)]
    if packed.exists() or any(map(_is_whole, records)) or not whole:
        return
    # The engine writes a backup before it writes a record, so the newest backup is the record before this one.
    backup = max(whole, key=lambda file: file.stat().st_mtime_ns)
    spoilt = tuple(record for record in records if record.exists())
    yield CutOff(backup.with_name(backup.name.removesuffix(BACKUP)), backup, spoilt)


def _is_whole(file: Path) -> bool:
    try:
        data = file.read_bytes()
        json.loads(gzip.decompress(data) if file.name.removesuffix(BACKUP).endswith(".gz") else data)
    except (FileNotFoundError, EOFError, ValueError, gzip.BadGzipFile, zlib.error):
        return False
    return True
