"""An end of validity is announced sixty days ahead, with what to do."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest

from components import expiry
from components.expiry import Expiring, expiry_warnings, read_time, write_time
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


class OldestDatetime(datetime):
    """Parses as Python 3.10 does: no `Z`, and fractions only of three or six digits."""

    @classmethod
    def fromisoformat(cls, text: str) -> datetime:
        assert re.fullmatch(r"[0-9T:-]{19}(\.\d{3}|\.\d{6})?[+-]\d\d:\d\d", text), f"Invalid isoformat string: {text}"
        return datetime.fromisoformat(text)


@pytest.mark.parametrize("fraction", ["", ".5", ".57165", ".571651", ".57165114", ".571651145"])
def test_times_are_read_as_go_writes_them(fraction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go omits trailing zeros of the nine fractional digits."""
    monkeypatch.setattr(expiry, "datetime", OldestDatetime)
    read = read_time(f"2036-11-19T22:25:40{fraction}Z")
    assert read == datetime(2036, 11, 19, 22, 25, 40, int(fraction[1:7].ljust(6, "0")), tzinfo=timezone.utc)


@pytest.mark.parametrize("written", ["2026-11-27T13:00:00.571651145+01:00", "2026-11-27T17:30:00.571651145+05:30"])
def test_an_end_is_told_in_utc_wherever_the_certificate_was_made(written: str) -> None:
    """The tls plugin writes the time zone offset of the machine on which it runs."""
    assert expiry_warnings([Expiring(what="it", not_after=written, remedy="renew it")], NOW) == [
        "it ends at 2026-11-27 12:00 UTC, in 3 days: renew it"
    ]
    assert write_time(read_time(written)) == "2026-11-27T12:00:00Z"
