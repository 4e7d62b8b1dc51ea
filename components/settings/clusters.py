"""Settings of where things run: the Kubernetes cluster, and the AWS account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from components.settings.formats import (
    EKS_CLUSTER_NAME,
    OIDC_PROVIDER_ARN,
    AccountId,
    ClusterIdentifier,
    ContextName,
    EndpointUrl,
    IamPath,
    PolicyArn,
    Region,
    RoleArn,
)
from components.settings.rules import Frozen, Section, Text, matching, one_of, setting
from components.settings.stack_outputs import or_stack_output
from components.settings.unions import by_mode, tag

# The services that the stack calls, by the names that the AWS provider gives their endpoints.
AWS_SERVICES = ("cloudwatch", "ec2", "eks", "iam", "kms", "logs", "rds", "secretsmanager", "sns", "sts")


class KubernetesSettings(Section):
    """A Kubernetes cluster, named twice: by how to reach it, and by what it must turn out to be."""

    context: ContextName = setting(
        why="kubeconfig context by which the cluster is reached; the current context is never used, because it "
        "changes unnoticed",
        example="dev-eu-central-1",
    )
    cluster_identifier: ClusterIdentifier = setting(
        why="UID of the namespace kube-system; by it a context that has come to mean another cluster is refused",
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


class IrsaSettings(Section):
    """IAM roles for service accounts: pods prove themselves to STS by a token of the cluster's issuer."""

    mode: Literal["irsa"] = setting(why="pods take their roles by the cluster's OIDC provider", example="irsa")
    oidc_provider_arn: Annotated[Text, or_stack_output(OIDC_PROVIDER_ARN)] = setting(
        why="IAM OIDC provider of the cluster that TAG runs in",
        example="arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE",
    )


class PodIdentitySettings(Section):
    """EKS Pod Identity: the agent on each node hands out a role's credentials by association."""

    mode: Literal["podIdentity"] = setting(
        why="pods take their roles by an association in EKS; the cluster needs the add-on eks-pod-identity-agent",
        example="podIdentity",
    )
    cluster_name: Annotated[Text, or_stack_output(EKS_CLUSTER_NAME)] = setting(
        why="EKS cluster that TAG runs in", example="prod"
    )


WorkloadIdentitySettings = Annotated[
    Annotated[IrsaSettings, Tag(tag("irsa"))] | Annotated[PodIdentitySettings, Tag(tag("podIdentity"))],
    Discriminator(by_mode),
]


class IamSettings(Section):
    """What the organisation asks of every IAM role that the stack makes."""

    path: IamPath = setting("/", why="path of the roles, so that an organisation's policies can tell them apart")
    permissions_boundary_arn: PolicyArn | None = setting(
        None, why="policy that limits every role of the stack, whatever the role's own policy says"
    )


class AwsSettings(Section):
    """The AWS account in which the database is made."""

    region: Region = setting(why="region of the database", example="eu-central-1")
    account_id: AccountId = setting(
        why="the only account in which the provider works; credentials of another account are refused",
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
        {}, why="other endpoints, by service: for VPC endpoints with their own names, and for servers that imitate AWS"
    )
    workload_identity: WorkloadIdentitySettings | None = setting(
        None,
        why="how pods take IAM roles; the access Job needs one to read a managed master password, TAG to log in by IAM",
    )
    iam: IamSettings = setting({}, why="path and permissions boundary of the stack's IAM roles")
