"""Texts of a preview as the page shows them: without markup, and without characters that a browser acts upon.

A mark of direction, for one, turns round what stands after it: a reviewer would read another value than the engine.
"""

from __future__ import annotations

import html

from components.printable import printable


def escape(text: str) -> str:
    """HTML of `text`, line by line. Characters that are not printable are escaped, such as `\\u202e`."""
    return html.escape("\n".join(map(printable, text.split("\n"))))
