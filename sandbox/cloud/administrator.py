"""The key of the account's administrator: what `make env` exports, and what makes the account's landing zone.

No secret: the API is on loopback and lets every key but a workload's do everything. Only a signature that is checked,
that of a token for an IAM login, needs one that both sides know.
"""

from __future__ import annotations

from typing import Final

ACCESS_KEY_ID: Final = "sandbox"
SECRET_ACCESS_KEY: Final = "sandbox"
