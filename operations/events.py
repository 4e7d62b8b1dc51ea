"""Reads the cluster's events about pods and their owners. The API server keeps events for an hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from operations.checks.teleport import moment
from operations.cluster import Document


def about(event: Document) -> str:
    """The object's name; empty when the event has none."""
    return str((event.get("involvedObject") or {}).get("name", ""))


def warnings(events: Sequence[Document], names: Collection[str]) -> list[Document]:
    """The `events` of type other than Normal about an object of these names, or about one made for it."""
    return [
        event
        for event in events
        if event.get("type") != "Normal"
        and any(about(event) == name or about(event).startswith(f"{name}-") for name in names)
    ]


def said_by(event: Document) -> tuple[str, str]:
    """Where it was seen; the reason with the message."""
    return f"event of {about(event)}", f"{event.get('reason', '')}: {event.get('message', '')}"


def first_seen(event: Document) -> datetime | None:
    """When the event first occurred; None when it has no time."""
    return moment(event.get("firstTimestamp") or event.get("eventTime") or event.get("lastTimestamp"))


def last_seen(event: Document) -> datetime | None:
    """When the event last occurred, if it is repeated; None when it has no time."""
    series = event.get("series") or {}
    return moment(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime"))
