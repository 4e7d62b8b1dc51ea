"""Markdown for GitHub, within its size limit. Texts from the preview appear only as code or in cells, so that none of
them can act as Markdown, mention somebody, or end its surroundings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.printable import printable

# GitHub refuses a longer body. GitHub counts characters, this module bytes, which are never fewer.
LIMIT = 65_536
# Bytes for the line that says what was cut, and for closing open blocks.
_RESERVE = 600
# Of one text on one line. An error may quote a whole document, and blocks are only cut between lines: the line would be
# lost.
LONGEST_TEXT = 2_000
_LINE = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+")


def marker(stack: str) -> str:
    """The first line of the stack's comment."""
    return f"<!-- teleport-access-graph preview: {re.sub(r'[^A-Za-z0-9._/-]', '_', stack)} -->"


@dataclass(frozen=True)
class Block:
    """Lines with what opens and closes them, kept or dropped together; may be cut between lines."""

    lines: Sequence[str]
    opening: Sequence[str] = field(default=())
    closing: Sequence[str] = field(default=())


# Longer than any fence that a value could contain: see `in_line`.
_FENCE = "`````"
END_FENCE = (_FENCE, "", "</details>", "")


def folded(title: str, *, fence: str) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", f"{_FENCE}{fence}"]


def fenced(lines: Sequence[str], *, opening: Sequence[str] = (), closing: Sequence[str] = ()) -> Block:
    return Block([in_line(line) for line in lines], [*opening, f"{_FENCE}text"], [_FENCE, *closing])


def code(text: str) -> str:
    """A code span that its text cannot end, not in a table either."""
    text = in_line(text).replace("`", "'").replace("|", "∣")
    return f"`{text}`" if text.strip() else "` `"


def in_line(text: str) -> str:
    """The text on one line that cannot end a fence, shortened so that it leaves room for others. Characters that are
    not printable are escaped: a mark of direction would show reviewers another text than the engine has."""
    line = printable(_LINE.sub(" ⏎ ", text.strip("\r\n"))).replace("```", "'''")
    return line if len(line) <= LONGEST_TEXT else f"{line[:LONGEST_TEXT]}… ({len(text)} characters)"


def cell(text: str) -> str:
    return in_line(text).replace("|", "∣").replace("<", "&lt;").replace("[", "&#91;").replace("@", "@\u200b")


def fit(blocks: Sequence[Block], footer: Sequence[str]) -> str:
    """As many blocks as fit. The first that does not fit is cut between lines, and those after it are dropped."""
    room = LIMIT - _size(footer) - _RESERVE
    written: list[str] = []
    for position, block in enumerate(blocks):
        frame = _size(block.opening) + _size(block.closing)
        if frame + _size(block.lines) <= room:
            lines = [*block.opening, *block.lines, *block.closing]
            room -= _size(lines)
            written += lines
            continue
        kept: list[str] = []
        for line in block.lines:
            if frame + _size([*kept[-1:], line]) > room:
                break
            room -= _size([line])
            kept.append(line)
        if kept:
            written += [*block.opening, *kept, *block.closing]
        left = len(block.lines) - len(kept) + sum(len(later.lines) for later in blocks[position + 1 :])
        written += [f"✂️ Cut here, for GitHub takes {LIMIT} characters: {left} more lines are in the report.", ""]
        break
    return "\n".join([*written, *footer]) + "\n"


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
