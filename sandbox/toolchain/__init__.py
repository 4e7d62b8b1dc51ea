"""The programs the sandbox runs that no package registry offers ready-made: engine, Helm, etcd, control plane.

Finds them on PATH if their version serves, otherwise builds them from Go modules into a cache outside the tree.
`sandbox.supervisor` starts them.
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
