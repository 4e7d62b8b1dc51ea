"""The explicit providers of the stack: one for AWS, one for each Kubernetes cluster.

Explicit, so that neither a colleague's current context nor an environment variable decides where a stack is deployed: a
wrong account or cluster is refused. Credentials come from the environment, never from the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pulumi_kubernetes import Provider as KubernetesProvider

from components.settings.names import kubernetes_provider_name

if TYPE_CHECKING:
    import pulumi_aws as aws

    from components.settings import AwsSettings, KubernetesSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Providers:
    kubernetes: KubernetesProvider
    """For the cluster that the access graph runs in."""
    teleport: Mapping[str, KubernetesProvider]
    """By Teleport cluster name; entries in the same Kubernetes cluster share one."""
    aws: aws.Provider | None
    """None where the stack has no AWS resource."""


def make_providers(settings: Settings) -> Providers:
    """Register the providers that `settings` needs, each Kubernetes cluster once."""
    own = settings.kubernetes.cluster_identifier
    main = kubernetes_provider(kubernetes_provider_name(own, own), settings.kubernetes)
    by_identifier = {own: main}
    teleport: dict[str, KubernetesProvider] = {}
    for cluster, entry in settings.teleport.items():
        target = entry.kubernetes or settings.kubernetes
        if target.cluster_identifier not in by_identifier:
            name = kubernetes_provider_name(target.cluster_identifier, own)
            by_identifier[target.cluster_identifier] = kubernetes_provider(name, target)
        teleport[cluster] = by_identifier[target.cluster_identifier]
    return Providers(
        kubernetes=main,
        teleport=MappingProxyType(teleport),
        aws=None if settings.aws is None else aws_provider("aws", settings.aws),
    )


def kubernetes_provider(name: str, settings: KubernetesSettings) -> KubernetesProvider:
    """A provider bound to one cluster by its identity. The kubeconfig entry may change, the cluster may not."""
    return KubernetesProvider(
        name,
        # An empty kubeconfig makes the plugin read the ambient one by context. The contents of one that is passed would
        # show in every preview.
        kubeconfig="",
        context=settings.context,
        cluster_identifier=settings.cluster_identifier,
        # Otherwise a changed value replaces the object, and one with a fixed name is deleted first: in the gap a pod
        # that mounts it cannot start.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        # The plugin's own defaults, pinned, since it would otherwise take them from environment variables. Only
        # `delete_unreachable` is left to its variable, which drops the objects of a lost cluster from the state: the
        # plugin's errors name it, and a value here, or in the state that a `refresh` reads, would overrule it.
        enable_server_side_apply=True,
        enable_patch_force=False,
        upsert_existing_objects=False,
        skip_update_unreachable=False,
        suppress_deprecation_warnings=False,
        suppress_helm_hook_warnings=False,
    )


def aws_provider(name: str, settings: AwsSettings) -> aws.Provider:
    """A provider that refuses to work in any account but the one named."""
    import pulumi_aws as aws  # here, since a stack without RDS does not need the SDK

    assume_role = settings.assume_role
    return aws.Provider(
        name,
        region=settings.region,
        allowed_account_ids=[settings.account_id],
        assume_roles=None
        if assume_role is None
        else [
            aws.ProviderAssumeRoleArgs(
                role_arn=assume_role.role_arn,
                external_id=assume_role.external_id,
                session_name=assume_role.session_name,
            )
        ],
        endpoints=[aws.ProviderEndpointArgs(**dict(settings.endpoints))] if settings.endpoints else None,
    )
