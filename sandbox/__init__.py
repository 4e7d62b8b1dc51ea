"""The embedded default: everything the program needs, on one Linux machine.

The program (`components/`, `operations/`) imports nothing from here and gives the same interfaces the real world gives.
"""
