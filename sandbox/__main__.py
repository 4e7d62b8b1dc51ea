"""`python -m sandbox`: see `sandbox.cli`."""

import os
import sys

from sandbox.parts import NOBODYS_AWS

# Before AWS's SDK is imported.
os.environ |= NOBODYS_AWS

from components import collector

collector.pause()

from sandbox.cli import main

collector.resume()

sys.exit(main())
