"""The two profiles of an RDS instance: their defaults, and the controls that `development` does without.

Controls are AWS Security Hub's: those of its Foundational Security Best Practices, and CloudWatch.16 of NIST SP 800-53.
https://docs.aws.amazon.com/securityhub/latest/userguide/fsbp-standard.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic.alias_generators import to_camel

from components.settings.names import DEFAULT_POSTGRES_PORT

if TYPE_CHECKING:
    from components.settings.database import RdsDatabaseSettings

PRODUCTION, DEVELOPMENT = "production", "development"

# What the controls ask for unless an account sets their parameters: CloudWatch.16 a year, RDS.11 a week.
LEAST_LOG_RETENTION_DAYS = 365
LEAST_BACKUP_RETENTION_DAYS = 7

# Settings by key whose default depends on the profile.
DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        PRODUCTION: {
            "multiAz": True,
            # Any but PostgreSQL's own; this one is easy to remember.
            "port": 6432,
            # The most that RDS keeps.
            "backupRetentionDays": 35,
            "logRetentionDays": LEAST_LOG_RETENTION_DAYS,
            "notifications": {"mode": "ownTopic"},
        },
        DEVELOPMENT: {
            "multiAz": False,
            "port": DEFAULT_POSTGRES_PORT,
            "backupRetentionDays": LEAST_BACKUP_RETENTION_DAYS,
            "logRetentionDays": 30,
            "notifications": {"mode": "none"},
        },
    }
)


class Waiver(NamedTuple):
    """A control that production keeps and development may do without."""

    controls: tuple[str, ...]
    attribute: str
    """Of `RdsDatabaseSettings`, dotted."""
    breaks: Callable[[RdsDatabaseSettings], bool]
    rule: str
    remedy: str
    reason: str
    """Why a development database may."""

    @property
    def key(self) -> str:
        return ".".join(to_camel(part) for part in self.attribute.split("."))


WAIVERS = (
    Waiver(
        ("RDS.5",),
        "multi_az",
        lambda database: not database.multi_az,
        "leaves the instance without a standby",
        "set true",
        "a standby doubles the price, and nobody is woken when a development database is away",
    ),
    Waiver(
        ("RDS.11",),
        "backup_retention_days",
        lambda database: database.backup_retention_days < LEAST_BACKUP_RETENTION_DAYS,
        f"is less than the {LEAST_BACKUP_RETENTION_DAYS} days in which a damage is noticed",
        f"set {LEAST_BACKUP_RETENTION_DAYS} to 35",
        "its data can be made again; there are backups of a day at least",
    ),
    Waiver(
        ("RDS.23",),
        "port",
        lambda database: database.port == DEFAULT_POSTGRES_PORT,
        "is the port that scanners try first",
        "set another one, such as 6432",
        "no secret of production is in it, and people reach it with their tools' defaults",
    ),
    Waiver(
        ("RDS.6",),
        "monitoring_interval_seconds",
        lambda database: database.monitoring_interval_seconds == 0,
        "turns enhanced monitoring off",
        "set 1, 5, 10, 15, 30 or 60",
        "figures of the operating system matter where load is real; it is on unless switched off",
    ),
    Waiver(
        ("RDS.20", "RDS.21", "RDS.22"),
        "notifications.mode",
        lambda database: database.notifications.mode == "none",
        "lets failures and changes of the instance go unheard",
        "set ownTopic, or topic with topicArn",
        "nobody is on call for it",
    ),
    Waiver(
        ("CloudWatch.16",),
        "log_retention_days",
        lambda database: database.log_retention_days < LEAST_LOG_RETENTION_DAYS,
        f"is less than the {LEAST_LOG_RETENTION_DAYS} days that an investigation may have to look back",
        f"set {LEAST_LOG_RETENTION_DAYS} or more",
        "its log is read within days or never",
    ),
    Waiver(
        ("RDS.8",),
        "on_destroy",
        lambda database: database.on_destroy == "delete",
        "would let a destroy take the data without a trace",
        "set keep or snapshot",
        "its data can be made again; deletion protection stays until database.protect is lifted all the same",
    ),
)


def with_profile_defaults(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section of mode rds with what its profile has where it says nothing; an unknown profile is left to its rule."""
    profile = section.get("profile", PRODUCTION)
    defaults = DEFAULTS.get(profile, {}) if isinstance(profile, str) else {}
    return {**defaults, **section}
