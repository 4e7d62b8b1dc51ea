"""What one run of the program spares itself, which is short and whose SDK talks more than anybody listens.

For `__main__.py` alone: a component in somebody else's program changes nothing of that program.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import FrameType
from typing import Any

from components import collector

# Set to anything, the SDK's debug messages are sent, which `pulumi up --debug` then shows.
SDK_DEBUG_VARIABLE = "TELEPORT_ACCESS_GRAPH_SDK_DEBUG"


def begin() -> None:
    """Before the SDKs are imported. A run makes so little garbage that the collector rests to its end."""
    collector.pause()
    setattr(traceback, "extract_stack", stack_without_text)  # noqa: B010 - see `_send_no_debug_messages`
    if not os.environ.get(SDK_DEBUG_VARIABLE):
        _send_no_debug_messages()


def stack_without_text(f: FrameType | None = None, limit: int | None = None) -> traceback.StackSummary:
    """`traceback.extract_stack`, but a line's text is read when it is asked for.

    The SDK (3.272) tells the engine for each resource by which lines of code it was made, by file and number. Python's
    own function reads all these files for that, 27,000 lines, of which nobody sees one.
    """
    frame = f if f is not None else sys._getframe(1)
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=limit, lookup_lines=False)
    stack.reverse()
    return stack


def _send_no_debug_messages() -> None:
    """The SDK (3.272) sends the engine four for each resource, by a call that its event loop waits for, whether the
    engine is asked for them or not. They tell of the SDK's own steps."""
    import pulumi.log

    setattr(pulumi.log, "debug", _nothing)  # noqa: B010 - a function of a module has no other way for a type checker


def _nothing(*_: Any, **__: Any) -> None:
    return None
