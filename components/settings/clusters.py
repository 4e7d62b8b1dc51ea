"""Settings of where things run: the Kubernetes cluster, and the AWS account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from components.settings.formats import (
    AccountId,
    ClusterIdentifier,
    ContextName,
    EndpointUrl,
    OidcProviderArn,
    Region,
    RoleArn,
)
from components.settings.rules import Frozen, Section, Text, matching, one_of, setting

# The services that the stack calls, by the names that the AWS provider gives their endpoints.
AWS_SERVICES = ("ec2", "iam", "kms", "logs", "rds", "secretsmanager", "sts")


class KubernetesSettings(Section):
    """A Kubernetes cluster, named twice: by how to reach it, and by what it must turn out to be."""

    context: ContextName = setting(
        why="kubeconfig context through which the cluster is reached; never the current one, which changes unseen",
        example="dev-eu-central-1",
    )
    cluster_identifier: ClusterIdentifier = setting(
        why="UID of the namespace kube-system: a context that has come to mean another cluster is refused by it",
        example="00000000-0000-4000-8000-000000000000",
    )


class AssumeRoleSettings(Section):
    """The role that the AWS provider takes before its first call."""

    role_arn: RoleArn = setting(
        why="role with the permissions of a deployment", example="arn:aws:iam::123456789012:role/deploy"
    )
    external_id: Annotated[Text, matching(r"[\w+=,.@:/-]{2,1224}", "an external id of 2 to 1224 characters")] | None = (
        setting(None, why="external id that the role's trust policy asks for")
    )
    session_name: Annotated[Text, matching(r"[\w+=,.@-]{2,64}", "a session name of 2 to 64 characters")] | None = (
        setting(None, why="name of the session in CloudTrail; without it the provider makes one up")
    )


class AwsSettings(Section):
    """The AWS account in which the database is made."""

    region: Region = setting(why="region of the database", example="eu-central-1")
    account_id: AccountId = setting(
        why="the only account in which the provider works: credentials of another one are refused",
        example="123456789012",
    )
    assume_role: AssumeRoleSettings | None = setting(
        None, why="role to assume; without it the ambient credentials are used as they are"
    )
    endpoints: Annotated[
        Mapping[
            Annotated[Text, one_of(AWS_SERVICES, f"a service that this stack calls ({', '.join(AWS_SERVICES)})")],
            EndpointUrl,
        ],
        Frozen,
    ] = setting(
        {}, why="other endpoints by service, for VPC endpoints with names of their own and for AWS's look-alikes"
    )
    oidc_provider_arn: OidcProviderArn | None = setting(
        None,
        why="IAM OIDC provider of TAG's cluster, for the role by which the access Job reads a managed master password",
        example="arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE",
    )
