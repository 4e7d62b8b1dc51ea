"""Loads the components, and with them the SDKs' large modules, while the engine starts the plugins.

The engine starts a plugin when the first provider or resource of it is registered, one after the other, and each takes
its time; so does the SDK, most of whose code is types. Done by turns, as by imports at the head of a program, the two
add up.
"""

from __future__ import annotations

import asyncio
import importlib

from components.settings import RdsDatabaseSettings, Settings


async def load_components(settings: Settings) -> None:
    """Return when what `settings` needs is loaded; what has been registered so far is sent meanwhile."""
    modules = ["components.assembly", "components.outputs", "components.surroundings"]
    if isinstance(settings.database, RdsDatabaseSettings):
        modules.append("components.rds_assembly")  # AWS's SDK, which nothing else needs
    # In a thread, because an import would keep the event loop from sending anything.
    await asyncio.to_thread(lambda: [importlib.import_module(module) for module in modules])
