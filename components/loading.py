"""Loads modules while the engine starts plugins.

The engine starts each plugin when the first provider or resource of its package is registered, one after the other, and
each takes its time. So does importing the SDKs, most of whose code is types. Imports at the head of the program would
add the two times up.
"""

from __future__ import annotations

import asyncio
import importlib


async def load(module: str) -> None:
    """Return when `module` is loaded and can be imported at once; registered resources are sent meanwhile."""
    # In a thread, because an import on the event loop would keep it from sending anything.
    await asyncio.to_thread(importlib.import_module, module)
