"""IAM roles that pods take on by their ServiceAccount: through the cluster's OIDC provider (IRSA), or EKS Pod Identity.

Owns the role, its trust and how the pods get it. What the role may do is its user's concern.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pulumi
from pulumi_aws import eks, iam

from components.applied import made
from components.database_policies import pod_identity_trust, service_account_trust

# The annotation that EKS's webhook looks for when a pod is admitted.
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"


@dataclass(frozen=True, kw_only=True)
class RoleSettings:
    """What every role of the stack has in common."""

    name_prefix: pulumi.Input[str]
    """At most 38 characters, as the provider appends 26 of the 64 that a role's name may have."""
    region: pulumi.Input[str]
    account_id: pulumi.Input[str]
    """Of the role; an EKS cluster whose pods take it by Pod Identity is there too."""
    path: pulumi.Input[str]
    permissions_boundary_arn: pulumi.Input[str] | None
    tags: pulumi.Input[dict[str, pulumi.Input[str]]]


@dataclass(frozen=True, kw_only=True)
class ServiceAccountRole:
    """A role that one ServiceAccount can take on."""

    annotations: pulumi.Output[Mapping[str, str]]
    """Of the ServiceAccount."""

    identity: pulumi.Output[str]
    """What EKS gives to a pod when it is admitted, and to no pod that runs: with another one, pods have to be made
    anew. Not secret."""

    permissions: list[pulumi.Resource]
    """Before they are there a pod has the role in vain."""


def service_account_role(
    name: str,
    *,
    oidc_provider_arn: pulumi.Input[str] | None,
    eks_cluster_name: pulumi.Input[str] | None,
    namespace: pulumi.Input[str],
    service_account: str,
    policy: pulumi.Input[str],
    further: Mapping[str, pulumi.Input[str]] = MappingProxyType({}),
    description: str,
    settings: RoleSettings,
    opts: pulumi.ResourceOptions,
) -> ServiceAccountRole:
    """Make the role `{name}-role` with `policy` (JSON) as its only permissions, and those of `further` by label.

    Exactly one of `oidc_provider_arn` and `eks_cluster_name`: raises `ValueError` otherwise.
    """
    if (oidc_provider_arn is None) == (eks_cluster_name is None):
        raise ValueError(f"{name}: give exactly one of oidc_provider_arn and eks_cluster_name")
    if oidc_provider_arn is None:
        trust = pulumi.Output.all(settings.region, settings.account_id, eks_cluster_name, namespace).apply(
            lambda resolved: pod_identity_trust(
                region=resolved[0],
                account_id=resolved[1],
                cluster_name=resolved[2],
                namespace=resolved[3],
                service_account=service_account,
            )
        )
    else:
        trust = pulumi.Output.all(oidc_provider_arn, namespace).apply(
            lambda resolved: service_account_trust(
                oidc_provider_arn=resolved[0], namespace=resolved[1], service_account=service_account
            )
        )
    role = iam.Role(
        f"{name}-role",
        name_prefix=settings.name_prefix,
        path=settings.path,
        permissions_boundary=settings.permissions_boundary_arn,
        description=description,
        assume_role_policy=trust,
        tags=settings.tags,
        opts=opts,
    )
    others = [
        iam.RolePolicy(f"{name}-{label}-policy", role=role.name, policy=more, opts=opts)
        for label, more in further.items()
    ]
    # Last: what it had may have become one of the others.
    after = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=others)) if others else opts
    permissions = [role, *others, iam.RolePolicy(f"{name}-role-policy", role=role.name, policy=policy, opts=after)]
    if eks_cluster_name is None:
        return ServiceAccountRole(
            annotations=role.arn.apply(lambda arn: {ROLE_ANNOTATION: arn}),
            identity=made(role, role.arn),
            permissions=permissions,
        )
    association = eks.PodIdentityAssociation(
        f"{name}-pod-identity",
        cluster_name=eks_cluster_name,
        namespace=namespace,
        service_account=service_account,
        role_arn=role.arn,
        tags=settings.tags,
        opts=opts,
    )
    nothing: dict[str, str] = {}
    return ServiceAccountRole(
        annotations=pulumi.Output.from_input(nothing),
        # With the role: what its agent has at hand for a pod that runs is of the former one.
        identity=pulumi.Output.format("{0} {1}", association.id, made(role, role.arn)),
        permissions=[*permissions, association],
    )
