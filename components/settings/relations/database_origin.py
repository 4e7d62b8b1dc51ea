"""Rules of where an instance comes from and who reaches it: its subnets, its clients, a restore, an adoption."""

from __future__ import annotations

import datetime

from components.settings.database import RdsDatabaseSettings
from components.settings.database_operation import PointInTimeRestoreSettings, SnapshotRestoreSettings
from components.settings.database_rules import LONGEST_IDENTIFIER
from components.settings.moments import moment
from components.settings.names import REPLICA_SUFFIX
from components.settings.relations import Draft, Findings, finding


def subnets_have_one_source(draft: Draft) -> Findings:
    """`database.network` has one of `subnetIds` and `subnetGroupName`."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings):
        return
    network = database.network
    if network.subnet_ids is None and network.subnet_group_name is None:
        yield finding(
            "database.network.subnetIds",
            ...,
            "is missing, and database.network.subnetGroupName names no group that exists",
            "set the private subnets of the instance",
            "database.network.subnetGroupName",
        )
    if network.subnet_ids is not None and network.subnet_group_name is not None:
        yield finding(
            "database.network.subnetGroupName",
            network.subnet_group_name,
            "is set, and so is database.network.subnetIds",
            "keep one of them: a group that exists has its own subnets",
            "database.network.subnetIds",
        )


def someone_may_connect(draft: Draft) -> Findings:
    """`database.network` names at least one client: a security group, a prefix list or a private block."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings):
        return
    network = database.network
    if not (network.client_security_group_ids or network.client_prefix_list_ids or network.client_cidrs):
        yield finding(
            "database.network.clientSecurityGroupIds",
            ...,
            "is empty, and so are clientPrefixListIds and clientCidrs",
            "add the security group of the nodes or pods that TAG runs on; nothing else will reach the port",
            "database.network.clientPrefixListIds",
            "database.network.clientCidrs",
        )


def an_adopted_instance_stays_where_it_is(draft: Draft) -> Findings:
    """`database.adopt` needs `network.subnetGroupName`: RDS does not move an instance within its VPC."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and database.adopt and database.network.subnet_group_name is None:
        yield finding(
            "database.network.subnetGroupName",
            ...,
            "is missing, and with database.adopt the instance stays in the subnet group it has",
            "set what `aws rds describe-db-instances` prints as DBSubnetGroupName, instead of subnetIds",
            "database.adopt",
        )


def an_adopted_instance_keeps_its_key(draft: Draft) -> Findings:
    """`database.adopt` needs `kmsKeyArn`: RDS does not encrypt an instance anew."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and database.adopt and database.kms_key_arn is None:
        yield finding(
            "database.kmsKeyArn",
            ...,
            "is missing, and with database.adopt the instance keeps the key it has",
            "set what `aws rds describe-db-instances` prints as KmsKeyId; if it prints none, copy a snapshot of the "
            "instance with a key and set database.restore instead",
            "database.adopt",
        )


def an_instance_has_one_origin(draft: Draft) -> Findings:
    """`database.adopt` and `database.restore` exclude each other."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and database.adopt and database.restore is not None:
        yield finding(
            "database.restore",
            ...,
            "is set, and with database.adopt the instance exists, data and all",
            "remove one of them",
            "database.adopt",
        )


def a_restore_has_a_past(draft: Draft) -> Findings:
    """`database.restore.sourceIdentifier` is another instance, and `time` is not ahead."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings):
        return
    restore = database.restore
    if not isinstance(restore, PointInTimeRestoreSettings):
        return
    if restore.source_identifier == database.identifier:
        yield finding(
            "database.restore.sourceIdentifier",
            restore.source_identifier,
            "is database.identifier itself, and RDS restores into a new instance only",
            "set another database.identifier",
            "database.identifier",
        )
    time = None if restore.time is None else moment(restore.time)
    if time is not None and time > datetime.datetime.now(datetime.timezone.utc):
        yield finding(
            "database.restore.time", restore.time, "is in the future", "leave it out for the latest moment there is"
        )


def a_snapshot_is_at_hand(draft: Draft) -> Findings:
    """`database.restore.snapshotIdentifier`, if it is an ARN, is of `aws.region` and `aws.accountId`."""
    database, aws = draft.configuration.database, draft.configuration.aws
    if not isinstance(database, RdsDatabaseSettings) or aws is None:
        return
    restore = database.restore
    if not isinstance(restore, SnapshotRestoreSettings) or not restore.snapshot_identifier.startswith("arn:"):
        return
    key, arn = "database.restore.snapshotIdentifier", restore.snapshot_identifier
    region, account = arn.split(":")[3:5]
    if region != aws.region:
        yield finding(
            key,
            arn,
            f"is of region {region}, and aws.region is {aws.region}",
            "copy the snapshot into that region (`aws rds copy-db-snapshot`) and name the copy",
            "aws.region",
        )
    if account != aws.account_id:
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_ShareSnapshot.html
        yield finding(
            key,
            arn,
            f"is of account {account}, and RDS restores no encrypted snapshot that another account shares",
            f"copy it into account {aws.account_id} (`aws rds copy-db-snapshot`) and name the copy",
            "aws.accountId",
        )


def a_replicas_name_fits(draft: Draft) -> Findings:
    """`database.identifier` leaves room for a replica's `-replica` within RDS's 63 characters."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings) or database.replica is None:
        return
    longest = LONGEST_IDENTIFIER - len(REPLICA_SUFFIX)
    if len(database.identifier) > longest:
        yield finding(
            "database.identifier",
            database.identifier,
            f"leaves no room for {REPLICA_SUFFIX} within {LONGEST_IDENTIFIER} characters",
            f"set one of at most {longest}, or remove database.replica",
            "database.replica",
        )


def a_replicas_source_has_no_managed_secret(draft: Draft) -> Findings:
    """`database.replica` needs `masterPassword: generated`: RDS replicates no instance whose password it manages."""
    # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html (limitations)
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings) or database.replica is None:
        return
    if database.master_password == "managed":
        yield finding(
            "database.masterPassword",
            database.master_password,
            "is not possible with database.replica: RDS makes no read replica of an instance whose master password it "
            "manages in Secrets Manager",
            "set generated, or remove database.replica",
            "database.replica",
        )


RULES = (
    subnets_have_one_source,
    someone_may_connect,
    an_adopted_instance_stays_where_it_is,
    an_adopted_instance_keeps_its_key,
    an_instance_has_one_origin,
    a_restore_has_a_past,
    a_snapshot_is_at_hand,
    a_replicas_name_fits,
    a_replicas_source_has_no_managed_secret,
)
