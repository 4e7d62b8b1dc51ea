"""Settings of the database: one on RDS that the stack makes, or one that exists."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from components.settings.database_network import NetworkSettings
from components.settings.database_operation import (
    AlarmSettings,
    NotificationSettings,
    ReplicaSettings,
    RestoreSettings,
)
from components.settings.database_profiles import DEFAULTS, DEVELOPMENT, PRODUCTION
from components.settings.database_rules import (
    BACKUP_RETENTION,
    BACKUP_WINDOW,
    CERTIFICATE_AUTHORITIES,
    DATABASE_NAME,
    ENGINE_VERSION,
    INSTANCE_CLASS,
    INSTANCE_IDENTIFIER,
    LOG_RETENTION_DAYS,
    MAINTENANCE_WINDOW,
    MASTER_USERNAME,
    MONITORING_INTERVALS,
    NAMES_A_SECURITY_GROUP,
    version_as_text,
)
from components.settings.formats import UNQUOTED, KmsKeyArn, ObjectName, PinnedImage, ProjectPath, SecretKey
from components.settings.rules import Section, Switch, Text, WholeNumber, between, one_of, setting
from components.settings.unions import by_mode, tag

# RDS for PostgreSQL on gp3: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html
SMALLEST_STORAGE_GIB, LARGEST_STORAGE_GIB = 20, 65536


def _by_profile(key: str) -> str:
    """The defaults of a setting that depends on the profile, as the reference shows them."""
    texts = [json.dumps(DEFAULTS[profile][key]) for profile in (PRODUCTION, DEVELOPMENT)]
    return f"`{texts[0]}`; in {DEVELOPMENT} `{texts[1]}`"


_CA_BUNDLE_WHY = "PEM file with the authorities of the server's certificate"


class AccessJobSettings(Section):
    """The Job that makes TAG's role, grants and extensions."""

    image: PinnedImage = setting(
        "public.ecr.aws/docker/library/postgres:17.6-alpine", why="image with `psql`, pinned as all images are"
    )
    aws_cli_image: PinnedImage = setting(
        "public.ecr.aws/aws-cli/aws-cli:2.31.0", why="image with `aws`, which fetches the managed master password"
    )
    timeout_seconds: Annotated[WholeNumber, between(30, 3600, "seconds")] = setting(
        600, why="how long the Job may take, including a new node and its images"
    )


class RdsDatabaseSettings(Section):
    """An RDS for PostgreSQL instance that the stack makes."""

    mode: Literal["rds"] = setting(why="the stack makes an instance", example="rds")
    profile: Literal["production", "development"] = setting(
        PRODUCTION,
        why="production refuses settings that break a control of AWS's best practices; development may do without "
        "the controls that docs/database.md names, and has smaller defaults",
    )
    engine_version: Annotated[Text, version_as_text, ENGINE_VERSION] = setting(
        "17", why="major version of PostgreSQL, 14 or later; AWS installs minor versions, in the maintenance window"
    )
    identifier: Annotated[Text, INSTANCE_IDENTIFIER, NAMES_A_SECURITY_GROUP] = setting(
        "teleport-access-graph",
        default_text="`teleport-access-graph-<stack>`",
        why="name of the instance and part of its DNS name; cannot change while the instance is protected",
    )
    database_name: Annotated[Text, DATABASE_NAME] = setting("access_graph", why="database that belongs to TAG alone")
    instance_class: Annotated[Text, INSTANCE_CLASS] = setting(
        "db.t4g.medium",
        why="size of the instance; the default is the smallest that holds a graph of some thousand resources",
    )
    port: Annotated[
        WholeNumber,
        between(
            1150, 65535, because=lambda value: "is below 1150, the first port RDS offers" if value < 1150 else None
        ),
    ] = setting(
        DEFAULTS[PRODUCTION]["port"],
        default_text=_by_profile("port"),
        why="port of the instance; a port other than 5432 keeps scanners away and satisfies control RDS.23",
    )
    allocated_storage_gib: Annotated[WholeNumber, between(SMALLEST_STORAGE_GIB, LARGEST_STORAGE_GIB, "GiB")] = setting(
        20,
        why="storage to begin with, in GiB; the default is the least that gp3 takes, because storage grows by itself",
    )
    max_allocated_storage_gib: Annotated[WholeNumber, between(SMALLEST_STORAGE_GIB, LARGEST_STORAGE_GIB, "GiB")] = (
        setting(100, why="size up to which storage grows by itself, in GiB; a full disk stops TAG")
    )
    multi_az: Switch = setting(
        DEFAULTS[PRODUCTION]["multiAz"],
        default_text=_by_profile("multiAz"),
        why="whether a standby in another zone takes over, at twice the price",
    )
    backup_retention_days: Annotated[WholeNumber, BACKUP_RETENTION] = setting(
        DEFAULTS[PRODUCTION]["backupRetentionDays"],
        default_text=_by_profile("backupRetentionDays"),
        why="for how many days back the database can be restored",
    )
    backup_window: Annotated[Text, BACKUP_WINDOW] = setting(
        "02:00-03:00", why="daily time of the snapshot, UTC, at least 30 minutes"
    )
    maintenance_window: Annotated[Text, MAINTENANCE_WINDOW] = setting(
        "sun:04:00-sun:05:00", why="weekly time of minor upgrades, UTC, at least 30 minutes, apart from the backup's"
    )
    ca_cert_identifier: Annotated[Text, one_of(CERTIFICATE_AUTHORITIES)] = setting(
        "rds-ca-rsa2048-g1",
        why="authority of the instance's certificate; AWS's default, pinned because a change restarts the instance",
    )
    ca_bundle_file: ProjectPath | None = setting(
        None,
        why=f"{_CA_BUNDLE_WHY}, for newer regions, RDS on Outposts and other roots; left out, the bundle that comes "
        "with the program",
    )
    master_username: Annotated[Text, MASTER_USERNAME] = setting(
        "tag_admin", why="master user, which only the access Job uses; not a name that attackers try first"
    )
    master_password: Literal["managed", "generated"] = setting(
        "managed",
        why="managed: AWS keeps and rotates the password, and it never enters the state; generated: it is a "
        "secret of the state, for pods that have no AWS identity",
    )
    authentication: Literal["password", "iam"] = setting(
        "password", why="how TAG logs in: with a password of the stack's, or with tokens by its own IAM role"
    )
    rotation: Annotated[WholeNumber, between(0, 1_000_000)] = setting(
        0, why="number of TAG's login; raise it by one for a new password in the other slot"
    )
    kms_key_arn: KmsKeyArn | None = setting(
        None,
        why="key that exists; its policy has to let in CloudWatch, its logs and RDS's events (docs/database.md), "
        "and also `aws.accountId` if the key is of another account; left out, the stack makes a key of its "
        "own",
    )
    log_retention_days: Annotated[WholeNumber, one_of(LOG_RETENTION_DAYS)] = setting(
        DEFAULTS[PRODUCTION]["logRetentionDays"],
        default_text=_by_profile("logRetentionDays"),
        why="days that CloudWatch keeps PostgreSQL's log",
    )
    monitoring_interval_seconds: Annotated[WholeNumber, one_of(MONITORING_INTERVALS)] = setting(
        60, why="seconds between figures of the operating system; 0 turns enhanced monitoring off"
    )
    database_insights: Literal["standard", "advanced"] = setting(
        "standard", why="advanced keeps query figures for 15 months, a period that cannot be shorter, and costs by vCPU"
    )
    apply_immediately: Switch = setting(
        False, why="whether changes that restart the instance are made at once instead of in the maintenance window"
    )
    on_destroy: Literal["keep", "snapshot", "delete"] = setting(
        "keep", why="what `destroy` does: leave the instance, leave a last snapshot, or leave nothing"
    )
    protect: Switch = setting(True, why="whether the engine and RDS refuse to delete or replace the instance")
    network: NetworkSettings = setting(
        why="where the instance stands",
        example={
            "vpcId": "vpc-0123456789abcdef0",
            "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "clientSecurityGroupIds": ["sg-0123456789abcdef0"],
        },
    )
    notifications: NotificationSettings = setting(
        {"mode": "ownTopic"},
        default_text=_by_profile("notifications"),
        why="SNS topic for RDS's events of the instance, its parameters and its security group",
    )
    alarms: AlarmSettings | None = setting(None, why="CloudWatch alarms, sent where the notifications go")
    replica: ReplicaSettings | None = setting(None, why="read replica that TAG queries")
    restore: RestoreSettings | None = setting(
        None, why="where the data come from when the instance is made; an empty database otherwise"
    )
    adopt: Switch = setting(
        False, why="whether an instance of this identifier exists that the stack is to take over as it is"
    )
    access_job: AccessJobSettings = setting({}, why="the Job that makes TAG's role")


class SecretReference(Section):
    """A Secret in TAG's namespace that the stack does not make."""

    name: Annotated[ObjectName, UNQUOTED] = setting(why="name of the Secret", example="access-graph-database")
    key: Annotated[SecretKey, UNQUOTED] = setting("uri", why="key of the connection URI in it")


class ExistingDatabaseSettings(Section):
    """A PostgreSQL database that exists, anyone's. Its URI is the secret key `databaseUri` or stands in a Secret."""

    mode: Literal["existing"] = setting(why="the database exists", example="existing")
    secret: SecretReference | None = setting(
        None, why="Secret with the URI; exactly one of it and the secret key `databaseUri`"
    )
    ca_bundle_file: ProjectPath | None = setting(
        None, why=f"{_CA_BUNDLE_WHY}; without it the roots in TAG's image verify it"
    )
    allow_unverified: Switch = setting(
        False,
        why="whether a URI may ask for less than `sslmode=verify-full`, which alone proves that the server is the "
        "right one",
    )


DatabaseSettings = Annotated[
    Annotated[RdsDatabaseSettings, Tag(tag("rds"))] | Annotated[ExistingDatabaseSettings, Tag(tag("existing"))],
    Discriminator(by_mode),
]
