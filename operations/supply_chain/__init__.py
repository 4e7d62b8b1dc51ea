"""The third-party parts of this project: the locked packages, their licences, the bill of materials.

Owns how the lock is read and judged. `.ci/lock` writes it, pip installs from it.
"""
