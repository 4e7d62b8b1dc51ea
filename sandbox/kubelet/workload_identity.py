"""How a pod gets its ServiceAccount's IAM role: by IAM roles for service accounts, or by EKS Pod Identity.

On EKS two webhooks add this to the pod at admission; here the node adds it when it starts the containers. A pod that
existed before its account got a role stays without one, as on EKS.
https://docs.aws.amazon.com/eks/latest/userguide/service-accounts.html
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.kubelet.api import Object

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_TOKEN_SECONDS = 86400


@dataclass(frozen=True)
class Identity:
    """What every container of the pod receives."""

    volume: Object
    mount: Object
    variables: dict[str, str]


def identities_of(service_account: Object | None, region: str, pod_identity_endpoint: str | None) -> list[Identity]:
    """`pod_identity_endpoint`: where the agent gives credentials to this account's pods; None if none is associated."""
    common = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}
    annotations = (service_account or {}).get("metadata", {}).get("annotations") or {}
    found = []
    if annotations.get(ROLE_ANNOTATION):
        token = _Token(
            volume="aws-iam-token",
            directory="/var/run/secrets/eks.amazonaws.com/serviceaccount",
            path="token",
            audience=annotations.get("eks.amazonaws.com/audience", "sts.amazonaws.com"),
            seconds=int(annotations.get("eks.amazonaws.com/token-expiration", _TOKEN_SECONDS)),
        )
        variables = {"AWS_ROLE_ARN": annotations[ROLE_ANNOTATION], "AWS_WEB_IDENTITY_TOKEN_FILE": token.file}
        found.append(token.identity({**common, **variables}))
    if pod_identity_endpoint is not None:
        token = _Token(
            volume="eks-pod-identity-token",
            directory="/var/run/secrets/pods.eks.amazonaws.com/serviceaccount",
            path="eks-pod-identity-token",
            audience="pods.eks.amazonaws.com",
            seconds=_TOKEN_SECONDS,
        )
        variables = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": pod_identity_endpoint,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token.file,
        }
        found.append(token.identity({**common, **variables}))
    return found


@dataclass(frozen=True, kw_only=True)
class _Token:
    """The projected token with which a pod proves its identity."""

    volume: str
    directory: str
    path: str
    audience: str
    seconds: int

    @property
    def file(self) -> str:
        return f"{self.directory}/{self.path}"

    def identity(self, variables: dict[str, str]) -> Identity:
        source = {"audience": self.audience, "expirationSeconds": self.seconds, "path": self.path}
        return Identity(
            {"name": self.volume, "projected": {"sources": [{"serviceAccountToken": source}]}},
            {"name": self.volume, "mountPath": self.directory, "readOnly": True},
            variables,
        )
