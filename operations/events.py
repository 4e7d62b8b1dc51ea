"""Reads what the cluster's events say of pods and of who makes them. The API server keeps them for an hour."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from operations.checks.teleport import moment
from operations.cluster import Document


def about(event: Document) -> str:
    """Name of the object; empty where the event says none."""
    return str((event.get("involvedObject") or {}).get("name", ""))


def warnings(events: Sequence[Document], names: Collection[str]) -> list[Document]:
    """Those of `events` that are about an object of these names, or one that was made for it."""
    return [
        event
        for event in events
        if event.get("type") != "Normal"
        and any(about(event) == name or about(event).startswith(f"{name}-") for name in names)
    ]


def said_by(event: Document) -> tuple[str, str]:
    """Where it was seen, and the reason with the message."""
    return f"event of {about(event)}", f"{event.get('reason', '')}: {event.get('message', '')}"


def first_seen(event: Document) -> datetime | None:
    """When it was said first; None where it tells no time."""
    return moment(event.get("firstTimestamp") or event.get("eventTime") or event.get("lastTimestamp"))


def last_seen(event: Document) -> datetime | None:
    """When it was said last, of one that is repeated; None where it tells no time."""
    series = event.get("series") or {}
    return moment(series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime"))
