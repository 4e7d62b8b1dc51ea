"""moto's server in this process, on a free loopback port, and a provider configured for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
import requests
from moto.ec2.models import ec2_backends
from moto.rds.models import RDSBackend
from moto.server import ThreadedMotoServer

from sandbox.cloud import event_subscriptions
from sandbox.cloud.neighbours import AccountEC2
from sandbox.plugins.aws.provider import AwsProvider
from sandbox.plugins.aws.resources import INSTANCE, KEY, PARAMETER_GROUP, SECURITY_GROUP, SUBNET_GROUP
from sandbox.plugins.values import Properties

REGION = "us-east-1"
ACCOUNT = "123456789012"
SEED = bytes.fromhex("0123456789abcdef0123456789abcdef")
CREDENTIALS = {"accessKey": "testing", "secretKey": "testing"}


@dataclass
class Made:
    """A resource as the engine holds it."""

    type: str
    id: str
    inputs: Properties
    outputs: Properties


class Engine:
    """Calls a provider in the order that Pulumi's engine does."""

    def __init__(self, provider: AwsProvider) -> None:
        self.provider = provider

    def check(self, type_: str, inputs: Properties, olds: Properties | None = None, name: str = "thing") -> Properties:
        result = self.provider.check(f"urn:pulumi:dev::project::{type_}::{name}", type_, olds or {}, inputs, SEED)
        assert result.failures == []
        return result.inputs

    def create(self, type_: str, **inputs: Any) -> Made:
        checked = self.check(type_, inputs)
        id_, outputs = self.provider.create("urn", type_, checked, 0, False)
        made = Made(type_, id_, checked, outputs)
        assert not self.diff(made, **inputs).changes, "what was just made needs no change"
        return made

    def diff(self, made: Made, **inputs: Any) -> Any:
        checked = self.check(made.type, inputs, made.inputs)
        return self.provider.diff("urn", made.type, made.id, made.inputs, made.outputs, checked, [])

    def update(self, made: Made, **inputs: Any) -> Made:
        checked = self.check(made.type, inputs, made.inputs)
        difference = self.diff(made, **inputs)
        assert difference.changes
        assert difference.replaces == []
        outputs = self.provider.update("urn", made.type, made.id, made.inputs, made.outputs, checked, 0, False, [])
        updated = Made(made.type, made.id, checked, outputs)
        assert not self.diff(updated, **inputs).changes, "what was just updated needs no change"
        return updated

    def refresh(self, made: Made) -> Made | None:
        found = self.provider.read("urn", made.type, made.id, made.inputs, made.outputs)
        return None if found is None else Made(made.type, *found)

    def delete(self, made: Made) -> None:
        self.provider.delete("urn", made.type, made.id, made.inputs, made.outputs, 0)
        assert self.refresh(made) is None


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    modify = RDSBackend.modify_db_subnet_group

    def modify_and_keep(self: RDSBackend, subnet_name: str, description: str, subnets: list[Any]) -> Any:
        # moto drops the changed group from its list.
        self.subnet_groups[subnet_name] = modify(self, subnet_name, description, subnets)
        return self.subnet_groups[subnet_name]

    RDSBackend.modify_db_subnet_group = modify_and_keep  # type: ignore[method-assign]
    event_subscriptions.install()
    network = ec2_backends.backend
    ec2_backends.backend = AccountEC2
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()
    ec2_backends.backend = network
    RDSBackend.modify_db_subnet_group = modify  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def configured(server: str) -> AwsProvider:
    """One provider for all tests, because boto3 takes longer to make its clients than moto to answer."""
    provider = AwsProvider()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", server)
        environment.delenv("AWS_PROFILE", raising=False)
        provider.configure({"region": REGION, "allowedAccountIds": json.dumps([ACCOUNT]), **CREDENTIALS})
        for service in ("rds", "ec2", "iam", "kms", "logs"):
            provider._connected.client(service)
    return provider


@functools.cache
def observer(server: str, service: str) -> Any:
    return boto3.client(
        service, REGION, endpoint_url=server, aws_access_key_id="testing", aws_secret_access_key="testing"
    )


@pytest.fixture
def cloud(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty account."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    requests.post(f"{server}/moto-api/reset", timeout=10).raise_for_status()
    return server


@pytest.fixture
def engine(cloud: str, configured: AwsProvider) -> Engine:
    return Engine(configured)


@pytest.fixture
def aws(cloud: str) -> Any:
    """Returns boto3's client of a service, to see what really exists."""
    return functools.partial(observer, cloud)


@pytest.fixture
def instance_inputs(engine: Engine, aws: Any) -> Properties:
    """Inputs of an instance for which everything else that it needs has been created."""
    vpc = aws("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        aws("ec2").create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for index, zone in enumerate("ab")
    ]
    key = engine.create(KEY, description="database", enableKeyRotation=True)
    return {
        "identifier": "graph",
        "engine": "postgres",
        "engineVersion": "17",
        "instanceClass": "db.t4g.medium",
        "allocatedStorage": 20,
        "maxAllocatedStorage": 100,
        "storageType": "gp3",
        "storageEncrypted": True,
        "kmsKeyId": key.outputs["arn"],
        "dbName": "access_graph",
        "username": "tag_admin",
        "port": 5432,
        "manageMasterUserPassword": True,
        "masterUserSecretKmsKeyId": key.outputs["arn"],
        "dbSubnetGroupName": engine.create(SUBNET_GROUP, namePrefix="graph-", subnetIds=subnets).id,
        "vpcSecurityGroupIds": [engine.create(SECURITY_GROUP, namePrefix="graph-", vpcId=vpc).id],
        "parameterGroupName": engine.create(PARAMETER_GROUP, namePrefix="graph-", family="postgres17").id,
        "backupRetentionPeriod": 7,
        "enabledCloudwatchLogsExports": ["upgrade", "postgresql"],
        "deletionProtection": True,
        "skipFinalSnapshot": False,
        "finalSnapshotIdentifier": "graph-final-1",
        "tags": {"Stack": "dev"},
    }


__all__ = ["ACCOUNT", "CREDENTIALS", "INSTANCE", "REGION", "SEED", "Engine", "Made"]
