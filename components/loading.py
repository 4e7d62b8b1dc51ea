"""Loads modules while the engine starts plugins.

The engine starts a plugin when the first provider or resource of it is registered, one after the other, and each takes
its time; so does the SDK, most of whose code is types. Done by turns, as by imports at the head of a program, the two
add up.
"""

from __future__ import annotations

import asyncio
import importlib


async def load(module: str) -> None:
    """Return when `module` is loaded, for an import statement to find; what has been registered is sent meanwhile."""
    # In a thread, because an import would keep the event loop from sending anything.
    await asyncio.to_thread(importlib.import_module, module)
