"""The environments that the repository comes with, `dev` and `prod`, for tests that are about them as samples.

Who deploys from a copy of the repository puts ids of their own into them, or takes one away: no test may fail for that.
"""

from __future__ import annotations

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# The account in each: a placeholder, and the first thing that an environment of somebody's has of its own.
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
