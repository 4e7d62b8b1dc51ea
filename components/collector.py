"""Turns off Python's cyclic garbage collector, which slows short processes that load large packages.

Importing the SDKs and clients creates more than 150,000 objects but no garbage. The collector would walk them again and
again during the imports, and once more when the interpreter exits: a third of the time that a command takes to start.
"""

from __future__ import annotations

import atexit
import gc


def pause() -> None:
    """Call before the imports. Also skips the walk at the interpreter's exit."""
    gc.disable()
    atexit.register(gc.freeze)


def resume() -> None:
    """Call after the imports in a process that runs on: the collector then ignores what is already loaded."""
    gc.freeze()
    gc.enable()
