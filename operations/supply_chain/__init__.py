"""What this project is made of that others made: the locked packages, their licences, the bill of materials.

Owns how the lock is read and judged. What locks is `.ci/lock`, what installs is pip.
"""
