"""A bucket for states and a key for their secrets in the sandbox's cloud, as docs/environments.md sets up on AWS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import aws


@dataclass(frozen=True)
class StateInS3:
    bucket: str
    key_arn: str
    region: str

    def backend(self, endpoint: str) -> str:
        """The backend's URL where S3 answers at `endpoint`."""
        return f"s3://{self.bucket}?{self._at(endpoint)}&use_path_style=true"

    def secrets_provider(self, endpoint: str) -> str:
        """The secrets provider's URL where KMS answers at `endpoint`."""
        return f"awskms:///{self.key_arn}?{self._at(endpoint)}"

    def _at(self, endpoint: str) -> str:
        return f"region={self.region}&awssdk=v2&endpoint={endpoint}"


@contextmanager
def state_in_s3(sandbox: RunningSandbox, bucket: str) -> Iterator[StateInS3]:
    """Creates both, and removes them at the end."""
    kms, s3 = aws(sandbox, "kms"), aws(sandbox, "s3")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    s3.create_bucket(Bucket=bucket)
    try:
        yield StateInS3(bucket, key, sandbox.cloud().region)
    finally:
        for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=found["Key"])
        s3.delete_bucket(Bucket=bucket)
        kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)


def without_a_stack(sandbox: RunningSandbox) -> dict[str, str]:
    """The sandbox's environment for another backend: with its engine, without its own stack and passphrase."""
    environment = sandbox.environment()
    for name in ("PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_STACK"):
        del environment[name]
    path = os.pathsep.join([str(sandbox.home.bin), environment.get("PATH", os.defpath)])
    return {**environment, "PATH": path}
