"""What runs in the sandbox's pods: stand-ins for Teleport Access Graph and for Teleport's auth and proxies.

Each is one light process that keeps the real program's contract: which files it reads and when, what it refuses, whom
it trusts, what it serves and logs. What the real program does with its data once connected is left out.
"""
