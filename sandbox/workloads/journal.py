"""Log lines in Teleport's text format, and the exception with which a program refuses to start.

Owns the form of a line; the programs decide what to log.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timezone

SEVERITIES = ("DEBUG", "INFO", "WARN", "ERROR")


class StartRefused(Exception):
    """The program cannot run as configured. The text is the last line of its log; its exit code is 1."""


class Journal:
    """Writes `<RFC 3339 time> <level> [<component>] <message> <key>:<value> ...` to stderr."""

    def __init__(self, component: str, severity: str = "INFO") -> None:
        self._component = component
        self._threshold = SEVERITIES.index(severity) if severity in SEVERITIES else SEVERITIES.index("INFO")

    def debug(self, message: str, **fields: object) -> None:
        self._write("DEBUG", message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write("INFO", message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write("WARN", message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write("ERROR", message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if SEVERITIES.index(level) < self._threshold:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = "".join(f" {key}:{_field(value)}" for key, value in fields.items())
        # One write per line, because threads share the stream.
        sys.stderr.write(f"{now} {level:<5}[{self._component}] {message}{said}\n")
        sys.stderr.flush()


def run_program(main: Callable[[], int]) -> int:
    """Returns the exit code of `main`; a refusal becomes one clear line and exit code 1."""
    try:
        return main()
    except StartRefused as refusal:
        sys.stderr.write(f"ERROR: {refusal}\n")
        sys.stderr.flush()
        return 1


def _field(value: object) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "\n\t') else text
