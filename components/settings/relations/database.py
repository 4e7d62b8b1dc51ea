"""Rules between the database's settings, and between them and AWS's."""

from __future__ import annotations

from components.settings.clusters import AwsSettings, IrsaSettings, PodIdentitySettings
from components.settings.database import LARGEST_STORAGE_GIB, ExistingDatabaseSettings, RdsDatabaseSettings
from components.settings.database_operation import ExistingTopicSettings
from components.settings.database_rules import windows_overlap
from components.settings.formats import partition_of
from components.settings.relations import Draft, Findings, finding
from components.settings.stack_outputs import stack_output

# RDS refuses a limit that is less than a tenth above what is allocated: it could not grow by one step.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PIOPS.Autoscaling.html
LEAST_GROWTH_PERCENT = 10


def least_limit(allocated: int) -> int:
    """Of `allocated` GiB: the least to which RDS lets them grow by themselves, in GiB."""
    return allocated + -(-allocated * LEAST_GROWTH_PERCENT // 100)


def storage_can_grow(draft: Draft) -> Findings:
    """`database.maxAllocatedStorageGib` is a tenth or more above `allocatedStorageGib`."""
    database = draft.configuration.database
    if not isinstance(database, RdsDatabaseSettings):
        return
    allocated, limit = database.allocated_storage_gib, database.max_allocated_storage_gib
    least = least_limit(allocated)
    if limit < least:
        most = LARGEST_STORAGE_GIB * 100 // (100 + LEAST_GROWTH_PERCENT)
        yield finding(
            "database.maxAllocatedStorageGib",
            limit,
            f"is less than {LEAST_GROWTH_PERCENT} % above the {allocated} GiB of database.allocatedStorageGib",
            f"set {least} or more, so that the storage can grow"
            if least <= LARGEST_STORAGE_GIB
            else f"lower database.allocatedStorageGib to {most} or less, so that the storage can grow",
            "database.allocatedStorageGib",
        )


def windows_are_apart(draft: Draft) -> Findings:
    """`database.backupWindow` and `maintenanceWindow` do not overlap, on any day."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and windows_overlap(
        database.backup_window, database.maintenance_window
    ):
        yield finding(
            "database.maintenanceWindow",
            database.maintenance_window,
            f"overlaps the daily database.backupWindow {database.backup_window}, which RDS refuses",
            "move one of them",
            "database.backupWindow",
        )


def aws_is_there_for_rds(draft: Draft) -> Findings:
    """`aws` is there with `database.mode: rds`, and only then."""
    database, aws = draft.configuration.database, draft.configuration.aws
    if isinstance(database, RdsDatabaseSettings) and aws is None:
        yield finding(
            "aws", ..., "is missing, and database.mode is rds", "set aws.region and aws.accountId", "database.mode"
        )
    if isinstance(database, ExistingDatabaseSettings) and aws is not None:
        yield finding(
            "aws",
            ...,
            "is set, and with database.mode existing nothing is made in AWS",
            "remove it, or set database.mode to rds",
            "database.mode",
        )


def pods_can_take_roles(draft: Draft) -> Findings:
    """`aws.workloadIdentity` is there with `database.masterPassword: managed` or `authentication: iam`."""
    database, aws = draft.configuration.database, draft.configuration.aws
    if not isinstance(database, RdsDatabaseSettings) or aws is None or aws.workload_identity is not None:
        return
    if database.master_password == "managed":
        yield finding(
            "aws.workloadIdentity",
            ...,
            "is missing, and with database.masterPassword managed the access Job needs an IAM role to read it",
            "set its mode to irsa or podIdentity, or database.masterPassword to generated",
            "database.masterPassword",
        )
    if database.authentication == "iam":
        yield finding(
            "aws.workloadIdentity",
            ...,
            "is missing, and with database.authentication iam TAG needs an IAM role to log in",
            "set its mode to irsa or podIdentity, or database.authentication to password",
            "database.authentication",
        )


def pod_identity_is_offered(draft: Draft) -> Findings:
    """`aws.workloadIdentity.mode: podIdentity` is not for regions in China, where EKS does not have it."""
    aws = draft.configuration.aws
    # https://docs.amazonaws.cn/en_us/eks/latest/userguide/pod-identities.html
    if aws is not None and isinstance(aws.workload_identity, PodIdentitySettings) and aws.region.startswith("cn-"):
        yield finding(
            "aws.workloadIdentity.mode",
            aws.workload_identity.mode,
            f"is not offered by EKS in region {aws.region}",
            "set irsa, with oidcProviderArn",
            "aws.region",
        )


def tokens_are_not_rotated(draft: Draft) -> Findings:
    """`database.rotation` is 0 with `database.authentication: iam`, whose tokens live a quarter of an hour."""
    database = draft.configuration.database
    if isinstance(database, RdsDatabaseSettings) and database.authentication == "iam" and database.rotation != 0:
        yield finding(
            "database.rotation",
            database.rotation,
            "is set, and with database.authentication iam there is no password to rotate",
            "set 0 or leave it out",
            "database.authentication",
        )


def arns_are_of_the_account(draft: Draft) -> Findings:
    """Every ARN is of `aws.region` and its partition, and of `aws.accountId` but for a key's and a topic's."""
    aws, database = draft.configuration.aws, draft.configuration.database
    if aws is None:
        return
    if isinstance(aws.workload_identity, IrsaSettings) and not stack_output(aws.workload_identity.oidc_provider_arn):
        yield from _arn_is_here("aws.workloadIdentity.oidcProviderArn", aws.workload_identity.oidc_provider_arn, aws)
    if aws.assume_role is not None:
        yield from _arn_is_here("aws.assumeRole.roleArn", aws.assume_role.role_arn, aws)
    yield from _arn_is_here("aws.iam.permissionsBoundaryArn", aws.iam.permissions_boundary_arn, aws)
    if isinstance(database, RdsDatabaseSettings):
        # Its account and a topic's may be others, where an organisation keeps its keys and gathers what it is told. RDS
        # takes such a key for storage and the master password; the other services are let in by its own policy.
        # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBInstance.html (KmsKeyId)
        yield from _arn_is_here("database.kmsKeyArn", database.kms_key_arn, aws, any_account=True)
        if isinstance(database.notifications, ExistingTopicSettings):
            yield from _arn_is_here(
                "database.notifications.topicArn", database.notifications.topic_arn, aws, any_account=True
            )


def _arn_is_here(key: str, arn: str | None, aws: AwsSettings, *, any_account: bool = False) -> Findings:
    if arn is None:
        return
    _, partition, _, region, account, _ = arn.split(":", 5)
    # `aws` owns its own policies.
    if account not in (aws.account_id, "aws") and not any_account:
        yield finding(
            key,
            arn,
            f"is of account {account}, and aws.accountId is {aws.account_id}",
            "correct one of them",
            "aws.accountId",
        )
    if region not in ("", aws.region):
        yield finding(
            key, arn, f"is of region {region}, and aws.region is {aws.region}", "give one of that region", "aws.region"
        )
    if partition != partition_of(aws.region):
        yield finding(
            key,
            arn,
            f"is of partition {partition}, and region {aws.region} is in {partition_of(aws.region)}",
            "correct one of them",
            "aws.region",
        )


def uri_has_one_source(draft: Draft) -> Findings:
    """With `database.mode: existing`, one of `databaseUri` and `database.secret` is there; with `rds`, neither."""
    database, given = draft.configuration.database, "databaseUri" in draft.secrets
    if isinstance(database, RdsDatabaseSettings) and given:
        yield finding(
            "databaseUri",
            ...,
            "is set, and with database.mode rds the stack makes the URI itself",
            "remove it with `pulumi config rm databaseUri`, or set database.mode to existing",
            "database.mode",
        )
    if isinstance(database, ExistingDatabaseSettings) and database.secret is None and not given:
        yield finding(
            "databaseUri",
            ...,
            "is missing, and database.secret names no Secret that has the URI",
            "set it with `pulumi config set --secret databaseUri`, or set database.secret.name",
            "database.secret",
        )
    if isinstance(database, ExistingDatabaseSettings) and database.secret is not None and given:
        yield finding(
            "database.secret",
            ...,
            "is set, and so is the secret key databaseUri",
            "keep one of them: only one can be the URI",
            "databaseUri",
        )


RULES = (
    storage_can_grow,
    windows_are_apart,
    aws_is_there_for_rds,
    pods_can_take_roles,
    pod_identity_is_offered,
    tokens_are_not_rotated,
    arns_are_of_the_account,
    uri_has_one_source,
)
