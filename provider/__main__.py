"""Started by the engine for a program that uses the components: docs/package.md says how one names this directory."""

import sys
from pathlib import Path

# The engine starts this file by its path, so that the package beside it is not found.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from components import collector

collector.pause()

from pulumi.provider.server import main

from provider.host import Host

collector.resume()

if __name__ == "__main__":
    # The engine's address and options, behind the directory.
    main(Host(), sys.argv[1:])
