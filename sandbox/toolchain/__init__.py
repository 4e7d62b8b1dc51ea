"""The programs the sandbox runs that no package registry has as such: engine, Helm, etcd and the control plane.

Finds them on PATH where their version serves, else builds them from Go modules into a cache outside the tree.
Leaves starting them to `sandbox.supervisor`.
"""

from sandbox.toolchain.choose import ChosenTool, Toolchain, ensure_toolchain
from sandbox.toolchain.diagnosis import ToolchainError
from sandbox.toolchain.official import build_kubernetes_plugin
from sandbox.toolchain.tools import KUBERNETES_PLUGIN, TOOLS, Tool

__all__ = [
    "KUBERNETES_PLUGIN",
    "TOOLS",
    "ChosenTool",
    "Tool",
    "Toolchain",
    "ToolchainError",
    "build_kubernetes_plugin",
    "ensure_toolchain",
]
