"""Makes text that others wrote safe for a terminal or a log: a certificate's subject, an event, a line of a log.

Such text may be meant to deceive: a control sequence that goes up and overwrites the line before, or a line that looks
like one of ours.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` on one line. Characters that a terminal would act upon are escaped, such as `\\x1b`."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(sign: str) -> str:
    if sign.isprintable():
        return sign
    return " " if sign.isspace() else sign.encode("unicode_escape").decode("ascii")
