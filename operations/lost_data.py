"""Objects in AWS with which data would be lost, when the state does not know them: how to bring them back into it.

Part of `recover`, which deletes none of them, and imports only what the engine noted as begun.
"""

from __future__ import annotations

from collections.abc import Collection

from components.settings import RdsDatabaseSettings, Settings
from operations.checks.encryption_key import out_of_the_way
from operations.mending import import_by_hand
from operations.unrecorded import INSTANCE, KEY

# By type: its name in `database.py`, and why it must stay.
_DATA = {
    INSTANCE: ("database-instance", "it has the data"),
    KEY: ("database-key", "what was encrypted with it cannot be read without it"),
}


def to_have_again(settings: Settings, stack: str, kind: str, identity: str, recorded: Collection[str]) -> str | None:
    """What to do about an object with the stack's tag; None for one that holds no data. recorded: names of the state's
    resources."""
    if kind not in _DATA:
        return None
    database, (name, reason) = settings.database, _DATA[kind]
    is_wanted = isinstance(database, RdsDatabaseSettings) and (
        # An instance of another name is a former one, or a replica.
        identity == database.identifier if kind == INSTANCE else database.kms_key_arn is None
    )
    unless_needed = (
        f"leave it unless nobody needs it any more: {reason}, and `database.onDestroy` keep and snapshot leave such "
        "objects"
    )
    if not is_wanted or (name in recorded and kind != KEY):
        return unless_needed
    command = import_by_hand(
        stack,
        kind,
        name,
        identity,
        parent="database=<URN of the Database>",
        provider="aws=<URN of the provider aws>",
        protect=True,
    )
    if name in recorded:
        # As after an `up --refresh` while the key was scheduled for deletion, which the plugin takes for gone.
        return (
            f"{unless_needed}. If the database is encrypted with it (`preflight` tells), the state has another in its "
            f"place: {out_of_the_way()}; then import it {command}"
        )
    return (
        f"leave it: {reason}. If `database.onDestroy` left it, database.adopt or restore reuses it (docs/database.md). "
        f"If the state has lost it, import it {command}"
    )
