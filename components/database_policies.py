"""Policy documents for the database's KMS key, SNS topic and IAM roles, in the AWS partition of the region.

Pure functions. `database.py` makes the key, `database_monitoring.py` the topic and a role, `workload_identity.py` the
other roles.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from components.settings.formats import dns_suffix_of, partition_of
from components.settings.names import replica_identifier

# The services that send RDS's events and CloudWatch's alarms.
PUBLISHERS = ("events.rds.amazonaws.com", "cloudwatch.amazonaws.com")


def role_name_prefix(identifier: str) -> str:
    """At most 38 characters, since the provider appends 26 and IAM allows 64 in a role's name."""
    return f"{identifier[:37]}-"


def logs_principal(region: str) -> str:
    """CloudWatch Logs has its own service principal in each region."""
    return f"logs.{region}.{dns_suffix_of(region)}"


def key_policy(*, region: str, account_id: str, identifier: str) -> str:
    """The account's IAM policies decide over the key. CloudWatch Logs may use it only for the log groups of this
    instance and its replica, and services that publish to the account's topics only to encrypt their messages.
    """
    partition = partition_of(region)
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Account",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:{partition}:iam::{account_id}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Sid": "Logs",
                    "Effect": "Allow",
                    "Principal": {"Service": logs_principal(region)},
                    "Action": [
                        "kms:Encrypt*",
                        "kms:Decrypt*",
                        "kms:ReEncrypt*",
                        "kms:GenerateDataKey*",
                        "kms:Describe*",
                    ],
                    "Resource": "*",
                    "Condition": {
                        "ArnLike": {
                            "kms:EncryptionContext:aws:logs:arn": [
                                f"arn:{partition}:logs:{region}:{account_id}:log-group:/aws/rds/instance/{name}/*"
                                for name in (identifier, replica_identifier(identifier))
                            ]
                        }
                    },
                },
                {
                    "Sid": "Publish",
                    "Effect": "Allow",
                    "Principal": {"Service": list(PUBLISHERS)},
                    "Action": ["kms:Decrypt", "kms:GenerateDataKey*"],
                    "Resource": "*",
                    "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
                },
            ],
        }
    )


def monitoring_trust(*, region: str, account_id: str, identifiers: Sequence[str]) -> str:
    """RDS may assume the role only for these instances (AWS's guard against the confused deputy)."""
    instances = [f"arn:{partition_of(region)}:rds:{region}:{account_id}:db:{identifier}" for identifier in identifiers]
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "monitoring.rds.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                    "Condition": {
                        "StringEquals": {
                            "aws:SourceAccount": account_id,
                            "aws:SourceArn": instances[0] if len(instances) == 1 else instances,
                        }
                    },
                }
            ],
        }
    )


def topic_policy(*, topic_arn: str, account_id: str) -> str:
    """By this policy only RDS's events and CloudWatch's alarms of this account may publish.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.GrantingPermissions.html
    """
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "Publish",
                    "Effect": "Allow",
                    "Principal": {"Service": list(PUBLISHERS)},
                    "Action": "sns:Publish",
                    "Resource": topic_arn,
                    "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
                }
            ],
        }
    )


def service_account_trust(*, oidc_provider_arn: str, namespace: str, service_account: str) -> str:
    """Trust policy for exactly this ServiceAccount, by a token made for STS (IAM roles for service accounts)."""
    _, marker, issuer = oidc_provider_arn.partition(":oidc-provider/")
    if not marker or not issuer:
        raise ValueError(
            f"oidc_provider_arn: {oidc_provider_arn!r} is no OIDC provider's ARN; give "
            f"arn:<partition>:iam::<account>:oidc-provider/<issuer without https://>"
        )
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Federated": oidc_provider_arn},
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Condition": {
                        "StringEquals": {
                            f"{issuer}:sub": f"system:serviceaccount:{namespace}:{service_account}",
                            f"{issuer}:aud": "sts.amazonaws.com",
                        }
                    },
                }
            ],
        }
    )


def pod_identity_trust(*, region: str, account_id: str, cluster_name: str, namespace: str, service_account: str) -> str:
    """Trust policy for EKS Pod Identity: exactly this ServiceAccount, by the session tags with which EKS assumes the
    role. Without the conditions, anyone who may make associations in the account could give the role to other pods.

    https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
    """
    cluster = f"arn:{partition_of(region)}:eks:{region}:{account_id}:cluster/{cluster_name}"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "pods.eks.amazonaws.com"},
                    "Action": ["sts:AssumeRole", "sts:TagSession"],
                    "Condition": {
                        "StringEquals": {
                            "aws:RequestTag/eks-cluster-arn": cluster,
                            "aws:RequestTag/kubernetes-namespace": namespace,
                            "aws:RequestTag/kubernetes-service-account": service_account,
                        }
                    },
                }
            ],
        }
    )


def database_login_policy(*, region: str, account_id: str, resource_ids: Sequence[str], user: str) -> str:
    """Allows logging in to these instances by IAM, as this user and no other."""
    prefix = f"arn:{partition_of(region)}:rds-db:{region}:{account_id}:dbuser"
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "rds-db:connect",
                    "Resource": [f"{prefix}:{resource_id}/{user}" for resource_id in resource_ids],
                }
            ],
        }
    )


def secret_reader_policy(*, secret_arn: str, kms_key_arn: str) -> str:
    """Allows reading one secret, and using its encryption key for this secret and no other.

    Secrets Manager names the secret in each request to KMS:
    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
    """
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret_arn},
                {
                    "Effect": "Allow",
                    "Action": "kms:Decrypt",
                    "Resource": kms_key_arn,
                    "Condition": {"StringEquals": {"kms:EncryptionContext:SecretARN": secret_arn}},
                },
            ],
        }
    )
