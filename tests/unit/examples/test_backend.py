"""The stack that makes the state backend: encrypted, private, and nothing in it is deleted by accident."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, record

pytestmark = [pytest.mark.unit, pytest.mark.slow]

EXAMPLE = Path(__file__).parents[3] / "examples" / "backend"
BUCKET = "acme-dev-pulumi-state"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"
# docs/environments.md tells users to write these into Pulumi.dev.yaml and commit them. The tests use values of their
# own, so that none fails because of a user's file.
CONFIG = {"region": "eu-central-1", "accountId": "123456789012", "bucket": BUCKET}
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/key"
COMPUTED: dict[str, dict[str, Any]] = {
    **COMPUTED_OUTPUTS,
    "aws:s3/bucket:Bucket": {"arn": BUCKET_ARN},
    "aws:iam/policy:Policy": {"arn": "arn:aws:iam::123456789012:policy/{name}"},
}


def example(**changes: Any) -> Recording:
    return record(
        lambda: runpy.run_path(str(EXAMPLE / "__main__.py")) and None,
        project=yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text())["name"],
        config={**CONFIG, **changes},
        computed=COMPUTED,
    )


def test_the_sample_has_every_setting() -> None:
    sample = yaml.safe_load((EXAMPLE / "Pulumi.dev.yaml").read_text())["config"]
    assert {f"teleport-access-graph-backend:{name}" for name in CONFIG} <= sample.keys()


def statements(recording: Recording, name: str) -> dict[str, dict[str, Any]]:
    """The statements of a resource's policy, by name."""
    document = json.loads(recording[name].plain("policy"))
    assert document["Version"] == "2012-10-17"
    return {statement.get("Sid", str(index)): statement for index, statement in enumerate(document["Statement"])}


@pytest.mark.slow
def test_it_makes_a_bucket_a_key_and_what_protects_them_and_nothing_else() -> None:
    assert sorted(item.type for item in example().custom()) == [
        "aws:iam/policy:Policy",
        "aws:iam/policy:Policy",
        "aws:kms/alias:Alias",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
    ]


@pytest.mark.slow
def test_everything_goes_through_the_provider_of_the_one_account() -> None:
    recording = example()
    (provider,) = recording.of_type("pulumi:providers:aws")
    assert json.loads(provider.plain("allowedAccountIds")) == ["123456789012"]
    assert {item.provider.rpartition("::")[0] for item in recording.custom()} == {provider.urn}


@pytest.mark.slow
def test_states_keep_their_versions_for_a_quarter() -> None:
    recording = example()
    assert recording["bucket-versions"].plain("versioningConfiguration.status") == "Enabled"
    (rule,) = recording["bucket-lifecycle"].plain("rules")
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    assert "expiration" not in rule
    assert "bucket-versions" in recording.edges()["bucket-lifecycle"]


def test_states_are_encrypted_with_the_accounts_own_key_that_rotates() -> None:
    recording = example()
    (rule,) = recording["bucket-encryption"].plain("rules")
    assert rule == {
        "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY_ARN},
        "bucketKeyEnabled": True,
    }
    assert recording["key"].plain("enableKeyRotation") is True


@pytest.mark.slow
def test_nobody_outside_can_look_in() -> None:
    recording = example()
    private = recording["bucket-private"].inputs
    assert {key: value for key, value in private.items() if key != "bucket"} == dict.fromkeys(
        ["blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"], True
    )
    assert recording["bucket-ownership"].plain("rule.objectOwnership") == "BucketOwnerEnforced"
    assert "bucket-private" in recording.edges()["bucket-policy"]


def test_the_buckets_policy_only_forbids() -> None:
    rules = statements(example(), "bucket-policy")
    assert {rule["Effect"] for rule in rules.values()} == {"Deny"}
    assert all(rule["Resource"] == [BUCKET_ARN, f"{BUCKET_ARN}/*"] for rule in rules.values())
    assert all(rule["Principal"] == "*" for rule in rules.values())
    assert {name: (rule["Action"], rule.get("Condition")) for name, rule in rules.items()} == {
        "InClear": (["s3:*"], {"Bool": {"aws:SecureTransport": "false"}}),
        "ByAnOldTls": (["s3:*"], {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
        "WithAnotherEncryption": (
            ["s3:PutObject"],
            {
                "Null": {"s3:x-amz-server-side-encryption": "false"},
                "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN},
            },
        ),
        "WithAnotherKey": (
            ["s3:PutObject"],
            {
                "Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"},
                "StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": KEY_ARN},
            },
        ),
        "WithAKeyOfTheWriters": (
            ["s3:PutObject"],
            {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}},
        ),
        "Deletion": (["s3:DeleteBucket", "s3:DeleteObjectVersion"], None),
    }


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({}, False),
        ({"": "aws:kms", "-aws-kms-key-id": KEY_ARN}, False),
        ({"": "AES256"}, True),
        ({"": "aws:kms"}, True),
        ({"": "aws:kms", "-aws-kms-key-id": "arn:aws:kms:us-east-1:210987654321:key/other"}, True),
        ({"-customer-algorithm": "AES256"}, True),
    ],
)
def test_a_state_is_written_with_the_buckets_key_or_not_at_all(headers: dict[str, str], refused: bool) -> None:
    """Judged as IAM does: for a negated condition, a missing key counts as a different value."""
    request = {f"s3:x-amz-server-side-encryption{name}": value for name, value in headers.items()}
    judges = {
        "Null": lambda key, value: (key not in request) == (value == "true"),
        "StringNotEquals": lambda key, value: request.get(key) != value,
    }
    asked = [rule["Condition"] for rule in statements(example(), "bucket-policy").values() if "Condition" in rule]
    own = [condition for condition in asked if set(condition) <= set(judges)]
    assert refused == any(
        all(judges[operator](key, value) for operator, keys in condition.items() for key, value in keys.items())
        for condition in own
    )


def test_neither_bucket_nor_key_is_deleted_in_passing() -> None:
    recording = example()
    assert {item.name for item in recording.custom() if item.protect} == {"bucket", "key"}
    assert recording["bucket"].plain("forceDestroy") is False
    assert recording["key"].plain("deletionWindowInDays") == 30


def test_who_gives_them_up_has_to_say_so_first() -> None:
    recording = example(protect=False)
    assert [item.name for item in recording.custom() if item.protect] == []
    assert "Deletion" not in statements(recording, "bucket-policy")
    assert recording["bucket"].plain("forceDestroy") is False


@pytest.mark.parametrize(("region", "partition"), [("eu-central-1", "aws"), ("cn-north-1", "aws-cn")])
def test_the_key_is_the_accounts_whatever_becomes_of_its_roles(region: str, partition: str) -> None:
    (statement,) = statements(example(region=region), "key").values()
    assert statement["Principal"] == {"AWS": f"arn:{partition}:iam::123456789012:root"}


@pytest.mark.parametrize(
    ("name", "objects", "keys"),
    [
        ("state-reader", ["s3:GetObject"], ["kms:Decrypt"]),
        (
            "state-writer",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
            ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey"],
        ),
    ],
)
def test_a_preview_may_read_and_a_deployment_write(name: str, objects: list[str], keys: list[str]) -> None:
    allowed = {rule["Resource"]: (rule["Effect"], rule["Action"]) for rule in statements(example(), name).values()}
    assert allowed == {
        BUCKET_ARN: ("Allow", ["s3:ListBucket"]),
        f"{BUCKET_ARN}/*": ("Allow", objects),
        KEY_ARN: ("Allow", keys),
    }


def test_what_comes_out_is_what_the_next_commands_take() -> None:
    assert example().outputs == {
        "backendUrl": f"s3://{BUCKET}?region=eu-central-1&awssdk=v2",
        "secretsProvider": f"awskms:///{KEY_ARN}?region=eu-central-1&awssdk=v2",
        "stateReaderPolicyArn": "arn:aws:iam::123456789012:policy/state-reader",
        "stateWriterPolicyArn": "arn:aws:iam::123456789012:policy/state-writer",
    }


@pytest.mark.slow
def test_each_object_that_takes_tags_says_whose_it_is() -> None:
    tagged = [item for item in example().custom() if "tags" in item.inputs]
    assert {item.name for item in tagged} == {"bucket", "key", "state-reader", "state-writer"}
    whose = {"teleport-access-graph:stack": "organization/teleport-access-graph-backend/dev"}
    assert all(item.plain("tags") == whose for item in tagged)
