"""What the profile `production` refuses, control by control, and rules of who hears of the instance."""

from __future__ import annotations

from operator import attrgetter

from components.settings.database import RdsDatabaseSettings
from components.settings.database_profiles import PRODUCTION, WAIVERS
from components.settings.relations import Draft, Findings, finding


def production_keeps_every_control(draft: Draft) -> Findings:
    """With `database.profile: production` no setting breaks a control of AWS's Foundational Security Best Practices."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings) or database.profile != PRODUCTION:
        return
    for waiver in WAIVERS:
        if waiver.breaks(database):
            yield finding(
                f"database.{waiver.key}",
                attrgetter(waiver.attribute)(database),
                f"{waiver.rule} ({', '.join(waiver.controls)})",
                f"{waiver.remedy}, or database.profile to development",
                "database.profile",
            )


def alarms_have_somewhere_to_go(draft: Draft) -> Findings:
    """`database.alarms` needs `notifications` with a topic."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and database.alarms and database.notifications.mode == "none":
        yield finding(
            "database.alarms",
            ...,
            "is set, and with database.notifications.mode none nobody would hear of them",
            "set the mode to ownTopic or topic, or remove the alarms",
            "database.notifications",
        )


def storage_alarm_can_be_quiet(draft: Draft) -> Findings:
    """`database.alarms.freeStorageGib` is below `allocatedStorageGib`."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings) or database.alarms is None:
        return
    free, allocated = database.alarms.free_storage_gib, database.allocated_storage_gib
    if free >= allocated:
        yield finding(
            "database.alarms.freeStorageGib",
            free,
            f"is not below the {allocated} GiB of database.allocatedStorageGib, so that the alarm would never end",
            f"set {max(1, allocated // 4)} or so",
            "database.allocatedStorageGib",
        )


RULES = (production_keeps_every_control, alarms_have_somewhere_to_go, storage_alarm_can_be_quiet)
