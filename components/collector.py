"""Python's cyclic garbage collector, which stands in the way of short processes that load large packages.

The SDKs and clients leave no garbage when they are imported, but 150,000 objects and more, which it would walk again
and again meanwhile, and once more when the interpreter ends: a third of the time that a command takes to start.
"""

from __future__ import annotations

import atexit
import gc


def pause() -> None:
    """Before the imports. At the interpreter's end nothing is walked."""
    gc.disable()
    atexit.register(gc.freeze)


def resume() -> None:
    """After the imports, where the process goes on for longer: what is loaded stays out of the collector's sight."""
    gc.freeze()
    gc.enable()
