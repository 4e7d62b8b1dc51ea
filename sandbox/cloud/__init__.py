"""The AWS of the sandbox: moto's API, and a real PostgreSQL behind every RDS instance that is made there.

`python -m sandbox.cloud --home <home>` runs it; what the rest of the sandbox needs of it is in
`<home>/run/cloud.ready.json`.
"""
