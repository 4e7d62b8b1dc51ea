"""What ends is told sixty days ahead, with what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from components.expiry import Expiring, expiry_warnings
from tests.unit.certificates.pki import NOW

pytestmark = pytest.mark.unit


def ends(delta: timedelta, what: str = "it") -> Expiring:
    return Expiring(what=what, not_after=(NOW + delta).strftime("%Y-%m-%dT%H:%M:%SZ"), remedy="renew it")


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        (timedelta(days=60, seconds=1), None),
        (timedelta(days=60), "it ends at 2027-01-23 12:00 UTC, in 60 days: renew it"),
        (timedelta(days=1, hours=3), "it ends at 2026-11-25 15:00 UTC, in 1 day: renew it"),
        (timedelta(hours=5), "it ends at 2026-11-24 17:00 UTC, in 5 hours: renew it"),
        (timedelta(0), "it ended at 2026-11-24 12:00 UTC, and Teleport refuses it: renew it"),
        (timedelta(days=-9), "it ended at 2026-11-15 12:00 UTC, and Teleport refuses it: renew it"),
    ],
)
def test_the_last_sixty_days_are_warned_of(delta: timedelta, text: str | None) -> None:
    assert expiry_warnings([ends(delta)], NOW) == ([] if text is None else [text])


def test_the_most_urgent_comes_first() -> None:
    items = [ends(timedelta(days=30), "later"), ends(timedelta(days=400), "never"), ends(timedelta(days=3), "soon")]
    assert [warning.split()[0] for warning in expiry_warnings(items, NOW)] == ["soon", "later"]
