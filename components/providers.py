"""The explicit providers of the stack: one for AWS, one for each Kubernetes cluster.

Explicit, so that neither a colleague's current context nor an environment variable decides where a stack lands: the
wrong account and the wrong cluster are refused. Credentials themselves come from the environment, never from the
configuration.
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
    """Of the cluster that the access graph runs in."""
    teleport: Mapping[str, KubernetesProvider]
    """By Teleport cluster name; entries in the same Kubernetes cluster share one."""
    aws: aws.Provider | None
    """None when nothing of the stack is AWS's."""


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
    """A provider bound to one cluster by its identity, which the kubeconfig's entry for it may not change."""
    return KubernetesProvider(
        name,
        # An empty one makes the plugin read the ambient kubeconfig by context: its contents would show in every
        # preview.
        kubeconfig="",
        context=settings.context,
        cluster_identifier=settings.cluster_identifier,
        # Without these a changed value replaces the object, and one with a fixed name is deleted first: a hole in
        # time in which a pod that mounts it cannot start.
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        # The plugin's own defaults, pinned: it would take them from environment variables otherwise. Only
        # `delete_unreachable` is left to its variable, by which a cluster that is lost leaves the state: the plugin's
        # errors name it, and a value here, or in the state that a `refresh` reads, would overrule it.
        enable_server_side_apply=True,
        enable_patch_force=False,
        upsert_existing_objects=False,
        skip_update_unreachable=False,
        suppress_deprecation_warnings=False,
        suppress_helm_hook_warnings=False,
    )


def aws_provider(name: str, settings: AwsSettings) -> aws.Provider:
    """A provider that refuses to work in another account than the one named."""
    import pulumi_aws as aws  # here, since a stack with a database of its own elsewhere does without the SDK

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
