"""Moments as settings give them: RFC 3339, with date, time and offset; and as AWS takes them, in UTC."""

from __future__ import annotations

import datetime
import re

from components.settings.rules import Rule

# What the engine makes of a date that is not quoted.
_READ_AS_A_DATE = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(\.\d+)? [+-]\d{4}( .*)?", re.ASCII)
_RFC_3339 = re.compile(r"(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def moment(value: str) -> datetime.datetime | None:
    """The time that `value` is, in UTC and to the second, or None."""
    match = _RFC_3339.fullmatch(value)
    if match is None:
        return None
    day, time, _, offset = match.groups()
    try:
        found = datetime.datetime.fromisoformat(f"{day}T{time}{'+00:00' if offset == 'Z' else offset}")
        return found.astimezone(datetime.timezone.utc)
    except (ValueError, OverflowError):
        return None


def in_utc(value: str) -> str:
    """The moment `value` as AWS takes it: `2026-01-31T00:00:00Z`, without offset and fraction."""
    found = moment(value)
    assert found is not None  # MOMENT has accepted it
    return found.strftime("%Y-%m-%dT%H:%M:%SZ")


def _why_no_moment(value: str) -> str | None:
    if _READ_AS_A_DATE.fullmatch(value):
        return "was read as a date, because it had no quotes"
    return "has no time and offset" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else None


MOMENT = Rule(
    "a moment in RFC 3339",
    lambda value: moment(value) is not None,
    'give date, time and offset in quotes, such as "2026-01-31T00:00:00Z"',
    _why_no_moment,
)
