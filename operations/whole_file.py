"""Writes a file as a whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def write_whole(path: Path, text: str, *, mode: int | None = None) -> None:
    """Write in one step: whatever interrupts it (a full disk, Ctrl-C), `path` has its old content or all of `text`, in
    UTF-8.

    mode: permissions from the first byte on; by default those that the file has, for a new file the system's. Links
    stay links, and what is no file (a pipe, /dev/stdout) is written to directly. Raises `OSError` with `path`.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(temporary, flags, 0o666 if mode is None else mode), "w", encoding="utf-8") as file:
            file.write(text)
        if mode is None and target.exists():
            mode = stat.S_IMODE(target.stat().st_mode)
        if mode is not None:
            temporary.chmod(mode)
        temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
