"""`python -m sandbox`: see `sandbox.cli`."""

import os
import sys

# moto reads the caller's profiles when it is imported, and a broken file of theirs would end every command here.
os.environ.update({"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull})

from sandbox.cli import main

sys.exit(main())
