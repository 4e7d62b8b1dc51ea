"""The built-in environment: everything the program needs, on one Linux machine.

The program (`components/`, `operations/`) imports nothing from here; the sandbox offers it the same interfaces as the
real world.
"""
