"""Who holds an access key, and what the holder may do: sessions of roles, users, and the account's administrator.

Reads what moto keeps. `web_identity.Gate` decides which API calls are checked at all.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.iam.models import IAMBackend, Role, iam_backends
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from sandbox.cloud import administrator
from sandbox.cloud.login_tokens import SigningKey
from sandbox.cloud.policies import Question, is_allowed

EVERYTHING = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}

Document = str | Mapping[str, Any]


@dataclass(frozen=True)
class Holder:
    """The signer behind an access key."""

    arn: str
    key: SigningKey
    policies: list[Document]
    boundary: list[Document] | None = None
    """The permissions boundary: what these policies do not allow is not allowed."""
    expires: datetime.datetime | None = None

    def may(self, question: Question) -> bool:
        within = self.boundary is None or is_allowed(self.boundary, question)
        return within and is_allowed(self.policies, question)


def holder_of(account: str, region: str, access_key_id: str) -> Holder | None:
    """None for a key that nobody has. Call with the API's lock held."""
    partition = get_partition(region)
    if access_key_id == administrator.ACCESS_KEY_ID:
        arn = f"arn:{partition}:iam::{account}:root"
        return Holder(arn, SigningKey(administrator.SECRET_ACCESS_KEY, None), [EVERYTHING])
    iam = iam_backends[account][partition]
    session = sts_backends[account][partition].get_assumed_role_from_access_key(access_key_id)
    if session is not None:
        role = role_of(account, region, session.role_arn)
        return Holder(
            session.arn,
            SigningKey(session.secret_access_key, session.session_token),
            [] if role is None else role_policies(role),
            None if role is None else _boundary(iam, role.permissions_boundary_arn),
            session.expiration.replace(tzinfo=datetime.timezone.utc),
        )
    user = iam.get_user_from_access_key_id(access_key_id)
    if user is None:
        return None
    (key,) = (one for one in user.access_keys if one.access_key_id == access_key_id)
    if key.status != "Active":
        return None
    groups = iam.get_groups_for_user(user.name)
    policies = [document for one in [user, *groups] for document in _own_and_attached(one)]
    return Holder(user.arn, SigningKey(key.secret_access_key, None), policies)


def role_of(account: str, region: str, arn: str) -> Role | None:
    roles = iam_backends[account][get_partition(region)].roles.values()
    return next((role for role in roles if role.arn == arn), None)


def role_policies(role: Role) -> list[Document]:
    return _own_and_attached(role)


def _own_and_attached(holder: Any) -> list[Document]:
    """The policies of a role, a user or a group."""
    attached = [_default_version(policy) for policy in holder.managed_policies.values()]
    return [*holder.policies.values(), *attached]


def _default_version(policy: Any) -> str:
    (document,) = (one.document for one in policy.versions if one.version_id == policy.default_version_id)
    return str(document)


def _boundary(iam: IAMBackend, arn: str | None) -> list[Document] | None:
    if not arn:
        return None
    policy = iam.managed_policies.get(arn)
    # A boundary that no longer exists allows nothing.
    return [] if policy is None else [_default_version(policy)]
