"""RDS instances that begin with data: restores from a snapshot or to a point in time, and read replicas.

Owns what such an instance inherits, and which of these calls RDS refuses. `rds.py` creates the instance, and the fleet
provides the data.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from moto.rds.exceptions import InvalidParameterCombination, InvalidParameterValue
from moto.rds.models import DBInstance

from sandbox.cloud.api_state import state
from sandbox.cloud.backups import MomentOrigin, Origin, SnapshotOrigin
from sandbox.cloud.groups import GroupRules, InvalidState
from sandbox.cloud.instances import has_backups, has_server, is_ours, specification_of

# What a restored instance inherits unless the call says otherwise. It gets the default security groups, subnet group
# and parameter group, one zone and no tags.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceToPointInTime.html
RESTORED = (
    "allocated_storage",
    "auto_minor_version_upgrade",
    "backup_retention_period",
    "ca_certificate_identifier",
    "copy_tags_to_snapshot",
    "db_instance_class",
    "db_name",
    "enable_iam_database_authentication",
    "engine",
    "iops",
    "kms_key_id",
    "master_username",
    "port",
    "preferred_backup_window",
    "preferred_maintenance_window",
    "storage_encrypted",
    "storage_type",
)
# A replica in the same region also inherits its source's subnet group and parameter group.
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstanceReadReplica.html
REPLICATED = (*RESTORED, "db_subnet_group_name", "db_parameter_group_name")

# PromoteReadReplica's own default.
RETENTION_AFTER_PROMOTION = 1

WITHOUT_BACKUPS = (
    "Automated backups are not enabled for this database instance. To enable automated backups, use ModifyDBInstance "
    "to set the backup retention period to a non-zero value."
)


class Origins(GroupRules):
    """The calls that create an instance from another one's data, and the promotion of replicas."""

    def make_instance(
        self,
        fields: Mapping[str, Any],
        given: Mapping[str, Any],
        origin: Origin | None = None,
        source: DBInstance | None = None,
    ) -> DBInstance:
        """`fields`: everything the instance is to be; `given`: the part that the call specifies."""
        raise NotImplementedError

    # Restores

    def restore_db_instance_from_db_snapshot(self, from_snapshot_id: str, overrides: dict[str, Any]) -> DBInstance:
        name = snapshot_name(from_snapshot_id)
        found = self.describe_db_snapshots(db_instance_identifier=None, db_snapshot_identifier=name)[0]
        if not is_ours(vars(found.database)):
            return super().restore_db_instance_from_db_snapshot(from_snapshot_id, overrides)
        if found.status != "available":
            raise InvalidState("InvalidDBSnapshotState", f"The snapshot {name} is {found.status}.")
        if not state().fleet.has_snapshot(name):
            raise InvalidState("InvalidDBSnapshotState", f"No copy of the data is kept behind {name}.")
        fields = _inherited(found.database, RESTORED) | {
            "engine_version": found.engine_version.split(".")[0],
            "kms_key_id": found.kms_key_id,
            "storage_encrypted": found.encrypted,
        }
        return self._restore(fields, overrides, SnapshotOrigin(name))

    def restore_db_instance_to_point_in_time(
        self, source_db_identifier: str | None, target_db_identifier: str, overrides: dict[str, Any]
    ) -> DBInstance:
        source = self._source_of_restore(source_db_identifier, overrides)
        if not has_server(source):
            return super().restore_db_instance_to_point_in_time(
                str(source_db_identifier), target_db_identifier, overrides
            )
        if not has_backups(source):
            raise InvalidState("PointInTimeRestoreNotEnabled", WITHOUT_BACKUPS)
        if source.status != "available":
            # RDS can also restore from a stopped one. Here the server itself has to close its log.
            raise InvalidState(
                "InvalidDBInstanceState", f"Instance {source.db_instance_identifier} is {source.status}, not available."
            )
        time = _restore_time(source, overrides)
        fields = _inherited(source, RESTORED) | {"engine_version": source.engine_version.split(".")[0]}
        given = {**overrides, "db_instance_identifier": target_db_identifier}
        return self._restore(fields, given, MomentOrigin(source.dbi_resource_id, time))

    def _source_of_restore(self, identifier: str | None, overrides: Mapping[str, Any]) -> DBInstance:
        if identifier is not None:
            return self.find_db_from_id(identifier)
        resource_id = overrides.get("source_dbi_resource_id")
        found = [one for one in self.databases.values() if one.dbi_resource_id == resource_id]
        if not found:
            raise InvalidParameterCombination(
                "Name the source by SourceDBInstanceIdentifier or SourceDbiResourceId: backups end here with their "
                "instance."
            )
        return found[0]

    def _restore(self, fields: dict[str, Any], overrides: Mapping[str, Any], origin: Origin) -> DBInstance:
        # A restored instance does not follow its source, but moto would make it a replica because of this parameter.
        given = {
            name: value
            for name, value in overrides.items()
            if value is not None and name != "source_db_instance_identifier"
        }
        # Restored postgres has the password of its data, and a managed password only after a later modification.
        # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_RestoreDBInstanceFromDBSnapshot.html
        if given.get("manage_master_user_password"):
            raise InvalidParameterCombination("ManageMasterUserPassword isn't supported for a restore of postgres.")
        if "db_name" in given:
            raise InvalidParameterCombination("The parameter DBName can't be used with a restore of postgres.")
        if given.get("engine", "postgres") != "postgres":
            raise InvalidParameterCombination(f"A restore of postgres can't become {given['engine']}.")
        if given.get("allocated_storage", fields["allocated_storage"]) < fields["allocated_storage"]:
            raise InvalidParameterValue(
                "The allocated storage size can't be less than the source snapshot or backup size."
            )
        return self.make_instance({**fields, **given}, given, origin=origin)

    # Replicas

    def create_db_instance_read_replica(self, db_kwargs: dict[str, Any]) -> DBInstance:
        source = self.find_db_from_id(db_kwargs["source_db_instance_identifier"])
        if not has_server(source):
            return super().create_db_instance_read_replica(db_kwargs)
        if source.status != "available":
            raise InvalidState(
                "InvalidDBInstanceState", f"Instance {source.db_instance_identifier} is {source.status}, not available."
            )
        if not has_backups(source):
            raise InvalidState("InvalidDBInstanceState", WITHOUT_BACKUPS)
        if source.manage_master_user_password:
            raise InvalidParameterValue(
                "Creating read replicas for source instance with engine postgres where ManageMasterUserPassword is "
                "enabled is not supported."
            )
        if source.is_replica:
            raise InvalidParameterCombination("A replica of a replica has no server here; replicate its source.")
        given = {name: value for name, value in db_kwargs.items() if value is not None}
        fields = _inherited(source, REPLICATED) | {"engine_version": source.engine_version}
        # RDS reports a source in the same region by name, even if the call used an ARN.
        given["source_db_instance_identifier"] = source.db_instance_identifier
        return self.make_instance({**fields, **given, "backup_retention_period": 0}, given, source=source)

    def promote_read_replica(self, db_kwargs: dict[str, Any]) -> DBInstance:
        replica = self.describe_db_instances(db_kwargs["db_instance_identifier"])[0]
        if not has_server(replica):
            return super().promote_read_replica(db_kwargs)
        if not replica.is_replica:
            raise InvalidState(
                "InvalidDBInstanceState", f"DB Instance {replica.db_instance_identifier} is not a read replica."
            )
        if replica.status != "available":
            raise InvalidState(
                "InvalidDBInstanceState", f"Instance {replica.db_instance_identifier} is {replica.status}."
            )
        retention = db_kwargs.get("backup_retention_period")
        replica.backup_retention_period = RETENTION_AFTER_PROMOTION if retention is None else int(retention)
        replica.preferred_backup_window = db_kwargs.get("preferred_backup_window") or replica.preferred_backup_window
        self._end_replication(replica, self.databases[replica.source_db_instance_identifier])
        state().fleet.promote(specification_of(replica))
        return replica

    def replicas_of(self, source: DBInstance) -> list[DBInstance]:
        return [self.databases[identifier] for identifier in source.replicas]

    def leave_replicas(self, source: DBInstance) -> None:
        """A source is being deleted: make each of its replicas an instance of its own. The fleet does so with the
        servers.

        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ReadRepl.Promote.html
        """
        for replica in self.replicas_of(source):
            self._end_replication(replica, source)

    def follow_new_name(self, renamed: DBInstance, before: str) -> None:
        for replica in self.replicas_of(renamed):
            replica.source_db_instance_identifier = renamed.db_instance_identifier
        if renamed.is_replica:
            source = self.databases[renamed.source_db_instance_identifier]
            source.replicas[source.replicas.index(before)] = renamed.db_instance_identifier

    def _end_replication(self, replica: DBInstance, source: DBInstance) -> None:
        source.remove_replica(replica)
        replica.is_replica = False
        replica.source_db_instance_identifier = None
        replica.status = "modifying"


def refuse_of_replicas(database: DBInstance, changes: Mapping[str, Any]) -> None:
    """Refuse changes that RDS does not allow for a replica, or for an instance that has replicas."""
    if database.is_replica and changes.get("master_user_password") is not None:
        raise InvalidParameterCombination(
            "Cannot change master user password on an RDS postgres Read Replica because it uses physical replication "
            "and therefore cannot differ from its parent."
        )
    if (database.is_replica or database.replicas) and changes.get("manage_master_user_password"):
        raise InvalidParameterValue("ManageMasterUserPassword isn't supported for read replicas and their sources.")
    if database.replicas and changes.get("backup_retention_period") == 0:
        raise InvalidParameterCombination("Automated backups of an instance that has read replicas can't be disabled.")


def snapshot_name(name_or_arn: str) -> str:
    return name_or_arn.rsplit(":snapshot:", 1)[-1]


def _inherited(database: DBInstance, names: tuple[str, ...]) -> dict[str, Any]:
    """moto stores a field that is exposed as a property under its name with an underscore."""
    held = vars(database)
    values = {name: held.get(name, held.get(f"_{name}")) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _restore_time(source: DBInstance, overrides: Mapping[str, Any]) -> datetime.datetime | None:
    """The requested moment, if it can be restored; None for the latest."""
    given, latest = overrides.get("restore_time"), bool(overrides.get("use_latest_restorable_time"))
    if (given is None) != latest:
        raise InvalidParameterCombination("Give one of RestoreTime and UseLatestRestorableTime.")
    now, earliest = source.latest_restorable_time, state().fleet.earliest_moment(source.dbi_resource_id)
    if now is None or earliest is None:
        raise InvalidState("InvalidDBInstanceState", "The first backup of the instance is not complete yet.")
    if given is None:
        return None
    time = given if isinstance(given, datetime.datetime) else datetime.datetime.fromisoformat(str(given))
    time = time.replace(tzinfo=time.tzinfo or datetime.timezone.utc)
    if time > now:
        raise InvalidParameterValue(f"The specified instance cannot be restored to a time later than {_utc(now)}.")
    if time < earliest:
        shown = _utc(earliest + datetime.timedelta(seconds=1))
        raise InvalidParameterValue(
            f"The specified instance cannot be restored to a time earlier than {shown} because its backup retention "
            f"period is set to {source.backup_retention_period} days."
        )
    return time


def _utc(time: datetime.datetime) -> str:
    return time.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
