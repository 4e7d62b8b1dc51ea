"""`imports.py <names as JSON>`: imports those modules and no more, the least that a program with them takes."""

import gc
import importlib
import json
import sys

# Its own directory is not the program's.
del sys.path[0]
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
# The program does it too: neither side's row is of the interpreter's end.
gc.freeze()
