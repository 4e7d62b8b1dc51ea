"""IAM policies from the table of actions, limited to one stack's account, region, names and tag."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from components.database_policies import role_name_prefix
from components.settings import (
    PodIdentitySettings,
    PointInTimeRestoreSettings,
    RdsDatabaseSettings,
    Settings,
    SnapshotRestoreSettings,
)
from components.settings.formats import dns_suffix_of, partition_of
from components.settings.names import PROJECT
from components.settings.stack_outputs import stack_output
from operations.privileges.aws_actions import ACTIONS, UNIQUE, Conditions, Grant
from operations.privileges.purposes import Purpose

# Characters of a managed policy, without white space:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
LARGEST_POLICY = 6144

_UNLIMITED_ROLES = (
    "aws.iam.permissionsBoundaryArn is not set: whoever may make roles of these names may give them any rights, and "
    "so gain any; set a boundary to limit what the roles may do"
)
_ANY_SNAPSHOT = "a restore begins with a snapshot of any name; what it makes is limited by name"


@dataclass(frozen=True, kw_only=True)
class State:
    """The S3 bucket of the stack's state, if it is in S3, and the KMS key of its secrets provider."""

    bucket: str | None = None
    key_arn: str | None = None


@dataclass(frozen=True, kw_only=True)
class Account:
    """The values of the table's placeholders."""

    partition: str
    dns_suffix: str
    region: str
    account: str
    identifier: str
    role_path: str
    role_prefix: str
    vpc: str
    subnet_group: str
    eks_cluster: str | None
    prefix_list: str | None
    database_key: str
    storage_key: str
    named_key: str | None
    foreign_key: str | None
    """The named key, if it is another account's and database_key or storage_key is any key of this one."""
    stack_tag: str
    permissions_boundary: str | None
    without_boundary: str | None
    """Empty when there is no boundary; None drops the resource."""
    restored_instance: str | None
    restored_snapshot: str | None
    """The ARN's resource kind, `snapshot`, for a restore from one."""

    def filled(self, text: str) -> str | None:
        """`text` with its placeholders filled; None when it names something that this stack does not have."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if any(value is None and f"{{{name}}}" in text for name, value in values.items()):
            return None
        return text.format(**values)


@dataclass(frozen=True, kw_only=True, order=True)
class Unscoped:
    """A right that reaches beyond the stack, and why."""

    right: str
    why: str


def account_of(settings: Settings, organization: str) -> Account | None:
    """None when the stack has nothing in AWS."""
    cloud, database = settings.aws, settings.database
    if cloud is None or not isinstance(database, RdsDatabaseSettings):
        return None
    partition = partition_of(cloud.region)
    network, restore, identity = database.network, database.restore, cloud.workload_identity
    stack_tag = f"{organization}/{PROJECT}/{settings.stack}"
    key = f"arn:{partition}:kms:{cloud.region}:{cloud.account_id}:key/*"
    return Account(
        partition=partition,
        dns_suffix=dns_suffix_of(cloud.region),
        region=cloud.region,
        account=cloud.account_id,
        identifier=database.identifier,
        role_path=cloud.iam.path,
        role_prefix=role_name_prefix(database.identifier),
        # Another stack's output is unknown here.
        vpc="*" if stack_output(network.vpc_id) else network.vpc_id,
        subnet_group=network.subnet_group_name or f"{database.identifier}-{UNIQUE}",
        eks_cluster=_eks_cluster(identity),
        prefix_list=_one_or_any(network.client_prefix_list_ids),
        # The secret of an adopted instance keeps the key that it was made with.
        database_key=key if database.adopt else database.kms_key_arn or key,
        # A restored instance keeps its data's key, whatever the settings name.
        storage_key=key if restore is not None else database.kms_key_arn or key,
        named_key=database.kms_key_arn,
        foreign_key=_foreign_key(database, cloud.account_id),
        stack_tag=stack_tag,
        permissions_boundary=cloud.iam.permissions_boundary_arn,
        without_boundary="" if cloud.iam.permissions_boundary_arn is None else None,
        restored_instance=f"arn:{partition}:rds:{cloud.region}:{cloud.account_id}:db:{restore.source_identifier}"
        if isinstance(restore, PointInTimeRestoreSettings)
        else None,
        restored_snapshot="snapshot" if isinstance(restore, SnapshotRestoreSettings) else None,
    )


def _foreign_key(database: RdsDatabaseSettings, account_id: str) -> str | None:
    named = database.kms_key_arn
    any_of_own = database.adopt or database.restore is not None
    return named if named is not None and any_of_own and f":{account_id}:" not in named else None


def policies(
    settings: Settings,
    purpose: Purpose,
    *,
    organization: str = "organization",
    state: State | None = None,
) -> tuple[list[dict[str, Any]], list[Unscoped]]:
    """The policy documents, as many as their size limit demands, and the rights in them that reach beyond the stack."""
    account = account_of(settings, organization)
    granted: list[tuple[Grant, Account]] = []
    if account is not None and purpose.reads_world:
        for actions in ACTIONS.values():
            granted += [(grant, account) for grant in (*actions.read, *(actions.write if purpose.writes else ()))]
    statements, unscoped = _statements(granted)
    region = None if settings.aws is None else settings.aws.region
    statements += list(_state_statements(settings, purpose, state or State(), partition_of(region or "")))
    return _documents(statements), sorted(set(unscoped))


def _statements(granted: Iterable[tuple[Grant, Account]]) -> tuple[list[dict[str, Any]], list[Unscoped]]:
    """Merge grants with the same resources and conditions into one statement."""
    merged: dict[str, tuple[list[str], Conditions, set[str]]] = {}
    unscoped: list[Unscoped] = []
    for grant, account in granted:
        resources = [one for one in map(account.filled, grant.on) if one is not None] if grant.on else ["*"]
        if not resources:
            continue
        conditions = _conditions(grant.when, account)
        for action in grant.actions:
            if grant.why_everywhere:
                unscoped.append(Unscoped(right=action, why=grant.why_everywhere))
            elif action == "iam:CreateRole" and not conditions:
                unscoped.append(Unscoped(right=action, why=_UNLIMITED_ROLES))
            elif any(one.endswith(":snapshot:*") for one in resources):
                unscoped.append(Unscoped(right=action, why=_ANY_SNAPSHOT))
        key = json.dumps([resources, conditions], sort_keys=True)
        merged.setdefault(key, (resources, conditions, set()))[2].update(grant.actions)
    return [
        {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": resources if len(resources) > 1 else resources[0],
            **({"Condition": conditions} if conditions else {}),
        }
        for resources, conditions, actions in merged.values()
    ], unscoped


def _conditions(conditions: Conditions, account: Account) -> Conditions:
    found: Conditions = {}
    for operator, keys in conditions.items():
        filled = {key: account.filled(value) for key, value in keys.items()}
        known = {key: value for key, value in filled.items() if value is not None}
        if known:
            found[operator] = known
    return found


def _state_statements(settings: Settings, purpose: Purpose, state: State, partition: str) -> Iterator[dict[str, Any]]:
    """The rights on the state. A preview takes no lock and writes nothing; a consumer reads only this stack's file. All
    others also read the states of stacks whose outputs are settings, if they are in the same bucket."""
    if state.bucket is not None:
        bucket = f"arn:{partition}:s3:::{state.bucket}"
        # https://www.pulumi.com/docs/iac/concepts/state-and-backends/: a backend keeps all objects below .pulumi.
        stack = f"{PROJECT}/{settings.stack}"
        own, others = [f"{bucket}/.pulumi/stacks/{stack}.json*"], []
        if purpose.reads_world:
            # The engine reads the stack's tags before each run, though few stacks have any.
            own.append(f"{bucket}/.pulumi/stacks/{stack}.pulumi-tags")
            others = [f"{bucket}/.pulumi/stacks/{one}.json*" for one in _referenced_stacks(settings)]
        readable = [f"{bucket}/.pulumi/meta.yaml", *own, *others]
        yield {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket,
            # Reading an object carries no prefix. Without this right S3 answers "access denied" for a missing object,
            # which the engine takes for a failure: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
            "Condition": {"StringLikeIfExists": {"s3:prefix": ".pulumi/*"}},
        }
        if purpose is Purpose.DEPLOY:
            history = [f"{bucket}/.pulumi/{place}/{stack}/*" for place in ("backups", "history")]
            # Backends without organizations use this name in the lock's path.
            history.append(f"{bucket}/.pulumi/locks/organization/{stack}/*")
            written = [*own, *history]
            readable += history
            yield {"Effect": "Allow", "Action": ["s3:DeleteObject", "s3:PutObject"], "Resource": written}
        yield {"Effect": "Allow", "Action": "s3:GetObject", "Resource": readable}
    if state.key_arn is not None:
        # Encrypt is needed once, for the stack's data key when the stack is made. A bucket that is encrypted with the
        # same key, as in examples/backend, makes a data key for each write, with the writer's rights.
        more = ["kms:Encrypt", "kms:GenerateDataKey"] if purpose is Purpose.DEPLOY else []
        yield {"Effect": "Allow", "Action": ["kms:Decrypt", *more], "Resource": state.key_arn}


def _referenced_stacks(settings: Settings) -> list[str]:
    """`project/stack`, as in a bucket, of the stacks whose outputs are settings."""
    values: list[str] = []
    if isinstance(settings.database, RdsDatabaseSettings):
        network = settings.database.network
        values += [network.vpc_id, *(network.subnet_ids or ()), *network.client_security_group_ids]
    identity = None if settings.aws is None else settings.aws.workload_identity
    if isinstance(identity, PodIdentitySettings):
        values.append(identity.cluster_name)
    elif identity is not None:
        values.append(identity.oidc_provider_arn)
    return sorted({found.stack.partition("/")[2] for found in map(stack_output, values) if found is not None})


def _documents(statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pack the statements into documents in order; a statement is never split."""
    documents: list[dict[str, Any]] = []
    for statement in statements:
        if documents:
            longer = {**documents[-1], "Statement": [*documents[-1]["Statement"], statement]}
            if size(longer) <= LARGEST_POLICY:
                documents[-1] = longer
                continue
        documents.append({"Version": "2012-10-17", "Statement": [statement]})
    return documents


def size(document: dict[str, Any]) -> int:
    """Characters as IAM counts them."""
    return len(json.dumps(document, separators=(",", ":")))


def _one_or_any(names: Sequence[str]) -> str | None:
    """The only name, `*` for several, None for none."""
    return names[0] if len(names) == 1 else "*" if names else None


def _eks_cluster(identity: object) -> str | None:
    """The cluster's name, `*` if unknown; None when pods get no roles through EKS Pod Identity."""
    if not isinstance(identity, PodIdentitySettings):
        return None
    return "*" if stack_output(identity.cluster_name) else identity.cluster_name
