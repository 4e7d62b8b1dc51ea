"""Started by the engine for a program that uses the components: docs/package.md says how one names this directory."""

import sys
from pathlib import Path

# The engine starts this file by its path, so that the package beside it is not found.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pulumi.provider.experimental import component_provider_host

from components.package import COMPONENTS, NAME, VERSION

if __name__ == "__main__":
    component_provider_host(components=list(COMPONENTS), name=NAME, version=VERSION)
