"""Started by the engine: `pulumi preview --policy-pack policy --policy-pack-config policy/levels/prod.json`."""

import sys
from pathlib import Path

# The engine starts this file by its path, so the package around it is not on sys.path.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from components import collector

collector.pause()

from pulumi_policy import PolicyPack

from policy.pack import policies

collector.resume()

PolicyPack("teleport-access-graph", policies())
