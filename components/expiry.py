"""Warns in time of what expires. Pure; the caller prints the warnings and brings the dates."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

# Two monthly rounds of maintenance: long enough to act, short enough that a one-year certificate is mostly quiet.
WARNING_DAYS = 60

_FRACTION = re.compile(r"\.(\d{1,6})\d*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Expiring:
    what: str
    """`the server certificate`"""
    not_after: str
    """RFC 3339."""
    remedy: str
    """What renews it, in the imperative."""


@dataclass(frozen=True, kw_only=True)
class RecordedEnds:
    """RFC 3339, as the last complete `up` left them; None where it left none."""

    certificate: str | None = None
    authorities: str | None = None
    """The earliest end among the trusted authorities."""


def expiry_warnings(items: Iterable[Expiring], now: datetime) -> list[str]:
    """A line for each of `items` that ends within 60 days of `now` (an aware time), the most urgent first."""
    ends = sorted(((read_time(item.not_after), item) for item in items), key=lambda pair: pair[0])
    return [_warning(item, end, now) for end, item in ends if end - now <= timedelta(days=WARNING_DAYS)]


def read_time(text: str) -> datetime:
    """An RFC 3339 time, in UTC. Python 3.10 reads neither the nanoseconds nor the `Z` that Go writes; the tls plugin
    writes the UTC offset of the machine that it runs on."""
    read = datetime.fromisoformat(_FRACTION.sub(_in_microseconds, text).replace("Z", "+00:00"))
    return read.astimezone(timezone.utc)


def write_time(time: datetime) -> str:
    """RFC 3339, to the second; `time` must be in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _in_microseconds(fraction: re.Match[str]) -> str:
    return "." + fraction[1].ljust(6, "0")


def _warning(item: Expiring, end: datetime, now: datetime) -> str:
    if end <= now:
        return f"{item.what} ended at {end:%Y-%m-%d %H:%M} UTC, and Teleport refuses it: {item.remedy}"
    left = end - now
    count, unit = (left.days, "day") if left.days else (int(left.total_seconds() // 3600), "hour")
    return f"{item.what} ends at {end:%Y-%m-%d %H:%M} UTC, in {count} {unit}{'' if count == 1 else 's'}: {item.remedy}"
