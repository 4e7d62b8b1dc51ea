"""What a user may change on a running stack, one step after the other: the moves of a random life.

Pure: each move is a change that the current settings allow. Settings that do not depend on others are among the
switches (`tests/faults/switches.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tests.engine.stacks import Settings

# Phase of the authority -> the phase that may follow, and whether it begins a new generation.
_STEPS: Final = {
    "stable": ("introduce", 1),
    "introduce": ("switch", 0),
    "switch": ("retire", 0),
    "retire": ("stable", 0),
}
FIRST_AUTHORITY: Final = {"generation": 1, "phase": "stable"}


OTHER_TELEPORT: Final = "other.example.com"


@dataclass(frozen=True)
class Move:
    name: str
    change: Callable[[Settings], None]


@dataclass(frozen=True)
class Teleports:
    """Paths of files with host CAs: Teleport's own (`few`), the same and one more (`many`), and those of the `other`
    Teleport (`OTHER_TELEPORT`); and that Teleport's namespace."""

    few: str
    many: str
    other: str
    namespace: str


def moves(settings: Settings, teleports: Teleports) -> list[Move]:
    """All moves that the settings allow."""
    found = [
        Move("step of the authority", _next_step),
        Move("labels", _labelled),
        Move("another name", _named),
        *_moves_of_the_database(settings["database"]),
    ]
    if not _enabled(settings):
        return [*found, Move("on", lambda now: now["accessGraph"].update(enabled=True))]
    return [
        *found,
        Move("replicas", _scaled),
        Move("off", lambda now: now["accessGraph"].update(enabled=False)),
        Move("network policy", _fenced),
        *_moves_of_teleports(settings, teleports),
    ]


def _moves_of_the_database(database: Settings) -> list[Move]:
    found = []
    # IAM logins have no password to rotate: IAM is allowed only with rotation 0, and the rotation never goes back.
    if database.get("authentication") == "iam":
        found.append(Move("login by password", lambda now: now["database"].pop("authentication")))
    else:
        found.append(Move("rotate", _rotated))
        if not database.get("rotation"):
            found.append(Move("login by IAM", lambda now: now["database"].update(authentication="iam")))
    # RDS makes no replica of an instance whose password it manages, and manages no password of one that has a replica.
    if "replica" in database:
        found.append(Move("replica leaves", lambda now: now["database"].pop("replica")))
    elif database["masterPassword"] == "generated":
        found.append(Move("replica joins", lambda now: now["database"].update(replica={})))
        found.append(Move("master password of AWS", lambda now: now["database"].update(masterPassword="managed")))
    else:
        found.append(Move("master password of ours", lambda now: now["database"].update(masterPassword="generated")))
    return found


def _moves_of_teleports(settings: Settings, teleports: Teleports) -> list[Move]:
    found = [Move("audit log", _exported)]
    if _first(settings)["hostAuthorities"]["path"] == teleports.many:
        dropped = {"path": teleports.few, "former": "drop"}
        found.append(Move("host CA leaves", lambda now: _first(now)["hostAuthorities"].update(dropped)))
    else:
        joined = {"path": teleports.many, "former": "keep"}
        found.append(Move("host CA joins", lambda now: _first(now)["hostAuthorities"].update(joined)))
    there = settings["teleport"].get(OTHER_TELEPORT)
    if there is not None:
        found.append(Move("a Teleport leaves", lambda now: now["teleport"].pop(OTHER_TELEPORT)))
        found.append(Move("a Teleport lets go or connects", _switched))
    authorities = {"mode": "file", "path": teleports.other}
    entries = {
        "by hand": {"mode": "manual", "hostAuthorities": authorities},
        "by values": {"mode": "values", "hostAuthorities": authorities, "namespace": teleports.namespace},
    }
    for way, entry in entries.items():
        if there is None or entry["mode"] != there["mode"]:
            name = f"a Teleport joins {way}" if there is None else f"a Teleport goes on {way}"
            found.append(Move(name, partial(_joined, entry)))
    return found


def _enabled(settings: Settings) -> bool:
    return bool(settings["accessGraph"].get("enabled", True))


def _first(settings: Settings) -> dict[str, Any]:
    """The entry of the Teleport that is always there."""
    (entry,) = (entry for cluster, entry in settings["teleport"].items() if cluster != OTHER_TELEPORT)
    found: dict[str, Any] = entry
    return found


def _joined(entry: dict[str, Any], settings: Settings) -> None:
    settings["teleport"][OTHER_TELEPORT] = dict(entry)


def _switched(settings: Settings) -> None:
    entry = settings["teleport"][OTHER_TELEPORT]
    entry["connected"] = not entry.get("connected", True)


def _exported(settings: Settings) -> None:
    if _first(settings).pop("auditLog", None) is None:
        _first(settings)["auditLog"] = {"enabled": True}


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
