"""What Teleport's own log says about the access graph.

From auth's Enterprise source (14 to 18): it logs `Starting access graph service` when it starts, and at each failed
call, five seconds apart, `Access graph registration failed` or `Access graph sync process failed` with the reason.
Success is logged only at the level DEBUG: `Successfully registered with the access graph service`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from operations.preview.scrub import scrub

# Marks lines about the access graph: a component, an endpoint, or words.
ABOUT = re.compile(r"access[ _-]?graph", re.IGNORECASE)
_TROUBLE = re.compile(
    r"could not find host CA|fail|error|lost|refused|denied|unable|cannot|x509|unexpected|unavailable|not started"
    r"|did not answer|not (be )?enabled|not entitled",
    re.IGNORECASE,
)
_CONNECTED = re.compile(r"connected|connection established|registered|answered|streaming", re.IGNORECASE)
_SAID_ONCE = re.compile(r"licen[cs]e|not entitled", re.IGNORECASE)

SECONDS_BETWEEN_COMPLAINTS = 40
"""An auth whose calls fail complains at least this often: five seconds between calls, twenty for a connection that
nobody answers, and a margin. A complaint not repeated for so long is over."""

# In text logs, Teleport writes an error over several lines: `... failed error:[`, `ERROR REPORT:`, `Original Error:
# ...`, a stack, `User Message: ...]`. Any other line begins with a time, a level or a colour code, or is JSON.
_REPORT = "ERROR REPORT:"
_BEGINNING = re.compile(r"\d{4}-\d\d-\d\d|\{|\x1b\[|(TRACE|DEBU|INFO|WARN|ERRO|FATA)")


def entries(log: str) -> list[str]:
    """The log's entries, one line each: an error report is joined to the line it belongs to, without its stack
    trace."""
    found: list[str] = []
    in_report = in_stack = False
    for line in log.splitlines():
        if line.strip() == _REPORT and found:
            in_report, in_stack = True, False
        elif not in_report or _BEGINNING.match(line):
            in_report = False
            found.append(line)
        elif line.startswith("Stack Trace:"):
            in_stack = True
        elif not in_stack:
            found[-1] = f"{found[-1]} {line.strip()}"
    return found


def last_statement(log: str) -> str | None:
    """The last line that tells the state of the connection to TAG, without secrets because it is shown."""
    return next((scrub(line.strip()) for line in reversed(entries(log)) if _is_statement(line)), None)


def since_good_news(log: str) -> Iterator[str]:
    """The lines after the last one that reports success: trouble before it has been mended."""
    lines = entries(log)
    good = [index for index, line in enumerate(lines) if is_good_news(line)]
    yield from lines[good[-1] + 1 if good else 0 :]


def is_good_news(line: str) -> bool:
    """Whether the line reports success with the access graph."""
    if is_trouble(line):
        return False
    return bool(ABOUT.search(line) and (_CONNECTED.search(line) or "is ready" in line))


def is_trouble(line: str) -> bool:
    return bool(_TROUBLE.search(line))


def is_repeated(trouble: str) -> bool:
    """Whether auth repeats it at each call while it lasts. Licence trouble is logged only once, when auth starts."""
    return not _SAID_ONCE.search(trouble)


def _is_statement(line: str) -> bool:
    return bool(ABOUT.search(line) and (is_trouble(line) or _CONNECTED.search(line)))
