"""`python -m sandbox`: see `sandbox.cli`."""

import os
import sys

from sandbox.parts import NOBODYS_AWS

# Before AWS's SDK is imported.
os.environ |= NOBODYS_AWS

from sandbox.cli import main

sys.exit(main())
