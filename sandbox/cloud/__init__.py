"""The sandbox's AWS: moto's API, and a real PostgreSQL behind every RDS instance created there.

Run by `python -m sandbox.cloud --home <home>`; `<home>/run/cloud.ready.json` holds what the rest of the sandbox needs
to know about it.
"""
