"""The programs the sandbox runs that no package registry has as such: engine, Helm, etcd and the control plane.

Finds them on PATH where their version serves, else builds them from Go modules into a cache outside the tree.
Leaves starting them to `sandbox.supervisor`.
"""

from sandbox.toolchain.choose import ChosenTool, Toolchain, ensure_toolchain
from sandbox.toolchain.diagnosis import ToolchainError
from sandbox.toolchain.official import OFFICIAL_PLUGINS, USUAL_PLUGINS, build_plugins
from sandbox.toolchain.tools import TOOLS, Tool

__all__ = [
    "OFFICIAL_PLUGINS",
    "TOOLS",
    "USUAL_PLUGINS",
    "ChosenTool",
    "Tool",
    "Toolchain",
    "ToolchainError",
    "build_plugins",
    "ensure_toolchain",
]
