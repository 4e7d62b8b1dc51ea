"""The program under Pulumi's own mocks, used as Pulumi's documentation describes unit tests: call `set_mocks`, set the
configuration, run the program's file. This project's own monitor is not used: it starts a program as the engine's host
does."""

from __future__ import annotations

import gc
import os
import runpy
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import settings, stack

from tests.unit.monitor import PROJECT, STACK, configuration_by_key, own_event_loop
from tests.unit.program.stack import ROOT, configuration, host_authority

PEM = host_authority()
# Computed values of the types whose outputs the program reads; every other type returns its inputs.
COMPUTED: dict[str, dict[str, Any]] = {
    "random:index/randomPassword:RandomPassword": {"result": "r" * 40},
    "tls:index/privateKey:PrivateKey": {"privateKeyPem": "key"},
    "tls:index/certRequest:CertRequest": {"certRequestPem": "request"},
    "tls:index/selfSignedCert:SelfSignedCert": {"certPem": PEM, "validityEndTime": "2036-11-19T00:00:00Z"},
    "tls:index/locallySignedCert:LocallySignedCert": {"certPem": PEM, "validityEndTime": "2036-11-19T00:00:00Z"},
    "aws:kms/key:Key": {"arn": "arn:aws:kms:us-east-1:123456789012:key/0"},
    "aws:iam/role:Role": {"arn": "arn:aws:iam::123456789012:role/r", "name": "r"},
    "aws:rds/instance:Instance": {
        "address": "db.example.com",
        "endpoint": "db.example.com:5432",
        "arn": "arn:aws:rds:us-east-1:123456789012:db:d",
        "resourceId": "db-0",
        "masterUserSecrets": [{"secretArn": "arn:aws:secretsmanager:s", "kmsKeyId": "arn:k", "secretStatus": "active"}],
    },
}


class PlainMocks(pulumi.runtime.Mocks):
    def __init__(self) -> None:
        self.made: set[str] = set()

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made.add(args.name)
        return f"{args.name}-id", {**args.inputs, **COMPUTED.get(args.typ, {})}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        return {}, None


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory in which the program runs. The fixture restores what the program changes in this process."""
    collecting = gc.isenabled()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(traceback, "extract_stack", traceback.extract_stack)
    monkeypatch.setattr(pulumi.log, "debug", pulumi.log.debug)
    monkeypatch.setattr(stack, "wait_for_rpcs", stack.wait_for_rpcs)
    with own_event_loop():
        # `set_mocks` keeps the root stack of an earlier test, which belongs to that test's event loop.
        settings.set_root_resource(None)  # type: ignore[arg-type]
        yield tmp_path
        settings.set_root_resource(None)  # type: ignore[arg-type]
    if collecting:
        gc.enable()


@pytest.mark.parametrize("imported", [True, False], ids=["imported by the test's module", "run by the test"])
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_the_whole_stack_is_registered(directory: Path, preview: bool, imported: bool) -> None:
    mocks = PlainMocks()
    config = configuration_by_key(configuration(directory))
    pulumi.runtime.set_mocks(mocks, project=PROJECT, stack=STACK, preview=preview)
    pulumi.runtime.set_all_config(config)
    exports: dict[str, Any] = {}

    def program() -> None:
        runpy.run_path(os.fspath(ROOT / "__main__.py"), run_name="__main__")

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def whole() -> pulumi.Output[Any]:
        if not imported:
            program()
        root = settings.get_root_resource()
        assert isinstance(root, pulumi.runtime.stack.Stack)
        return pulumi.Output.from_input(root.outputs).apply(exports.update)

    if imported:
        program()
    whole()
    assert {"namespace-namespace", "certificates-server", "database-instance", "database-access-job"} <= mocks.made
    if not preview:
        # A preview does not wait for an export that is unknown.
        assert {"access-graph-release", "database-logins-job"} <= mocks.made
        assert exports["databaseEndpoint"] == "db.example.com:5432"
        assert exports["ledger"]["version"] == 1


def test_what_it_refuses_is_said_once_and_ends_it(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    mocks = PlainMocks()
    pulumi.runtime.set_mocks(mocks, project=PROJECT, stack=STACK)
    pulumi.runtime.set_all_config(configuration_by_key({**configuration(directory), "kubernetes": {}}))
    with pytest.raises(SystemExit):
        runpy.run_path(os.fspath(ROOT / "__main__.py"), run_name="__main__")
    assert caplog.text.count("kubernetes.context: is missing") == 1
    assert mocks.made == set()
