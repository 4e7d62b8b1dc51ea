"""What an organisation's account has before this stack comes: a network, and trust in the cluster's tokens.

Made through the API. Each thing is first looked up by its name tag or address, so that a second start makes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import boto3

from sandbox.cloud import administrator

ACCOUNT = "123456789012"
REGION = "us-east-1"

NETWORK = "10.80.0.0/16"
SUBNETS = {"a": "10.80.1.0/24", "b": "10.80.2.0/24"}
NAME = "sandbox"

# The value of `iss` in the API server's tokens (its flag --service-account-issuer).
OIDC_ISSUER = "https://kubernetes.default.svc"
# The audience that EKS's webhook requests.
OIDC_AUDIENCE = "sts.amazonaws.com"
# STS verifies with the cluster's keys; the API requires a thumbprint but ignores it, as for issuers with a public CA.
UNUSED_THUMBPRINT = "0" * 40

# The cluster's name in EKS: Pod Identity associations belong to it.
CLUSTER = "sandbox"


@dataclass(frozen=True)
class LandingZone:
    vpc_id: str
    subnet_ids: list[str]
    client_security_group_id: str
    oidc_provider_arn: str
    cluster_name: str


def client(service: str, url: str) -> Any:
    """A client of the account's administrator. moto accepts any key that is not a session's."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        # moto routes by the scope of the signature; it does not check who signed.
        aws_access_key_id=administrator.ACCESS_KEY_ID,
        aws_secret_access_key=administrator.SECRET_ACCESS_KEY,
    )


def ensure(url: str) -> LandingZone:
    ec2 = client("ec2", url)
    vpc = _found(ec2.describe_vpcs(Filters=_named(NAME))["Vpcs"])
    if vpc is None:
        vpc = ec2.create_vpc(CidrBlock=NETWORK, TagSpecifications=_tags("vpc", NAME))["Vpc"]
        ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
    vpc_id = vpc["VpcId"]
    subnet_ids = []
    for zone, network in SUBNETS.items():
        name = f"{NAME}-private-{zone}"
        subnet = _found(ec2.describe_subnets(Filters=_named(name))["Subnets"])
        if subnet is None:
            subnet = ec2.create_subnet(
                VpcId=vpc_id,
                CidrBlock=network,
                AvailabilityZone=f"{REGION}{zone}",
                TagSpecifications=_tags("subnet", name),
            )["Subnet"]
        subnet_ids.append(subnet["SubnetId"])
    name = f"{NAME}-cluster-nodes"
    group = _found(ec2.describe_security_groups(Filters=_named(name))["SecurityGroups"])
    if group is None:
        group = ec2.create_security_group(
            GroupName=name,
            Description="The nodes of the cluster: who may reach the database",
            VpcId=vpc_id,
            TagSpecifications=_tags("security-group", name),
        )
    return LandingZone(
        vpc_id, subnet_ids, group["GroupId"], _ensure_oidc_provider(url), _ensure_cluster(url, subnet_ids)
    )


def _ensure_oidc_provider(url: str) -> str:
    iam = client("iam", url)
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{OIDC_ISSUER.removeprefix('https://')}"
    if arn not in [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]:
        iam.create_open_id_connect_provider(
            Url=OIDC_ISSUER, ClientIDList=[OIDC_AUDIENCE], ThumbprintList=[UNUSED_THUMBPRINT]
        )
    return arn


def _ensure_cluster(url: str, subnet_ids: list[str]) -> str:
    eks = client("eks", url)
    if CLUSTER not in eks.list_clusters()["clusters"]:
        eks.create_cluster(
            name=CLUSTER,
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/{CLUSTER}-cluster",
            resourcesVpcConfig={"subnetIds": subnet_ids},
        )
    return CLUSTER


def _named(name: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:Name", "Values": [name]}]


def _tags(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def _found(items: list[Any]) -> Any | None:
    return items[0] if items else None
