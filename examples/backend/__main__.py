"""The bucket and the KMS key of a state backend in S3: one of each for an AWS account.

Owns the protection of states: versions, encryption, no public access, TLS only, and no accidental deletion of the
bucket, the key or an old version. Makes two IAM policies for using them; attaching those to roles is left to others.
"""

import json
from typing import Any

import pulumi
import pulumi_aws as aws

# The longest that AWS allows. Until then a deletion by mistake can be cancelled.
KEY_DELETION_DAYS = 30
# How long overwritten states are kept. Nobody needs more than a quarter to notice that a state was lost.
OLD_VERSION_DAYS = 90

config = pulumi.Config()
region = config.require("region")
account = config.require("accountId")
# Whether bucket and key refuse to be deleted. docs/environments.md says how to give them up.
protect = config.get_bool("protect", True)
partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"

provider = aws.Provider("aws", region=region, allowed_account_ids=[account])
inside = pulumi.ResourceOptions(provider=provider)
precious = pulumi.ResourceOptions(provider=provider, protect=protect)
tags = {"teleport-access-graph:stack": "/".join([pulumi.get_organization(), pulumi.get_project(), pulumi.get_stack()])}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def bucket_rules(bucket_arn: str, key_arn: str) -> str:
    """The bucket policy: what is denied to everybody, whatever their role allows."""

    def nobody(sid: str, actions: list[str], condition: dict[str, Any] | None) -> dict[str, Any]:
        statement = {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": actions,
            "Resource": [bucket_arn, f"{bucket_arn}/*"],
        }
        return statement if condition is None else {**statement, "Condition": condition}

    encryption = "s3:x-amz-server-side-encryption"
    key_id = f"{encryption}-aws-kms-key-id"
    rules = [
        nobody("InClear", ["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}),
        nobody("ByAnOldTls", ["s3:*"], {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        # A request that names no encryption gets the bucket's. One that names KMS but no key would get AWS's own key;
        # it is denied, because StringNotEquals also matches when the key is not named.
        nobody(
            "WithAnotherEncryption",
            ["s3:PutObject"],
            {"Null": {encryption: "false"}, "StringNotEquals": {key_id: key_arn}},
        ),
        nobody("WithAnotherKey", ["s3:PutObject"], {"Null": {key_id: "false"}, "StringNotEquals": {key_id: key_arn}}),
        # The rules above do not match a key that comes with the request (SSE-C), with which a writer could make states
        # unreadable to everybody else.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
        nobody("WithAKeyOfTheWriters", ["s3:PutObject"], {"Null": {f"{encryption}-customer-algorithm": "false"}}),
    ]
    if protect:
        rules.append(nobody("Deletion", ["s3:DeleteBucket", "s3:DeleteObjectVersion"], None))
    return document(*rules)


def state_access(bucket_arn: str, key_arn: str, *, write: bool) -> str:
    """A policy for previews, which take no lock and write nothing, or with `write` for deployments.

    Whoever may decrypt can read the secrets of every stack in the bucket.
    """
    objects = ["s3:GetObject", *(["s3:PutObject", "s3:DeleteObject"] if write else [])]
    # Encrypt: `stack init` and a change of the secrets provider encrypt the stack's own key. GenerateDataKey: each
    # write to the bucket needs a data key.
    keys = ["kms:Decrypt", *(["kms:Encrypt", "kms:GenerateDataKey"] if write else [])]
    return document(
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": bucket_arn},
        {"Effect": "Allow", "Action": objects, "Resource": f"{bucket_arn}/*"},
        {"Effect": "Allow", "Action": keys, "Resource": key_arn},
    )


key = aws.kms.Key(
    "key",
    description="States of Pulumi stacks, and the secrets in them",
    enable_key_rotation=True,
    deletion_window_in_days=KEY_DELETION_DAYS,
    # The account's IAM decides who may use the key. If the policy named a role, deleting that role could leave nobody
    # with access.
    policy=document(
        {
            "Sid": "AccountDecides",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ),
    tags=tags,
    opts=precious,
)
aws.kms.Alias("key-alias", name="alias/pulumi-state", target_key_id=key.key_id, opts=inside)

bucket = aws.s3.Bucket("bucket", bucket=config.require("bucket"), force_destroy=False, tags=tags, opts=precious)
private = aws.s3.BucketPublicAccessBlock(
    "bucket-private",
    bucket=bucket.bucket,
    block_public_acls=True,
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=True,
    opts=inside,
)
aws.s3.BucketOwnershipControls(
    "bucket-ownership", bucket=bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=inside
)
versions = aws.s3.BucketVersioning(
    "bucket-versions", bucket=bucket.bucket, versioning_configuration={"status": "Enabled"}, opts=inside
)
encryption = aws.s3.BucketServerSideEncryptionConfiguration(
    "bucket-encryption",
    bucket=bucket.bucket,
    rules=[
        {
            "apply_server_side_encryption_by_default": {"sse_algorithm": "aws:kms", "kms_master_key_id": key.arn},
            # With a bucket key, one call to KMS serves many objects.
            "bucket_key_enabled": True,
        }
    ],
    opts=inside,
)
aws.s3.BucketLifecycleConfiguration(
    "bucket-lifecycle",
    bucket=bucket.bucket,
    rules=[
        {
            "id": "old-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSION_DAYS},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        }
    ],
    # S3 refuses rules for old versions while versioning is off.
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[versions]),
)
policy = aws.s3.BucketPolicy(
    "bucket-policy",
    bucket=bucket.bucket,
    policy=pulumi.Output.all(bucket.arn, key.arn).apply(lambda arns: bucket_rules(*arns)),
    # S3 refuses this and the public access block at the same time: "a conflicting operation is in progress".
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[private]),
)
access = {
    name: aws.iam.Policy(
        name,
        description=description,
        policy=pulumi.Output.all(bucket.arn, key.arn).apply(lambda arns, write=write: state_access(*arns, write=write)),
        tags=tags,
        opts=inside,
    )
    for name, description, write in (
        ("state-reader", "Previews of Pulumi stacks: read states", False),
        ("state-writer", "Deployments of Pulumi stacks: read and write states", True),
    )
}

# The outputs wait until the bucket is fully protected, so that nobody uses it before.
ready = pulumi.Output.all(bucket.bucket, versions.id, encryption.id, policy.id).apply(lambda made: made[0])
pulumi.export("backendUrl", ready.apply(lambda name: f"s3://{name}?region={region}&awssdk=v2"))
pulumi.export("secretsProvider", key.arn.apply(lambda arn: f"awskms:///{arn}?region={region}&awssdk=v2"))
pulumi.export("stateReaderPolicyArn", access["state-reader"].arn)
pulumi.export("stateWriterPolicyArn", access["state-writer"].arn)
