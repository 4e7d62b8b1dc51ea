"""IAM roles for service accounts: what EKS's webhook adds to a pod whose service account names a role.

On EKS it happens at admission and shows in the pod; here the node does it when it starts the containers.
"""

from __future__ import annotations

from sandbox.kubelet.api import Object

ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
VOLUME_NAME = "aws-iam-token"
_MOUNT_PATH = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
_TOKEN_SECONDS = 86400


def role_of(service_account: Object | None) -> str | None:
    annotations = (service_account or {}).get("metadata", {}).get("annotations") or {}
    return annotations.get(ROLE_ANNOTATION)


def token_volume(service_account: Object) -> Object:
    annotations = service_account["metadata"].get("annotations") or {}
    token = {
        "audience": annotations.get("eks.amazonaws.com/audience", "sts.amazonaws.com"),
        "expirationSeconds": int(annotations.get("eks.amazonaws.com/token-expiration", _TOKEN_SECONDS)),
        "path": "token",
    }
    return {"name": VOLUME_NAME, "projected": {"sources": [{"serviceAccountToken": token}]}}


def token_mount() -> Object:
    return {"name": VOLUME_NAME, "mountPath": _MOUNT_PATH, "readOnly": True}


def variables(role: str, region: str) -> dict[str, str]:
    return {
        "AWS_ROLE_ARN": role,
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{_MOUNT_PATH}/token",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_STS_REGIONAL_ENDPOINTS": "regional",
    }
