"""What a stack has in AWS that data are lost with, where its state lacks it: how the state has it again.

Part of `recover`, which deletes nothing of it and imports nothing that the engine has no note of.
"""

from __future__ import annotations

from collections.abc import Collection

from components.settings import RdsDatabaseSettings, Settings
from operations.mending import import_by_hand
from operations.unrecorded import INSTANCE, KEY

# By type: what `database.py` calls it, and why it is to stay.
_DATA = {
    INSTANCE: ("database-instance", "it has the data"),
    KEY: ("database-key", "what was encrypted with it cannot be read without it"),
}


def to_have_again(settings: Settings, stack: str, kind: str, identity: str, recorded: Collection[str]) -> str | None:
    """What to do about an object with the stack's tag; None where no data are lost with it. recorded: names of the
    state's resources."""
    if kind not in _DATA:
        return None
    database, (name, reason) = settings.database, _DATA[kind]
    is_wanted = isinstance(database, RdsDatabaseSettings) and (
        # Another name is that of a former instance, or of a replica.
        identity == database.identifier if kind == INSTANCE else database.kms_key_arn is None
    )
    if name in recorded or not is_wanted:
        return (
            f"leave it unless it is of no use any more: {reason}, and `database.onDestroy` keep and snapshot leave such"
        )
    command = import_by_hand(
        stack,
        kind,
        name,
        identity,
        parent="database=<URN of the Database>",
        provider="aws=<URN of the provider aws>",
        protect=True,
    )
    return (
        f"leave it, {reason}. Of what `database.onDestroy` left, database.adopt or restore makes use "
        f"(docs/database.md); what the state has lost it has again {command}"
    )
