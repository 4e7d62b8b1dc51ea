"""Startup work that one run of the program skips: garbage collection, source lines and unread debug messages.

For `__main__.py` alone: a component used in another program must change nothing of that program.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType
from typing import Any

from components import collector

# With any value set, the SDK's debug messages are sent, and `pulumi up --debug` shows them.
SDK_DEBUG_VARIABLE = "TELEPORT_ACCESS_GRAPH_SDK_DEBUG"


def begin() -> None:
    """Call before the SDKs are imported. The collector stays off for the whole run, which makes little garbage."""
    collector.pause()
    setattr(traceback, "extract_stack", stack_without_text)  # noqa: B010 - see `_send_no_debug_messages`
    if not os.environ.get(SDK_DEBUG_VARIABLE):
        _send_no_debug_messages()


def stack_without_text(f: FrameType | None = None, limit: int | None = None) -> traceback.StackSummary:
    """`traceback.extract_stack`, but reads the text of a line only when it is asked for.

    For each resource the SDK (3.272) tells the engine which lines of code made it, by file and number. For that,
    Python's own function reads all of these files: 27,000 lines that nobody sees.
    """
    frame = f if f is not None else sys._getframe(1)
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=limit, lookup_lines=False)
    stack.reverse()
    return stack


def _send_no_debug_messages() -> None:
    """For each resource the SDK (3.272) sends four debug messages about its own steps, by a call that blocks its event
    loop, even if the engine was not asked for them."""
    import pulumi.log

    setattr(pulumi.log, "debug", _nothing)  # noqa: B010 - a function of a module has no other way for a type checker


def _nothing(*_: Any, **__: Any) -> None:
    return None
