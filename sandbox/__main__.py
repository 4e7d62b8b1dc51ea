"""`python -m sandbox`: see `sandbox.cli`."""

import os
import sys

from sandbox.parts import NOBODYS_AWS

# Must precede the import of AWS's SDK.
os.environ |= NOBODYS_AWS

from sandbox.cli import main

sys.exit(main())
