"""The environments that ship with the repository, `dev` and `prod`, for tests that use them as samples.

Users who deploy from a copy of the repository put their own ids into these environments or delete one of them. No test
may fail because of that.
"""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# The account ids that ship with the environments are placeholders; a user's own environment has a real id first of all.
_PLACEHOLDERS = {"dev": "123456789012", "prod": "210987654321"}


def are_as_shipped(root: Path = REPOSITORY) -> bool:
    for name, account in _PLACEHOLDERS.items():
        file = root / f"Pulumi.{name}.yaml"
        if not file.exists() or f'accountId: "{account}"' not in file.read_text(encoding="utf-8"):
            return False
    return True


as_shipped = pytest.mark.skipif(
    not are_as_shipped(), reason="Pulumi.dev.yaml or Pulumi.prod.yaml is an environment of somebody's here"
)
