"""What a user may change on a stack that runs, one step after the other: the moves of a random life.

Pure: each move is a change of the settings that is allowed as they are now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.engine.stacks import Settings

# Phase of the authority -> the step that may follow, and whether it is a new generation's.
_STEPS: Final = {
    "stable": ("introduce", 1),
    "introduce": ("switch", 0),
    "switch": ("retire", 0),
    "retire": ("stable", 0),
}
FIRST_AUTHORITY: Final = {"generation": 1, "phase": "stable"}


@dataclass(frozen=True)
class Move:
    name: str
    change: Callable[[Settings], None]


def moves(settings: Settings, host_cas: tuple[str, str]) -> list[Move]:
    """Those that the settings allow. `host_cas`: paths of the host CAs of Teleport, and of the same with one more."""
    found = [
        Move("rotate", _rotated),
        Move("step of the authority", _next_step),
        Move("labels", _labelled),
        Move("another name", _named),
    ]
    if not _enabled(settings):
        return [*found, Move("on", lambda now: now["accessGraph"].update(enabled=True))]
    found += [
        Move("replicas", _scaled),
        Move("off", lambda now: now["accessGraph"].update(enabled=False)),
        Move("network policy", _fenced),
    ]
    few, many = host_cas
    if _host_authorities(settings)["path"] == many:
        return [*found, Move("host CA leaves", lambda now: _host_authorities(now).update(path=few, former="drop"))]
    return [*found, Move("host CA joins", lambda now: _host_authorities(now).update(path=many, former="keep"))]


def _enabled(settings: Settings) -> bool:
    return bool(settings["accessGraph"].get("enabled", True))


def _host_authorities(settings: Settings) -> dict[str, Any]:
    (entry,) = settings["teleport"].values()
    found: dict[str, Any] = entry["hostAuthorities"]
    return found


def _rotated(settings: Settings) -> None:
    settings["database"]["rotation"] = settings["database"].get("rotation", 0) + 1


def _next_step(settings: Settings) -> None:
    now = settings["tls"].get("authority", FIRST_AUTHORITY)
    phase, on = _STEPS[now["phase"]]
    settings["tls"]["authority"] = {"generation": now["generation"] + on, "phase": phase}


def _labelled(settings: Settings) -> None:
    settings["labels"] = {"turn": str(int(settings.get("labels", {}).get("turn", "0")) + 1)}


def _named(settings: Settings) -> None:
    names = settings["tls"].get("extraDnsNames", [])
    settings["tls"]["extraDnsNames"] = [] if names else ["graph.example.com"]


def _scaled(settings: Settings) -> None:
    settings["accessGraph"]["replicas"] = 3 if settings["accessGraph"].get("replicas", 2) == 2 else 2


def _fenced(settings: Settings) -> None:
    if settings["accessGraph"].pop("networkPolicy", None) is None:
        settings["accessGraph"]["networkPolicy"] = {
            "enabled": True,
            "clientCidrs": ["127.0.0.0/8"],
            "databaseCidrs": ["127.0.0.0/8"],
            "apiServerCidrs": ["127.0.0.0/8"],
        }
