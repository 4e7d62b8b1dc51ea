"""moto's RDS, with a server behind each PostgreSQL instance and with the parts that moto omits or invents.

Owns how an API call changes the fleet, and that the API returns what was requested and what exists. `origins.py` does
restores and replicas. The rest of the API (names, groups, tags, deletion protection, snapshot records) is moto's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.rds.models import DBInstance, DBSnapshot, rds_backends

from sandbox.cloud import event_subscriptions, groups, instances, roles
from sandbox.cloud.api_state import state
from sandbox.cloud.authority import CA_IDENTIFIERS, DEFAULT_CA_IDENTIFIER
from sandbox.cloud.backups import Origin
from sandbox.cloud.groups import InvalidState
from sandbox.cloud.instances import (
    ORIGIN,
    generate_resource_id,
    has_backups,
    has_server,
    insights_after,
    is_ours,
    keep_fields,
    master_password,
    specification_of,
)
from sandbox.cloud.origins import Origins, refuse_of_replicas, snapshot_name
from sandbox.cloud.programs import Installation, find_installation, installations

UNSETTLED = ("creating", "deleting")


class PostgresBackedRDS(Origins):
    """The RDS of one region. Instances of other engines stay entirely moto's."""

    # Instances

    def create_db_instance(self, db_kwargs: dict[str, Any]) -> DBInstance:
        if not is_ours(db_kwargs):
            return super().create_db_instance(db_kwargs)
        self._check_new_instance(db_kwargs)
        return self.make_instance(db_kwargs, db_kwargs)

    def make_instance(
        self,
        fields: Mapping[str, Any],
        given: Mapping[str, Any],
        origin: Origin | None = None,
        source: DBInstance | None = None,
    ) -> DBInstance:
        installation = self._installation_for(str(fields.get("engine_version") or max(installations())))
        self._check_certificate_authority(fields)
        insights = insights_after(given)
        # moto derives default names from the engine version, RDS from the major.
        database = super().create_db_instance({**fields, "engine_version": str(installation.major)})
        try:
            self._complete(database, installation, insights, fields)
            setattr(database, ORIGIN, origin)
            if source is not None:
                database.set_as_replica()
                source.add_replica(database)
            state().fleet.create(specification_of(database), master_password(database))
        except Exception:
            # A failed call must leave nothing behind.
            del self.databases[database.db_instance_identifier]
            for automated in self._automated_snapshots(database):
                del self.database_snapshots[automated.db_snapshot_identifier]
            if source is not None and database.db_instance_identifier in source.replicas:
                source.remove_replica(database)
            raise
        return database

    def _complete(
        self, database: DBInstance, installation: Installation, insights: Mapping[str, Any], given: Mapping[str, Any]
    ) -> None:
        """Replace what moto invents by the actual values."""
        database.engine_version = installation.version
        database.dbi_resource_id = generate_resource_id()
        database.license_model = "postgresql-license"
        if not given.get("ca_certificate_identifier"):
            database.ca_certificate_identifier = DEFAULT_CA_IDENTIFIER
        database.publicly_accessible = bool(given.get("publicly_accessible"))
        keep_fields(database, insights, given)
        database.status = "creating"
        for automated in self._automated_snapshots(database):
            if has_backups(database):
                automated.dbi_resource_id = database.dbi_resource_id
                automated.engine_version = database.engine_version
            else:
                del self.database_snapshots[automated.db_snapshot_identifier]

    def _automated_snapshots(self, database: DBInstance) -> list[DBSnapshot]:
        return list(self.describe_db_snapshots(database.db_instance_identifier, snapshot_type="automated"))

    def modify_db_instance(self, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        database = self.describe_db_instances(db_instance_identifier)[0]
        if not has_server(database):
            return super().modify_db_instance(db_instance_identifier, db_kwargs)
        self._refuse_unless_settled(database, "modify")
        wanted_version = db_kwargs.pop("engine_version", None)
        if wanted_version and wanted_version not in (database.engine_version, database.engine_version.split(".")[0]):
            raise InvalidParameterCombination(
                f"Cannot upgrade postgres from {database.engine_version} to {wanted_version}"
            )
        self._check_certificate_authority(db_kwargs)
        storage = db_kwargs.get("allocated_storage")
        if storage is not None and int(storage) < database.allocated_storage:
            raise InvalidParameterCombination(
                f"Invalid storage size for engine name postgres and storage type {database.storage_type}: {storage}"
            )
        refuse_of_replicas(database, db_kwargs)
        stays_managed = (
            database.manage_master_user_password and db_kwargs.get("manage_master_user_password") is not False
        )
        if "master_user_password" in db_kwargs and stays_managed:
            raise InvalidParameterCombination(
                "You can't specify MasterUserPassword for an instance with ManageMasterUserPassword enabled."
            )
        insights = insights_after(db_kwargs, database)
        before = master_password(database)
        if "db_port_number" in db_kwargs:
            db_kwargs["port"] = db_kwargs.pop("db_port_number")
        if db_kwargs.get("manage_master_user_password") and database.manage_master_user_password:
            # Requesting the current state again changes nothing; moto would make another secret.
            del db_kwargs["manage_master_user_password"]
        new_group = db_kwargs.get("db_parameter_group_name")
        regrouped = new_group is not None and new_group != database.db_parameter_group_name
        database = super().modify_db_instance(db_instance_identifier, db_kwargs)
        keep_fields(database, insights, db_kwargs)
        if database.db_instance_identifier != db_instance_identifier:
            self.follow_new_name(database, db_instance_identifier)
        database.status = "modifying"
        after = master_password(database)
        state().fleet.change(specification_of(database), after if after != before else None, restart=regrouped)
        return database

    def reboot_db_instance(self, db_instance_identifier: str) -> DBInstance:
        database = super().reboot_db_instance(db_instance_identifier)
        if has_server(database):
            self._refuse_unless_settled(database, "reboot")
            database.status = "rebooting"
            state().fleet.change(specification_of(database), restart=True)
        return database

    def stop_db_instance(self, db_instance_identifier: str, db_snapshot_identifier: str | None = None) -> DBInstance:
        existing = self.databases.get(db_instance_identifier)
        if existing is not None and has_server(existing) and (existing.is_replica or existing.replicas):
            raise InvalidState(
                "InvalidDBInstanceState", "An instance that is a read replica or has one can't be stopped."
            )
        database = super().stop_db_instance(db_instance_identifier, db_snapshot_identifier)
        if has_server(database):
            database.status = "stopping"
            state().fleet.stop_server(database.dbi_resource_id)
        return database

    def start_db_instance(self, db_instance_identifier: str) -> DBInstance:
        database = super().start_db_instance(db_instance_identifier)
        if has_server(database):
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
        if existing is None or not has_server(existing):
            return super().delete_db_instance(
                db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
            )
        self._refuse_unless_settled(existing, "delete")
        if existing.is_replica and final_db_snapshot_identifier:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier can not be specified when deleting a replica instance"
            )
        if not skip_final_snapshot and not final_db_snapshot_identifier:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            )
        if skip_final_snapshot and final_db_snapshot_identifier:
            raise InvalidParameterCombination(
                "FinalDBSnapshotIdentifier can not be specified when SkipFinalSnapshot is enabled."
            )
        # moto records the snapshot by calling create_db_snapshot, which must not copy the data a second time.
        self._copies_itself = False
        try:
            database = super().delete_db_instance(
                db_instance_identifier, final_db_snapshot_identifier, skip_final_snapshot, delete_automated_backups
            )
        finally:
            self._copies_itself = True
        self.leave_replicas(database)
        # The instance stays visible as "deleting" until its server is gone.
        self.databases[database.db_instance_identifier] = database
        if final_db_snapshot_identifier:
            self.database_snapshots[final_db_snapshot_identifier].status = "creating"
        state().fleet.delete(database.dbi_resource_id, final_db_snapshot_identifier)
        return database

    # Snapshots

    _copies_itself = True

    def create_db_snapshot(self, db_instance_identifier: str, *arguments: Any, **options: Any) -> DBSnapshot:
        database = self.databases.get(db_instance_identifier)
        if database and has_server(database) and database.is_replica and database.status != "creating":
            raise InvalidParameterCombination("Snapshots of read replicas are not kept here; take one of the source.")
        snapshot = super().create_db_snapshot(db_instance_identifier, *arguments, **options)
        if snapshot.snapshot_type == "manual" and self._copies_itself and database and has_server(database):
            snapshot.status = "creating"
            self.copy_data(database, snapshot.db_snapshot_identifier)
        return snapshot

    def copy_data(self, database: DBInstance, snapshot: str) -> None:
        state().fleet.snapshot(database.dbi_resource_id, snapshot, lambda: self._snapshot_done(snapshot))

    def copy_db_snapshot(
        self, source_db_snapshot_identifier: str, target_db_snapshot_identifier: str, **options: Any
    ) -> DBSnapshot:
        snapshot = super().copy_db_snapshot(source_db_snapshot_identifier, target_db_snapshot_identifier, **options)
        state().fleet.copy_snapshot(snapshot_name(source_db_snapshot_identifier), target_db_snapshot_identifier)
        return snapshot

    def delete_db_snapshot(self, db_snapshot_identifier: str) -> DBSnapshot:
        snapshot = super().delete_db_snapshot(db_snapshot_identifier)
        state().fleet.drop_snapshot(db_snapshot_identifier)
        return snapshot

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
        """RDS creates missing log groups that it exports to, so whoever wants to own them must create them first."""
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


def instances_with_servers() -> list[DBInstance]:
    return [
        database
        for _, _, backend in rds_backends.iter_backends()
        for database in backend.databases.values()
        if has_server(database)
    ]


def report(resource_id: str, status: str) -> None:
    """Called by the fleet's workers when an instance's server reaches a new state."""
    with state().lock:
        for database in instances_with_servers():
            if database.dbi_resource_id == resource_id:
                database.backend.report(database, status)
                break
        state().save()


def resume() -> None:
    """Start the servers of the instances in the saved state, and finish what a killed service left undone."""
    fleet = state().fleet
    # Sources first: a replica looks for its source.
    for database in sorted(instances_with_servers(), key=lambda one: one.is_replica):
        # If the programs have a newer minor version than before, this is the automatic minor upgrade.
        present = find_installation(database.engine_version.split(".")[0])
        if present is not None:
            database.engine_version = present.version
        specification = specification_of(database)
        unfinished = [
            snapshot.db_snapshot_identifier
            for snapshot in database.backend.database_snapshots.values()
            if snapshot.dbi_resource_id == database.dbi_resource_id and snapshot.status == "creating"
        ]
        if database.status == "deleting":
            # Its managed password has already been deleted.
            fleet.resume(specification, None, running=False)
            fleet.delete(database.dbi_resource_id, unfinished[0] if unfinished else None)
            continue
        running = database.status not in ("stopped", "stopping")
        fleet.resume(specification, master_password(database), running, unsettled=database.status == "modifying")
        for name in unfinished:
            database.backend.copy_data(database, name)


def install() -> None:
    """Put this RDS in place of moto's. Call before the first request."""
    rds_backends.backend = PostgresBackedRDS
    instances.install()
    groups.install()
    event_subscriptions.install()
