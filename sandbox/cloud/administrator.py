"""The access key of the account's administrator: `make env` exports it, and the landing zone is made with it.

It is no secret: the API is on loopback and lets every key but a workload's do everything. A key both sides know is
needed only where a signature is checked: that of a token for an IAM login.
"""

from __future__ import annotations

from typing import Final

ACCESS_KEY_ID: Final = "sandbox"
SECRET_ACCESS_KEY: Final = "sandbox"
