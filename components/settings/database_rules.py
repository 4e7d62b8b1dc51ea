"""Rules of RDS for PostgreSQL's single values, with AWS's and PostgreSQL's reasons.

Source, unless another is named: the API reference of CreateDBInstance.
"""

from __future__ import annotations

import re

from pydantic import BeforeValidator

from components.login_slots import ALL_LOGINS, OWNER_ROLE
from components.settings.rules import Rule, between

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html; rds-ca-2019 ended in August 2024.
CERTIFICATE_AUTHORITIES = ("rds-ca-rsa2048-g1", "rds-ca-rsa4096-g1", "rds-ca-ecc384-g1")
MONITORING_INTERVALS = (0, 1, 5, 10, 15, 30, 60)
# PutRetentionPolicy of CloudWatch Logs.
LOG_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
OLDEST_POSTGRES = 14
LONGEST_IDENTIFIER = 63
SHORTEST_WINDOW_MINUTES = 30
MINUTES_A_DAY = 24 * 60
MINUTES_A_WEEK = 7 * MINUTES_A_DAY
# RDS answers "Maintenance window must be less than 24 hours" (as moto has it), and longer ones meet the daily backup.
LONGEST_MAINTENANCE_MINUTES = MINUTES_A_DAY - 1
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# Families that RDS has for other engines or for clusters alone, or no longer has for PostgreSQL 14 and later.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Concepts.DBInstanceClass.Support.html
_OTHER_FAMILIES = frozenset({"m1", "m2", "m3", "m4", "r3", "r4", "t1", "t2", "x1", "x1e", "x2iezn", "z1d", "c6gd"})

# Reserved key words of PostgreSQL (appendix C of its manual) that match the pattern of a name.
_WORDS = """
all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create
current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc
distinct do else end except false fetch for foreign from grant group having in initially intersect into lateral
leading limit localtime localtimestamp not null offset on only or order placing primary references returning select
session_user some symmetric system_user table then to trailing true union unique user using variadic when where
window with
"""
RESERVED_WORDS = frozenset(_WORDS.split())
# Made by RDS or PostgreSQL at the start, or by the access Job later.
_TAKEN_DATABASES = frozenset({"postgres", "template0", "template1", "rdsadmin"})
_TAKEN_USERS = frozenset({"rdsadmin", "rdsrepladmin", "public", OWNER_ROLE, *ALL_LOGINS})
# Tried first by whoever reaches the port: control RDS.25 of AWS's Foundational Security Best Practices.
_GUESSED_USERS = frozenset({"postgres", "admin", "administrator", "root", "master"})

_CLASS = re.compile(r"db\.([a-z][a-z0-9]*)\.(micro|small|medium|large|[0-9]*xlarge)", re.ASCII)
# Manual snapshots by name; RDS's own and AWS Backup's by their prefix; an ARN has any of them.
_SNAPSHOT_NAME = r"(rds:|awsbackup:)?[A-Za-z](-?[A-Za-z0-9]){0,254}"
_SNAPSHOT = re.compile(rf"(arn:aws(-cn|-us-gov)?:rds:[a-z0-9-]+:[0-9]{{12}}:snapshot:)?{_SNAPSHOT_NAME}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_TIME = r"([01][0-9]|2[0-3]):([0-5][0-9])"
_BACKUP = re.compile(rf"{_TIME}-{_TIME}", re.ASCII)
_MAINTENANCE = re.compile(rf"({'|'.join(DAYS)}):{_TIME}-({'|'.join(DAYS)}):{_TIME}", re.ASCII)


def _version_as_text(value: object) -> object:
    # 17 without quotes loses nothing; 17.10 does, and is refused as a minor version anyway.
    return str(value) if type(value) in (int, float) else value


version_as_text = BeforeValidator(_version_as_text)


def backup_minutes(window: str) -> tuple[int, int]:
    """Start, in minutes of the day, and length of a window `hh24:mi-hh24:mi`, over midnight if need be."""
    match = _BACKUP.fullmatch(window)
    assert match is not None
    start_hour, start_minute, end_hour, end_minute = (int(part) for part in match.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    return start, (end - start) % MINUTES_A_DAY


def maintenance_minutes(window: str) -> tuple[int, int]:
    """Start, in minutes of the week from Monday, and length of a window `ddd:hh24:mi-ddd:hh24:mi`."""
    match = _MAINTENANCE.fullmatch(window)
    assert match is not None
    first, start_hour, start_minute, last, end_hour, end_minute = match.groups()
    start = DAYS.index(first) * MINUTES_A_DAY + int(start_hour) * 60 + int(start_minute)
    end = DAYS.index(last) * MINUTES_A_DAY + int(end_hour) * 60 + int(end_minute)
    return start, (end - start) % MINUTES_A_WEEK


def windows_overlap(backup: str, maintenance: str) -> bool:
    """Whether the daily window meets the weekly one on any day."""
    backup_start, backup_length = backup_minutes(backup)
    maintenance_start, maintenance_length = maintenance_minutes(maintenance)
    for day in range(7):
        # Distance from one start to the other around the week: they meet if either begins inside the other.
        ahead = (day * MINUTES_A_DAY + backup_start - maintenance_start) % MINUTES_A_WEEK
        if ahead < maintenance_length or MINUTES_A_WEEK - ahead < backup_length:
            return True
    return False


def _is_backup_window(value: str) -> bool:
    return bool(_BACKUP.fullmatch(value)) and backup_minutes(value)[1] >= SHORTEST_WINDOW_MINUTES


def _is_maintenance_window(value: str) -> bool:
    if not _MAINTENANCE.fullmatch(value):
        return False
    return SHORTEST_WINDOW_MINUTES <= maintenance_minutes(value)[1] <= LONGEST_MAINTENANCE_MINUTES


def _why_no_window(value: str) -> str | None:
    if _BACKUP.fullmatch(value) or _MAINTENANCE.fullmatch(value):
        minutes = (backup_minutes if _BACKUP.fullmatch(value) else maintenance_minutes)(value)[1]
        if minutes < SHORTEST_WINDOW_MINUTES:
            return f"lasts {minutes} minutes, RDS asks for {SHORTEST_WINDOW_MINUTES} at least"
        if minutes > LONGEST_MAINTENANCE_MINUTES:
            return f"lasts {minutes // 60} hours, RDS allows less than 24: from the first day and time to the last"
    return None


def _is_database_name(value: str) -> bool:
    return bool(_NAME.fullmatch(value)) and value not in RESERVED_WORDS | _TAKEN_DATABASES


def _is_master(value: str) -> bool:
    free = value not in RESERVED_WORDS | _TAKEN_USERS | _GUESSED_USERS
    return bool(_NAME.fullmatch(value)) and free and not value.startswith(("pg_", "rds_"))


def _why_no_name(value: str) -> str | None:
    if value in RESERVED_WORDS:
        return "is a reserved word of PostgreSQL"
    if value in _TAKEN_DATABASES:
        return "is a database that every instance has already"
    return None


def _why_no_master(value: str) -> str | None:
    if value in _GUESSED_USERS:
        return "is a name that attackers try first"
    if value in RESERVED_WORDS:
        return "is a reserved word of PostgreSQL"
    if value in _TAKEN_USERS or value.startswith(("pg_", "rds_")):
        return "is a role that RDS, PostgreSQL or this stack makes itself"
    return None


def _is_identifier(value: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9-]{0,62}", value)) and not value.endswith("-") and "--" not in value


def _why_no_identifier(value: str) -> str | None:
    if len(value) > LONGEST_IDENTIFIER:
        return f"has {len(value)} characters, RDS allows {LONGEST_IDENTIFIER}"
    if "--" in value or value.endswith("-"):
        return "has two hyphens together or one at its end, which RDS refuses"
    return None


def _is_major(value: str) -> bool:
    return bool(re.fullmatch(r"[1-9][0-9]", value)) and int(value) >= OLDEST_POSTGRES


def _why_no_version(value: str) -> str | None:
    if re.fullmatch(r"[0-9]+\.[0-9.]+", value):
        return "names a minor version, which would be set back whenever AWS upgrades it"
    if re.fullmatch(r"[0-9]{1,2}", value):
        return f"is older than {OLDEST_POSTGRES}, the first version that the access graph works with"
    return None


def _why_no_class(value: str) -> str | None:
    if value == "db.serverless":
        return "is a class of Aurora, not of RDS for PostgreSQL"
    if re.fullmatch(r"db\.[a-z0-9]+\.metal(-[0-9a-z]+)?", value):
        return "is a bare-metal class, which RDS offers only for Oracle"
    match = _CLASS.fullmatch(value)
    if match is not None and match[1] in _OTHER_FAMILIES:
        return f"is of family {match[1]}, which RDS does not offer for PostgreSQL 14 or later"
    if re.fullmatch(r"[a-z][a-z0-9]*\.[a-z0-9]+", value) and not value.startswith("db."):
        return "is a type of EC2 instances; the classes of databases begin with db."
    return None


def _is_class(value: str) -> bool:
    match = _CLASS.fullmatch(value)
    return match is not None and match[1] not in _OTHER_FAMILIES


def _is_snapshot(value: str) -> bool:
    return bool(_SNAPSHOT.fullmatch(value))


def _why_no_snapshot(value: str) -> str | None:
    if re.search(r":rds:[a-z0-9-]*:[0-9]*:cluster-snapshot:", value):
        return "is a snapshot of a cluster, from which RDS makes no instance"
    return None


def _is_subnet_group(value: str) -> bool:
    return bool(re.fullmatch(r"[a-z][a-z0-9_. -]{0,254}", value))


def _why_no_subnet_group(value: str) -> str | None:
    return "has capital letters, and RDS keeps the names of groups in lower case" if value != value.lower() else None


def _why_no_retention(value: int) -> str | None:
    return "turns point-in-time recovery off" if value == 0 else None


ENGINE_VERSION = Rule(
    "a major version of PostgreSQL, 14 or later",
    _is_major,
    'give the major version alone, such as "17"',
    _why_no_version,
)
INSTANCE_IDENTIFIER = Rule(
    "an RDS identifier: lower-case letters, digits and single hyphens, beginning with a letter",
    _is_identifier,
    "use at most 63 lower-case letters, digits and single hyphens",
    _why_no_identifier,
)
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
NAMES_A_SECURITY_GROUP = Rule(
    "a name that EC2 also takes for the instance's security group (no such name begins with sg-)",
    lambda value: not value.startswith("sg-"),
    "begin it with something else",
)
DATABASE_NAME = Rule(
    "a database name: lower-case letters, digits and underscores, beginning with a letter",
    _is_database_name,
    "use at most 63 lower-case letters, digits and underscores, for example access_graph",
    _why_no_name,
)
MASTER_USERNAME = Rule(
    "a user name: lower-case letters, digits and underscores, beginning with a letter",
    _is_master,
    "use at most 63 lower-case letters, digits and underscores, for example tag_admin",
    _why_no_master,
)
INSTANCE_CLASS = Rule(
    "a class of RDS instances", _is_class, "give one such as db.t4g.medium or db.m7g.large", _why_no_class
)
SNAPSHOT = Rule(
    "the name or ARN of a DB snapshot",
    _is_snapshot,
    "give what `aws rds describe-db-snapshots` prints",
    _why_no_snapshot,
)
SUBNET_GROUP = Rule(
    "the name of a DB subnet group",
    _is_subnet_group,
    "give what `aws rds describe-db-subnet-groups` prints",
    _why_no_subnet_group,
)
BACKUP_RETENTION = between(1, 35, "days", _why_no_retention)
BACKUP_WINDOW = Rule(
    "a daily window hh24:mi-hh24:mi in UTC, of 30 minutes at least",
    _is_backup_window,
    "give it such as 02:00-03:00",
    _why_no_window,
)
MAINTENANCE_WINDOW = Rule(
    "a weekly window ddd:hh24:mi-ddd:hh24:mi in UTC, of 30 minutes at least and less than 24 hours",
    _is_maintenance_window,
    "give it such as sun:04:00-sun:05:00",
    _why_no_window,
)
