"""Updates arrive automatically, in groups, and not in the week of their release; they include every lock."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from operations.supply_chain.lock import read_pins

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bot() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / ".github" / "renovate.json").read_text())
    return found


def test_every_lock_is_made_anew_by_the_bot(bot: dict[str, Any]) -> None:
    patterns = [re.compile(pattern.strip("/")) for pattern in bot["pip-compile"]["managerFilePatterns"]]
    locks = {
        str(file.relative_to(ROOT))
        for directory in (ROOT, ROOT / "policy", ROOT / ".ci")
        for file in directory.glob("*.txt")
        if "--hash=sha256:" in file.read_text()
    }
    assert len(locks) == 4
    assert {lock for lock in locks if any(pattern.search(lock) for pattern in patterns)} == locks
    assert bot["pip_requirements"] == {"enabled": False}, "two managers would change one file"


def test_nothing_is_taken_in_the_week_of_its_release_but_a_fix_of_a_hole(bot: dict[str, Any]) -> None:
    assert bot["minimumReleaseAge"] == "7 days"
    assert bot["internalChecksFilter"] == "strict", "without it the request comes at once, and only its check waits"
    assert bot["vulnerabilityAlerts"]["minimumReleaseAge"] is None
    assert not [rule for rule in bot["packageRules"] if "minimumReleaseAge" in rule or "automerge" in rule]


def test_what_has_to_move_together_does(bot: dict[str, Any]) -> None:
    (pulumi,) = [rule for rule in bot["packageRules"] if rule["groupName"] == "Pulumi"]
    (pattern,) = pulumi["matchPackageNames"]
    grouped = {name for name in read_pins(ROOT / "requirements-dev.in") if re.search(pattern.strip("/"), name)}
    assert grouped == {"pulumi", "pulumi-aws", "pulumi-kubernetes", "pulumi-random", "pulumi-tls", "pulumi-policy"}


def test_actions_stay_pinned_by_commit(bot: dict[str, Any]) -> None:
    assert "helpers:pinGitHubActionDigests" in bot["extends"]
