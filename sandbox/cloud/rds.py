"""moto's RDS, with a server behind each PostgreSQL instance and with what moto leaves out or makes up.

Owns how an API call becomes a change of the fleet, and that what the API reads back is what was asked and what is there. Everything else of the API
(names, groups, tags, deletion protection, snapshots' records) is moto's.
"""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import moto.rds.models
from moto.core.base_backend import BackendDict
from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue, RDSClientError
from moto.rds.models import DBInstance, DBParameterGroup, DBSnapshot, MasterUserSecret, RDSBackend, rds_backends

from sandbox.cloud import parameters, roles
from sandbox.cloud.authority import CA_IDENTIFIERS, DEFAULT_CA_IDENTIFIER, SERVER_VALIDITY
from sandbox.cloud.fleet import DatabaseSpecification, Fleet
from sandbox.cloud.programs import Installation, find_installation, installations

# RDS's passwords are long and hold punctuation; `/`, `@`, `"` and space it never uses.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html (MasterUserPassword)
PASSWORD_LENGTH = 28
PASSWORD_PUNCTUATION = "!#$%&()*+,-.:;<=>?[]^_{|}~"

RESOURCE_ID_ALPHABET = string.ascii_uppercase + "234567"
RESOURCE_ID_LENGTH = 26

# Parameters of CreateDBInstance and ModifyDBInstance that moto takes and forgets, and the fields that read them back.
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

# An instance that is being made has no endpoint yet.
WITHOUT_ENDPOINT = ("creating",)
UNSETTLED = ("creating", "deleting")


class ApiState:
    """What the API's code shares with the workers: one lock, the fleet, and how to make a change last."""

    lock: threading.RLock
    fleet: Fleet

    def save(self) -> None:
        raise NotImplementedError


_state: ApiState | None = None


def state() -> ApiState:
    assert _state is not None, "install() comes first"
    return _state


def generate_password() -> str:
    alphabet = string.ascii_letters + string.digits + PASSWORD_PUNCTUATION
    return "".join(secrets.choice(alphabet) for _ in range(PASSWORD_LENGTH))


class InvalidState(RDSClientError):
    def __init__(self, code: str, message: str):
        super().__init__(code, message)


class PostgresBackedRDS(RDSBackend):
    """One region's RDS. Instances of other engines are moto's alone."""

    @property
    def _url_module(self) -> Any:
        # moto finds this module by the name of the backend's; the URLs are RDS's.
        import moto.rds.urls

        return moto.rds.urls

    # Instances

    def create_db_instance(self, db_kwargs: dict[str, Any]) -> DBInstance:
        if not _is_ours(db_kwargs):
            return super().create_db_instance(db_kwargs)
        snapshot = db_kwargs.pop(_RESTORED_FROM, None)
        if snapshot:
            for field in _NOT_RESTORED:
                db_kwargs.pop(field, None)
        installation = self._installation_for(str(db_kwargs.get("engine_version") or max(installations())))
        self._check_new_instance(db_kwargs)
        insights = _insights(db_kwargs)
        # moto makes default names from the engine version, and RDS makes them from the major.
        database = super().create_db_instance({**db_kwargs, "engine_version": str(installation.major)})
        database.engine_version = installation.version
        database.dbi_resource_id = "db-" + "".join(
            secrets.choice(RESOURCE_ID_ALPHABET) for _ in range(RESOURCE_ID_LENGTH)
        )
        database.license_model = "postgresql-license"
        if not db_kwargs.get("ca_certificate_identifier"):
            database.ca_certificate_identifier = DEFAULT_CA_IDENTIFIER
        database.publicly_accessible = bool(db_kwargs.get("publicly_accessible"))
        _keep(database, insights, db_kwargs)
        database.status = "creating"
        for automated in self.describe_db_snapshots(database.db_instance_identifier, snapshot_type="automated"):
            automated.dbi_resource_id = database.dbi_resource_id
            automated.engine_version = database.engine_version
        state().fleet.create(specification_of(database), master_password(database), snapshot)
        return database

    def modify_db_instance(self, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        database = self.describe_db_instances(db_instance_identifier)[0]
        if not _has_server(database):
            return super().modify_db_instance(db_instance_identifier, db_kwargs)
        self._refuse_unless_settled(database, "modify")
        wanted_version = db_kwargs.pop("engine_version", None)
        if wanted_version and wanted_version not in (database.engine_version, database.engine_version.split(".")[0]):
            raise InvalidParameterCombination(
                f"Cannot upgrade postgres from {database.engine_version} to {wanted_version}"
            )
        self._check_certificate_authority(db_kwargs)
        if "master_user_password" in db_kwargs and database.manage_master_user_password:
            raise InvalidParameterCombination(
                "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled."
            )
        insights = _insights(db_kwargs, database)
        before = master_password(database)
        if "db_port_number" in db_kwargs:
            db_kwargs["port"] = db_kwargs.pop("db_port_number")
        if db_kwargs.get("manage_master_user_password") and database.manage_master_user_password:
            # Asking again for what is so changes nothing; moto would make another secret.
            del db_kwargs["manage_master_user_password"]
        new_group = db_kwargs.get("db_parameter_group_name")
        regrouped = new_group is not None and new_group != database.db_parameter_group_name
        database = super().modify_db_instance(db_instance_identifier, db_kwargs)
        _keep(database, insights, db_kwargs)
        database.status = "modifying"
        after = master_password(database)
        state().fleet.change(specification_of(database), after if after != before else None, restart=regrouped)
        return database

    def reboot_db_instance(self, db_instance_identifier: str) -> DBInstance:
        database = super().reboot_db_instance(db_instance_identifier)
        if _has_server(database):
            self._refuse_unless_settled(database, "reboot")
            database.status = "rebooting"
            state().fleet.change(specification_of(database), restart=True)
        return database

    def stop_db_instance(self, db_instance_identifier: str, db_snapshot_identifier: str | None = None) -> DBInstance:
        database = super().stop_db_instance(db_instance_identifier, db_snapshot_identifier)
        if _has_server(database):
            database.status = "stopping"
            state().fleet.stop_server(database.dbi_resource_id)
        return database

    def start_db_instance(self, db_instance_identifier: str) -> DBInstance:
        database = super().start_db_instance(db_instance_identifier)
        if _has_server(database):
            database.status = "starting"
            state().fleet.start_server(database.dbi_resource_id)
        return database

    def delete_db_instance(
        self,
        db_instance_identifier: str,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        delete_automated_backups: bool | None = True,
    ) -> DBInstance:
        existing = self.databases.get(db_instance_identifier)
        if existing is None or not _has_server(existing):
            return super().delete_db_instance(
                db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
            )
        self._refuse_unless_settled(existing, "delete")
        if not skip_final_snapshot and not final_db_snapshot_identifier:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            )
        if skip_final_snapshot and final_db_snapshot_identifier:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is enabled."
            )
        # moto makes the snapshot's record by calling create_db_snapshot, which must not copy a second time.
        self._copies_itself = False
        try:
            database = super().delete_db_instance(
                db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
            )
        finally:
            self._copies_itself = True
        # It is seen as "deleting" until its server is gone.
        self.databases[database.db_instance_identifier] = database
        if final_db_snapshot_identifier:
            self.database_snapshots[final_db_snapshot_identifier].status = "creating"
        state().fleet.delete(database.dbi_resource_id, final_db_snapshot_identifier)
        return database

    def create_db_instance_read_replica(self, db_kwargs: dict[str, Any]) -> DBInstance:
        source = self.find_db_from_id(db_kwargs["source_db_instance_identifier"])
        if _has_server(source):
            raise InvalidParameterCombination("Read replicas have no server here yet; leave the replica out.")
        return super().create_db_instance_read_replica(db_kwargs)

    # Snapshots

    _copies_itself = True

    def create_db_snapshot(self, db_instance_identifier: str, *arguments: Any, **options: Any) -> DBSnapshot:
        snapshot = super().create_db_snapshot(db_instance_identifier, *arguments, **options)
        database = self.databases.get(db_instance_identifier)
        if snapshot.snapshot_type == "manual" and self._copies_itself and database and _has_server(database):
            snapshot.status = "creating"
            name = snapshot.db_snapshot_identifier
            state().fleet.snapshot(database.dbi_resource_id, name, lambda: self._snapshot_done(name))
        return snapshot

    def copy_db_snapshot(
        self, source_db_snapshot_identifier: str, target_db_snapshot_identifier: str, **options: Any
    ) -> DBSnapshot:
        snapshot = super().copy_db_snapshot(source_db_snapshot_identifier, target_db_snapshot_identifier, **options)
        state().fleet.copy_snapshot(_snapshot_name(source_db_snapshot_identifier), target_db_snapshot_identifier)
        return snapshot

    def delete_db_snapshot(self, db_snapshot_identifier: str) -> DBSnapshot:
        snapshot = super().delete_db_snapshot(db_snapshot_identifier)
        state().fleet.drop_snapshot(db_snapshot_identifier)
        return snapshot

    def restore_db_instance_from_db_snapshot(self, from_snapshot_id: str, overrides: dict[str, Any]) -> DBInstance:
        name = _snapshot_name(from_snapshot_id)
        found = self.describe_db_snapshots(db_instance_identifier=None, db_snapshot_identifier=name)[0]
        if _is_ours(vars(found.database)):
            if found.status != "available":
                raise InvalidState("InvalidDBSnapshotState", f"The snapshot {name} is {found.status}.")
            if not state().fleet.has_snapshot(name):
                raise InvalidState("InvalidDBSnapshotState", f"No copy of the data is kept behind {name}.")
            overrides = {**overrides, _RESTORED_FROM: name}
        return super().restore_db_instance_from_db_snapshot(from_snapshot_id, overrides)

    # Groups

    def modify_db_parameter_group(
        self, db_parameter_group_name: str, db_parameter_group_parameters: Iterable[dict[str, Any]]
    ) -> DBParameterGroup:
        changed = list(db_parameter_group_parameters)
        group = self.db_parameter_groups.get(db_parameter_group_name)
        installation = _installation_of_family(group.family) if group is not None else None
        if installation is not None:
            for parameter in changed:
                reason = parameters.refusal(parameter["ParameterName"], installation)
                if reason:
                    raise InvalidParameterValue(reason)
        group = super().modify_db_parameter_group(db_parameter_group_name, changed)
        for database in self.databases.values():
            if (
                _has_server(database)
                and database.db_parameter_group_name == group.name
                and database.status == "available"
            ):
                state().fleet.change(specification_of(database))
        return group

    def delete_db_parameter_group(self, db_parameter_group_name: str) -> DBParameterGroup:
        users = [
            one.db_instance_identifier
            for one in self.databases.values()
            if one.db_parameter_group_name == db_parameter_group_name
        ]
        if users:
            raise InvalidState(
                "InvalidDBParameterGroupState",
                f"One or more database instances are still members of this parameter group {db_parameter_group_name}, so the group cannot be deleted.",
            )
        return super().delete_db_parameter_group(db_parameter_group_name)

    def delete_subnet_group(self, subnet_name: str) -> Any:
        users = [
            one.db_instance_identifier
            for one in self.databases.values()
            if getattr(one, "_db_subnet_group_name", None) == subnet_name
        ]
        if users:
            raise InvalidState(
                "InvalidDBSubnetGroupStateFault",
                f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: {users[0]} is still using it.",
            )
        return super().delete_subnet_group(subnet_name)

    # What the workers report

    def report(self, database: DBInstance, status: str) -> None:
        if status == "deleted":
            del self.databases[database.db_instance_identifier]
            for snapshot in self.database_snapshots.values():
                if snapshot.dbi_resource_id == database.dbi_resource_id and snapshot.status == "creating":
                    snapshot.status = "available"
        elif database.status != "deleting" or status not in ("available", "backing-up"):
            database.status = status
        if status == "available":
            self._write_first_logs(database)

    def _snapshot_done(self, name: str) -> None:
        with state().lock:
            self.database_snapshots[name].status = "available"
            state().save()

    def _write_first_logs(self, database: DBInstance) -> None:
        """RDS makes the log groups it exports to when they are missing; who wants to own them must be there first."""
        logs = self.get_backend("logs", self.region_name, self.account_id)
        for kind in database.enabled_cloudwatch_logs_exports:
            group = f"/aws/rds/instance/{database.db_instance_identifier}/{kind}"
            if group not in logs.groups:
                logs.create_log_group(group, {})
            stream = f"{database.db_instance_identifier}.0"
            if stream not in logs.groups[group].streams:
                logs.create_log_stream(group, stream)

    # Checks that moto leaves out

    def _installation_for(self, engine_version: str) -> Installation:
        installation = find_installation(engine_version)
        if installation is None:
            raise InvalidParameterCombination(f"Cannot find version {engine_version} for postgres")
        return installation

    def _check_new_instance(self, db_kwargs: Mapping[str, Any]) -> None:
        master = db_kwargs.get("master_username")
        if not master:
            raise InvalidParameterValue("The parameter MasterUsername must be provided and must not be blank.")
        if master in roles.RESERVED_NAMES or str(master).startswith("pg_"):
            raise InvalidParameterValue(
                f"MasterUsername {master} cannot be used as it is a reserved word used by the engine"
            )
        if db_kwargs.get("manage_master_user_password") and db_kwargs.get("master_user_password"):
            raise InvalidParameterCombination("You can't specify both MasterUserPassword and ManageMasterUserPassword.")
        if not db_kwargs.get("manage_master_user_password") and not db_kwargs.get("master_user_password"):
            raise InvalidParameterValue("The parameter MasterUserPassword must be provided and must not be blank.")
        self._check_certificate_authority(db_kwargs)

    def _check_certificate_authority(self, db_kwargs: Mapping[str, Any]) -> None:
        chosen = db_kwargs.get("ca_certificate_identifier")
        if chosen and chosen not in CA_IDENTIFIERS:
            raise InvalidState("CertificateNotFound", f"CertificateNotFound: {chosen}")

    def _refuse_unless_settled(self, database: DBInstance, verb: str) -> None:
        if database.status in UNSETTLED:
            raise InvalidState(
                "InvalidDBInstanceState",
                f"Instance {database.db_instance_identifier} is not in a state to {verb} it: {database.status}.",
            )


_RESTORED_FROM = "restored_from_snapshot"

# Fields of the snapshot's instance that are its own and no inputs of the new one's.
_NOT_RESTORED = (
    "dbi_resource_id",
    "status",
    "master_user_secret",
    "replicas",
    "is_replica",
    "created",
    "instance_create_time",
)


def _is_ours(fields: Mapping[str, Any]) -> bool:
    return fields.get("engine") == "postgres" and fields.get("db_cluster_identifier") is None


def _has_server(database: DBInstance) -> bool:
    return _is_ours(vars(database)) and not database.is_replica


def _snapshot_name(name_or_arn: str) -> str:
    return name_or_arn.rsplit(":snapshot:", 1)[-1]


def _installation_of_family(family: str | None) -> Installation | None:
    return find_installation(family.removeprefix("postgres")) if family else None


def _insights(given: Mapping[str, Any], before: DBInstance | None = None) -> dict[str, Any]:
    """The insights fields after a call that gives some of them. Raises where RDS refuses the combination."""
    fields: dict[str, Any] = {field: getattr(before, field, None) for field in INSIGHTS_FIELDS.values()}
    for parameter, field in INSIGHTS_FIELDS.items():
        if given.get(parameter) is not None:
            fields[field] = given[parameter]
    fields["performance_insights_enabled"] = bool(fields["performance_insights_enabled"])
    fields["database_insights_mode"] = fields["database_insights_mode"] or "standard"
    retention = fields["performance_insights_retention_period"]
    if not fields["performance_insights_enabled"]:
        fields["performance_insights_kms_key_id"] = fields["performance_insights_retention_period"] = None
    elif not retention:
        fields["performance_insights_retention_period"] = DEFAULT_RETENTION_DAYS
    if fields["database_insights_mode"] == "advanced" and (
        not fields["performance_insights_enabled"] or (retention or 0) < ADVANCED_RETENTION_DAYS
    ):
        raise InvalidParameterCombination(
            "To enable the Advanced mode of Database Insights, modify your instance to enable Performance Insights and set "
            f"the retention period for Performance Insights to at least {ADVANCED_RETENTION_DAYS} days"
        )
    return fields


def _keep(database: DBInstance, insights: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Set the fields that moto has no place for, so that they are read back."""
    for field, value in insights.items():
        setattr(database, field, value)
    for field, default in OTHER_FIELDS.items():
        chosen = given.get(field)
        setattr(database, field, getattr(database, field, default) if chosen is None else chosen)
    database.certificate_details = {
        "CAIdentifier": database.ca_certificate_identifier,
        "ValidTill": database.instance_create_time + SERVER_VALIDITY,
    }


def master_password(database: DBInstance) -> str:
    """The password that the API promises: the managed secret's current one, or the one that was given."""
    if database.manage_master_user_password:
        arn = database.master_user_secret.secret_arn
        held = database.backend.secretsmanager.get_secret_value(arn, "", "")["SecretString"]
        return str(json.loads(held)["password"])
    return str(database.master_user_password)


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
    )


def instances_with_servers() -> list[DBInstance]:
    return [
        database
        for _, _, backend in rds_backends.iter_backends()
        for database in backend.databases.values()
        if _has_server(database)
    ]


def report(resource_id: str, status: str) -> None:
    """What the fleet's workers call when an instance's server came to a new state."""
    with state().lock:
        for database in instances_with_servers():
            if database.dbi_resource_id == resource_id:
                database.backend.report(database, status)
                break
        state().save()


def resume() -> None:
    """Start the servers of the instances that the saved state holds, and finish what a killed service left undone."""
    for database in instances_with_servers():
        stopped = database.status in ("stopped", "stopping")
        state().fleet.resume(specification_of(database), master_password(database), running=not stopped)
        if database.status == "deleting":
            waiting = [
                snapshot.db_snapshot_identifier
                for snapshot in database.backend.database_snapshots.values()
                if snapshot.dbi_resource_id == database.dbi_resource_id and snapshot.status == "creating"
            ]
            state().fleet.delete(database.dbi_resource_id, waiting[0] if waiting else None)


def install(api_state: ApiState) -> None:
    """Put this RDS in place of moto's. Before the first request."""
    global _state
    _state = api_state
    assert isinstance(rds_backends, BackendDict)
    rds_backends.backend = PostgresBackedRDS
    moto.rds.models.DBInstance.endpoint = property(_endpoint)
    MasterUserSecret._generate_secret_string = _managed_secret
    MasterUserSecret.rotate_secret = _rotate_managed_secret


def _endpoint(database: DBInstance) -> dict[str, Any] | None:
    if database.status in WITHOUT_ENDPOINT:
        return None
    return {"Address": database.address, "Port": database.port, "HostedZoneId": "Z2R2ITUGPM61AM"}


def _managed_secret(secret: MasterUserSecret) -> str:
    return json.dumps({"username": secret.resource.master_username, "password": generate_password()})


def _rotate_managed_secret(secret: MasterUserSecret) -> None:
    secret._status = "rotating"
    secret.secretsmanager.put_secret_value(secret.secret_arn, _managed_secret(secret), None, None, ["AWSCURRENT"])
