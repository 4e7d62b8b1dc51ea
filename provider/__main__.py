"""The engine starts this for a program that uses the components; docs/package.md says how to name this directory."""

import sys
from pathlib import Path

# The engine starts this file by its path, so Python does not find the package beside it.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from components import collector

collector.pause()

from pulumi.provider.server import main

from provider.host import Host

collector.resume()

if __name__ == "__main__":
    # After the directory come the engine's address and its options.
    main(Host(), sys.argv[1:])
