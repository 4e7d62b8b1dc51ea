"""A stack's record in a file backend: a full disk cuts it off, or a kill in the middle of a write leaves none, and the
engine reads nothing of the stack any more (`failed to load checkpoint`, `no stack named`). The record before it lies
beside it.

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


@dataclass(frozen=True)
class CutOff:
    """A file of the backend that is no JSON, or not there, and the one that can take its place: none for attributes,
    which the backend does without."""

    file: Path
    backup: Path | None

    def mend(self) -> str:
        """Put the backup in its place, and keep what was there beside it; says what it did."""
        if self.backup is None:
            self.file.unlink()
        else:
            if self.file.exists():
                self.file.replace(self.file.with_name(self.file.name + CUT_OFF))
            shutil.copyfile(self.backup, self.file)
        return "done"


def backend_directory(url: str) -> Path | None:
    """Where a file backend keeps its files, from the URL that `pulumi whoami --json` gives; None for other backends."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    return Path(unquote(parts.netloc + parts.path)).expanduser() / ".pulumi"


def cut_off(directory: Path, project: str, stack: str) -> Iterator[CutOff]:
    """What of that stack's cannot be read and can be mended. directory: see `backend_directory`."""
    for attributes in sorted(directory.rglob(f"*{ATTRIBUTES}")):
        own = stack in attributes.parent.parts or attributes.name.startswith(f"{stack}.json")
        if (own or attributes.parent == directory) and not _is_whole(attributes):
            yield CutOff(attributes, None)
    for ending in (".json", ".json.gz"):
        record = directory / "stacks" / project / f"{stack}{ending}"
        backup = record.with_name(record.name + BACKUP)
        if not _is_whole(record) and _is_whole(backup):
            yield CutOff(record, backup)


def _is_whole(file: Path) -> bool:
    try:
        data = file.read_bytes()
        json.loads(gzip.decompress(data) if file.name.removesuffix(BACKUP).endswith(".gz") else data)
    except (FileNotFoundError, EOFError, ValueError, gzip.BadGzipFile, zlib.error):
        return False
    return True
