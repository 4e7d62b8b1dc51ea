"""The fields of one RDS instance's record: passwords, insights, certificate, and the server it wants.

Fills in what moto invents or drops. Owns no instance and changes no server.
"""

from __future__ import annotations

import datetime
import json
import secrets
import string
from collections.abc import Mapping
from typing import Any

import moto.rds.models
from moto.rds.exceptions import InvalidParameterCombination
from moto.rds.models import DBInstance, MasterUserSecret

from sandbox.cloud.api_state import state
from sandbox.cloud.authority import SERVER_VALIDITY
from sandbox.cloud.fleet import DatabaseSpecification

# RDS's passwords are long and contain punctuation, but never `/`, `@`, `"` or space.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html (MasterUserPassword)
PASSWORD_LENGTH = 28
PASSWORD_PUNCTUATION = "!#$%&()*+,-.:;<=>?[]^_{|}~"

RESOURCE_ID_ALPHABET = string.ascii_uppercase + "234567"
RESOURCE_ID_LENGTH = 26

# Parameters of CreateDBInstance and ModifyDBInstance that moto accepts but drops, and the fields that return them.
INSIGHTS_FIELDS = {
    "enable_performance_insights": "performance_insights_enabled",
    "performance_insights_kms_key_id": "performance_insights_kms_key_id",
    "performance_insights_retention_period": "performance_insights_retention_period",
    "database_insights_mode": "database_insights_mode",
}
OTHER_FIELDS = {
    "dedicated_log_volume": False,
    "network_type": "IPV4",
    "engine_lifecycle_support": "open-source-rds-extended-support",
}

# Performance Insights keeps seven days unless told otherwise; the advanced mode of Database Insights needs 465.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DatabaseInsights.TurningOnAdvanced.html
DEFAULT_RETENTION_DAYS = 7
ADVANCED_RETENTION_DAYS = 465

# moto has no field for the data that an instance began with.
ORIGIN = "origin"

# An instance that is being created has no endpoint yet.
WITHOUT_ENDPOINT = ("creating",)


def generate_password() -> str:
    alphabet = string.ascii_letters + string.digits + PASSWORD_PUNCTUATION
    return "".join(secrets.choice(alphabet) for _ in range(PASSWORD_LENGTH))


def generate_resource_id() -> str:
    return "db-" + "".join(secrets.choice(RESOURCE_ID_ALPHABET) for _ in range(RESOURCE_ID_LENGTH))


def is_ours(fields: Mapping[str, Any]) -> bool:
    return fields.get("engine") == "postgres" and fields.get("db_cluster_identifier") is None


def has_server(database: DBInstance) -> bool:
    return is_ours(vars(database))


def has_backups(database: DBInstance) -> bool:
    return int(database.backup_retention_period or 0) > 0


def insights_after(given: Mapping[str, Any], before: DBInstance | None = None) -> dict[str, Any]:
    """The insights fields after a call that sets some of them. Raises where RDS refuses the combination."""
    fields: dict[str, Any] = {field: getattr(before, field, None) for field in INSIGHTS_FIELDS.values()}
    insights_key = fields["performance_insights_kms_key_id"]
    if insights_key and given.get("performance_insights_kms_key_id") not in (None, insights_key):
        raise InvalidParameterCombination("You can't change your Performance Insights KMS key.")
    for parameter, field in INSIGHTS_FIELDS.items():
        if given.get(parameter) is not None:
            fields[field] = given[parameter]
    fields["performance_insights_enabled"] = bool(fields["performance_insights_enabled"])
    fields["database_insights_mode"] = fields["database_insights_mode"] or "standard"
    retention = fields["performance_insights_retention_period"]
    if not fields["performance_insights_enabled"]:
        # The key stays with the instance.
        fields["performance_insights_retention_period"] = None
    elif not retention:
        fields["performance_insights_retention_period"] = DEFAULT_RETENTION_DAYS
    if fields["database_insights_mode"] == "advanced" and (
        not fields["performance_insights_enabled"] or (retention or 0) < ADVANCED_RETENTION_DAYS
    ):
        raise InvalidParameterCombination(
            "To enable the Advanced mode of Database Insights, modify your instance to enable Performance Insights "
            f"and set the retention period for Performance Insights to at least {ADVANCED_RETENTION_DAYS} days"
        )
    return fields


def keep_fields(database: DBInstance, insights: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Set the fields that moto has no place for, so that they can be read back."""
    for field, value in insights.items():
        setattr(database, field, value)
    for field, default in OTHER_FIELDS.items():
        chosen = given.get(field)
        setattr(database, field, getattr(database, field, default) if chosen is None else chosen)
    database.certificate_details = {
        "CAIdentifier": database.ca_certificate_identifier,
        "ValidTill": database.instance_create_time + SERVER_VALIDITY,
    }


def master_password(database: DBInstance) -> str | None:
    """The current password according to the API: the managed secret's, or the one that was given.

    None if it was never given, as after restoring an instance whose secret was managed.
    """
    if database.manage_master_user_password:
        arn = database.master_user_secret.secret_arn
        held = database.backend.secretsmanager.get_secret_value(arn, "", "")["SecretString"]
        return str(json.loads(held)["password"])
    # moto keeps the password but does not expose it.
    given = getattr(database, "_master_user_password", None)
    return None if given is None else str(given)


def specification_of(database: DBInstance) -> DatabaseSpecification:
    groups = database.db_parameter_groups()
    return DatabaseSpecification(
        resource_id=database.dbi_resource_id,
        identifier=database.db_instance_identifier,
        endpoint=database.address,
        port=int(database.port or DBInstance.default_port("postgres")),
        engine_version=database.engine_version,
        master=str(database.master_username),
        database=database.db_name or None,
        parameter_group={
            name: str(parameter["ParameterValue"])
            for group in groups
            for name, parameter in group.parameters.items()
            if parameter.get("ParameterValue") is not None
        },
        ca_identifier=database.ca_certificate_identifier,
        iam_authentication=bool(database.iam_database_authentication_enabled),
        has_backups=has_backups(database),
        origin=getattr(database, ORIGIN, None),
        source=database.backend.databases[database.source_db_instance_identifier].dbi_resource_id
        if database.is_replica
        else None,
    )


def install() -> None:
    """Make moto's instances answer with these values instead of constants."""
    moto.rds.models.DBInstance.endpoint = property(_endpoint)
    moto.rds.models.DBInstance.latest_restorable_time = property(_latest_restorable_time)
    MasterUserSecret._generate_secret_string = _managed_secret
    MasterUserSecret.rotate_secret = _rotate_managed_secret


def _endpoint(database: DBInstance) -> dict[str, Any] | None:
    if database.status in WITHOUT_ENDPOINT:
        return None
    return {"Address": database.address, "Port": database.port, "HostedZoneId": "Z2R2ITUGPM61AM"}


def _latest_restorable_time(database: DBInstance) -> datetime.datetime | None:
    if not has_server(database) or state().fleet.earliest_moment(database.dbi_resource_id) is None:
        return None
    return datetime.datetime.now(datetime.timezone.utc)


def _managed_secret(secret: MasterUserSecret) -> str:
    return json.dumps({"username": secret.resource.master_username, "password": generate_password()})


def _rotate_managed_secret(secret: MasterUserSecret) -> None:
    secret._status = "rotating"
    secret.secretsmanager.put_secret_value(secret.secret_arn, _managed_secret(secret), None, None, ["AWSCURRENT"])
