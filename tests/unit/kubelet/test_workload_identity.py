"""What a pod gets for its IAM role: the same names, paths and audiences as on EKS."""

from __future__ import annotations

import pytest

from sandbox.kubelet.workload_identity import identities_of

pytestmark = pytest.mark.unit

REGION = "eu-west-1"
ROLE = "arn:aws:iam::123456789012:role/graph"
AGENT = "http://127.9.201.2:4000/v1/credentials"
COMMON = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}


def account(**annotations: str) -> dict[str, object]:
    return {"metadata": {"name": "graph", "annotations": {f"eks.amazonaws.com/{k}": v for k, v in annotations.items()}}}


def test_an_account_without_a_role_gives_its_pods_nothing() -> None:
    assert identities_of(account(), REGION, None) == []
    assert identities_of(None, REGION, None) == []


def test_a_role_in_the_annotation_is_taken_with_a_web_identity() -> None:
    (identity,) = identities_of(account(**{"role-arn": ROLE}), REGION, None)
    assert identity.variables == {
        **COMMON,
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    }
    token = {"audience": "sts.amazonaws.com", "expirationSeconds": 86400, "path": "token"}
    assert identity.volume == {"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": token}]}}
    assert identity.mount == {
        "name": "aws-iam-token",
        "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount",
        "readOnly": True,
    }


def test_the_annotations_may_ask_for_another_token() -> None:
    wanted = account(**{"role-arn": ROLE, "audience": "elsewhere", "token-expiration": "600"})
    (identity,) = identities_of(wanted, REGION, None)
    (source,) = identity.volume["projected"]["sources"]
    assert source["serviceAccountToken"] == {"audience": "elsewhere", "expirationSeconds": 600, "path": "token"}


def test_an_association_gives_the_agents_address_and_a_token_for_it() -> None:
    (identity,) = identities_of(account(), REGION, AGENT)
    directory = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
    assert identity.variables == {
        **COMMON,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": AGENT,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{directory}/eks-pod-identity-token",
    }
    token = {"audience": "pods.eks.amazonaws.com", "expirationSeconds": 86400, "path": "eks-pod-identity-token"}
    assert identity.volume == {
        "name": "eks-pod-identity-token",
        "projected": {"sources": [{"serviceAccountToken": token}]},
    }
    assert identity.mount == {"name": "eks-pod-identity-token", "mountPath": directory, "readOnly": True}


def test_both_ways_stand_side_by_side() -> None:
    found = identities_of(account(**{"role-arn": ROLE}), REGION, AGENT)
    assert [one.volume["name"] for one in found] == ["aws-iam-token", "eks-pod-identity-token"]
