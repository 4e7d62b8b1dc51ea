"""The messages and stubs of Pulumi's plugin protocol, taken from the SDK's files without importing the SDK.

`import pulumi` costs 0.3 s, which every plugin would add to every preview; the generated modules need none of it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def _packages_without_their_code() -> Iterator[None]:
    """Within this context, the packages above the generated modules are empty shells with only a search path."""
    if "pulumi" in sys.modules:
        yield
        return
    specification = importlib.util.find_spec("pulumi")
    if specification is None or not specification.submodule_search_locations:
        raise ModuleNotFoundError("the Pulumi SDK is not installed in this interpreter; install requirements.txt")
    root = Path(specification.submodule_search_locations[0])
    shells = {
        "pulumi": root,
        "pulumi.runtime": root / "runtime",
        "pulumi.runtime.proto": root / "runtime" / "proto",
    }
    for name, folder in shells.items():
        shell = ModuleType(name)
        shell.__path__ = [str(folder)]
        sys.modules[name] = shell
    try:
        yield
    finally:
        # Later imports of the SDK must get the real packages.
        for name in shells:
            sys.modules.pop(name, None)


with _packages_without_their_code():
    from pulumi.runtime.proto import (
        engine_pb2,
        engine_pb2_grpc,
        language_pb2,
        language_pb2_grpc,
        plugin_pb2,
        provider_pb2,
        provider_pb2_grpc,
        status_pb2,
    )

__all__ = [
    "engine_pb2",
    "engine_pb2_grpc",
    "language_pb2",
    "language_pb2_grpc",
    "plugin_pb2",
    "provider_pb2",
    "provider_pb2_grpc",
    "status_pb2",
]
