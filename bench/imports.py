"""`imports.py <names as JSON>`: imports only those modules, the minimum for a program that uses them."""

import gc
import importlib
import json
import sys

# The script's own directory is not on the program's path.
del sys.path[0]
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
# The program does so too, so that neither side's figure includes the interpreter's shutdown.
gc.freeze()
