"""DB parameter groups: which names RDS for PostgreSQL accepts, and what they mean for the server behind an instance.

Parameters that PostgreSQL knows are passed on to it. Of RDS's own, `rds.force_ssl` is honoured (as client
authentication); the API keeps the rest, which have no effect here.
"""

from __future__ import annotations

import functools
import logging
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.cloud.programs import Installation

log = logging.getLogger(__name__)

FORCE_SSL = "rds.force_ssl"

# RDS enabled forced SSL by default with PostgreSQL 15.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL.Concepts.General.SSL.html
FIRST_MAJOR_WITH_FORCED_SSL = 15

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/Appendix.PostgreSQL.CommonDBATasks.Parameters.html
RDS_OWN = frozenset(
    {
        "rds.accepted_password_auth_method",
        "rds.adaptive_autovacuum",
        "rds.allowed_delegated_extensions",
        "rds.allowed_extensions",
        FORCE_SSL,
        "rds.force_admin_logging_level",
        "rds.force_autovacuum_logging_level",
        "rds.global_db_rpo",
        "rds.log_retention_period",
        "rds.logical_replication",
        "rds.logically_replicate_unlogged_tables",
        "rds.rds_superuser_reserved_connections",
        "rds.restrict_password_commands",
    }
)

# Prefixes of the settings of RDS's extensions; the server accepts placeholders for extensions it lacks.
EXTENSION_PREFIXES = (
    "auto_explain.",
    "pg_stat_statements.",
    "pgaudit.",
    "cron.",
    "pg_hint_plan.",
    "plpgsql.",
    "pg_bigm.",
)

# RDS sets these itself and refuses to modify them.
NOT_MODIFIABLE = frozenset(
    {
        "archive_command",
        "archive_mode",
        "config_file",
        "data_directory",
        "external_pid_file",
        "fsync",
        "full_page_writes",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "logging_collector",
        "log_directory",
        "port",
        "ssl",
        "ssl_ca_file",
        "ssl_cert_file",
        "ssl_key_file",
        "unix_socket_directories",
        "unix_socket_group",
        "unix_socket_permissions",
    }
)

# The server starts only if it can load every library in this list.
PRELOAD = "shared_preload_libraries"


@dataclass(frozen=True)
class ServerParameters:
    """A parameter group in the form that one server takes."""

    force_ssl: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def known_settings(installation: Installation) -> Mapping[str, str]:
    """Every setting of these programs with its context (`postmaster` settings need a restart)."""
    printed = subprocess.run(
        [installation.tool("postgres"), "--describe-config"], capture_output=True, text=True, check=True
    ).stdout
    return {
        columns[0]: columns[1] for columns in (line.split("\t") for line in printed.splitlines()) if len(columns) > 1
    }


def refusal(name: str, installation: Installation) -> str | None:
    """Why RDS would refuse this parameter name, in its words; None if it would not."""
    if name in NOT_MODIFIABLE:
        return f"The parameter {name} cannot be modified."
    if name in RDS_OWN or name.startswith(EXTENSION_PREFIXES) or name in known_settings(installation):
        return None
    return f"Could not find parameter with name: {name}"


def needs_restart(name: str, installation: Installation) -> bool:
    """Whether RDS calls the parameter static."""
    return known_settings(installation).get(name) == "postmaster"


def is_default(name: str, value: str, installation: Installation) -> bool:
    """Whether the value is RDS's own default, as far as that is known here."""
    return name == FORCE_SSL and _is_on(value) == _forced_by_default(installation)


def _forced_by_default(installation: Installation) -> bool:
    return installation.major >= FIRST_MAJOR_WITH_FORCED_SSL


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "on", "true")


def for_server(group: Mapping[str, str], installation: Installation) -> ServerParameters:
    """The settings of a parameter group that this server can apply; settings it cannot apply are logged."""
    force_ssl = _is_on(group[FORCE_SSL]) if FORCE_SSL in group else _forced_by_default(installation)
    settings: dict[str, str] = {}
    for name, value in sorted(group.items()):
        if name in RDS_OWN:
            continue
        if name == PRELOAD:
            value = _available_libraries(value, installation)
        if "{" in value:
            # Formulas such as {DBInstanceClassMemory/9531392} depend on the instance class, which has no size here.
            log.warning("parameter %s: formula %s has no value here, PostgreSQL's default is used", name, value)
            continue
        settings[name] = value
    return ServerParameters(force_ssl, settings)


def _available_libraries(value: str, installation: Installation) -> str:
    wanted = [library.strip() for library in value.split(",") if library.strip()]
    directories = _library_directories(installation)
    missing = [library for library in wanted if not any((place / f"{library}.so").exists() for place in directories)]
    if missing:
        log.warning("%s: %s is not among these PostgreSQL programs and is left out", PRELOAD, ", ".join(missing))
    return ",".join(library for library in wanted if library not in missing)


def _library_directories(installation: Installation) -> list[Path]:
    root = installation.bin.parent
    return [root / "lib", root / "lib" / "postgresql"]
