"""Files that others may read while they are written: complete or absent, never partial, and private to this user."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_PRIVATE = 0o600


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically. A reader sees the old content or the new; a killed writer leaves the old."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default
