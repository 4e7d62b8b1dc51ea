"""Text that others wrote, as a terminal or a log may show it: a certificate's subject, an event, a line of a log.

What they put in may be meant for the terminal: a sequence that goes up and writes over the line before, or a line that
looks like one of ours.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` on one line. What a terminal would act upon is written out, such as `\\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(sign: str) -> str:
    if sign.isprintable():
        return sign
    return " " if sign.isspace() else sign.encode("unicode_escape").decode("ascii")
