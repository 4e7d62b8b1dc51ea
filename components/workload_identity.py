"""IAM roles that pods take by their ServiceAccount: through the cluster's OIDC provider (IRSA), or EKS Pod Identity.

Owns the role, its trust policy and how pods get it. The caller decides what the role may do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pulumi
from pulumi_aws import eks, iam

from components.applied import made
from components.database_policies import pod_identity_trust, service_account_trust

# The annotation that EKS's webhook reads when a pod is admitted.
ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"


@dataclass(frozen=True, kw_only=True)
class RoleSettings:
    """What all roles of the stack have in common."""

    name_prefix: pulumi.Input[str]
    """At most 38 characters, since the provider appends 26 and a role's name may have 64."""
    region: pulumi.Input[str]
    account_id: pulumi.Input[str]
    """Account of the role, and of an EKS cluster whose pods take it by Pod Identity."""
    path: pulumi.Input[str]
    permissions_boundary_arn: pulumi.Input[str] | None
    tags: pulumi.Input[dict[str, pulumi.Input[str]]]


@dataclass(frozen=True, kw_only=True)
class ServiceAccountRole:
    """A role that one ServiceAccount can take."""

    annotations: pulumi.Output[Mapping[str, str]]
    """Annotations for the ServiceAccount."""

    identity: pulumi.Output[str]
    """What EKS gives a pod at admission, and never to a running pod. When it changes, pods have to be made anew. Not
    secret."""

    permissions: list[pulumi.Resource]
    """Until these exist, a pod has the role in vain."""


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
    """Make the role `{name}-role`, with `policy` (JSON) and the policies in `further`, by label, as its only
    permissions.

    Raises `ValueError` unless exactly one of `oidc_provider_arn` and `eks_cluster_name` is given.
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
    # Last, because its former content may have moved to one of the others.
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
        # Contains the role, because the agent caches credentials of the former role for a running pod.
        identity=pulumi.Output.format("{0} {1}", association.id, made(role, role.arn)),
        permissions=[*permissions, association],
    )
