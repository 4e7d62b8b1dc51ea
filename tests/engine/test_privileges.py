"""The stack with the rights that `python -m operations privileges` writes, on a real API server: with them a deployment
can make, change and delete, a preview can read, and a dry run writes nothing.

The shared stack adopts its Teleport, has a namespace of its own and both charts, so these tests ask for everything that
a deployment needs in Kubernetes. They compare its AWS calls with the policy by action.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from operations.preview.comment import NOT_VALIDATED
from operations.privileges.iam import policies
from operations.privileges.purposes import Purpose
from operations.privileges.rbac import group_name
from operations.stack import read_stack_file
from sandbox.home import CHECKOUT
from sandbox.pki import Authority, Pair
from tests.engine.conftest import Finished, RunningSandbox
from tests.engine.stacks import aws_position

pytestmark = pytest.mark.engine

# Service name in signed requests -> IAM's name, where the two differ.
PREFIXES = {"monitoring": "cloudwatch"}

# Calls that need no right of the deployment's: those that everyone may make, and those of pods. The access Job, for
# example, reads the master password with a role of its own.
NOT_OF_THE_DEPLOYMENT = {
    "secretsmanager:GetSecretValue",
    # Allowed to everyone: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
    "sts:GetCallerIdentity",
    "sts:AssumeRoleWithWebIdentity",
}


class Identity:
    """A person with the rights of one purpose: a client certificate, from the cluster's CA, that names the group."""

    def __init__(self, sandbox: RunningSandbox, purpose: Purpose, directory: Path) -> None:
        self.sandbox = sandbox
        self.purpose = purpose
        self.user = f"test-{purpose.value}"
        group = group_name(sandbox.stack_name, purpose)
        pair = _cluster_authority(sandbox).issue(directory, self.user, self.user, organizations=(group,))
        kubeconfig = yaml.safe_load(sandbox.home.kubeconfig.read_text())
        kubeconfig["users"][0]["user"] = {
            "client-certificate": str(pair.certificate),
            "client-key": str(pair.key),
        }
        self.kubeconfig = directory / f"{self.user}.kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(kubeconfig))

    def pulumi(self, *arguments: str, check: bool = True) -> Finished:
        return _as(self).pulumi(*arguments, check=check)

    def operations(self, command: str, *arguments: str, check: bool = True) -> Finished:
        return _as(self).operations(command, *arguments, check=check)

    def kubectl(self, *arguments: str, check: bool = True) -> Finished:
        return _as(self).kubectl(*arguments, check=check)

    def requests(self, since: int) -> list[dict[str, Any]]:
        """This person's requests in the API server's audit log, which has all writes, including dry runs."""
        lines = self.sandbox.home.audit_log.read_text().splitlines()[since:]
        return [event for event in map(json.loads, lines) if event["user"]["username"] == self.user]


class _Acting(RunningSandbox):
    """The sandbox with the identity's kubeconfig in its environment."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity.sandbox.home, identity.sandbox.configuration)
        self._kubeconfig = identity.kubeconfig

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "KUBECONFIG": str(self._kubeconfig)}


def _as(identity: Identity) -> _Acting:
    return _Acting(identity)


def _cluster_authority(sandbox: RunningSandbox) -> Authority:
    files = Pair(sandbox.home.pki / "ca.crt", sandbox.home.pki / "ca.key")
    key: Any = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    return Authority(files, x509.load_pem_x509_certificate(files.certificate.read_bytes()), key)


@pytest.fixture(scope="module")
def identities(deployed: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Purpose, Identity]]:
    """An identity for each purpose with rights in Kubernetes. The administrator has applied what the command writes."""
    directory = tmp_path_factory.mktemp("identities")
    os.chmod(directory, 0o700)
    purposes = (Purpose.PREVIEW, Purpose.VALIDATED_PREVIEW, Purpose.DRIFT, Purpose.DEPLOY)
    for purpose in purposes:
        deployed.operations("privileges", "--for", purpose.value, "--out", str(directory / "rights"))
    files = sorted((directory / "rights").glob("*.yaml"))
    assert len(files) == len(purposes)
    arguments = [argument for file in files for argument in ("--filename", str(file))]
    deployed.kubectl("apply", *arguments)
    configuration = deployed.configuration.read_text()
    try:
        yield {purpose: Identity(deployed, purpose, directory) for purpose in purposes}
    finally:
        if deployed.configuration.read_text() != configuration:
            deployed.configuration.write_text(configuration)
            deployed.pulumi("up")
        deployed.kubectl("delete", *arguments)


def commented(identity: Identity, directory: Path) -> str:
    """The comment of a preview by this identity, as the workflow makes it."""
    preview = directory / "preview.json"
    preview.write_text(identity.pulumi("preview", "--json", "--show-sames").stdout)
    code = identity.operations("privileges", "--for", "validated-preview", "--check", check=False).returncode
    validation = {0: "done", 1: "skipped"}[code]
    out = directory / "comment.md"
    command = [sys.executable, "-m", "operations", "comment", str(preview), "--stack", "sandbox", "--out", str(out)]
    subprocess.run([*command, "--server-validation", validation], cwd=CHECKOUT, check=True, timeout=300)
    return out.read_text()


def marked(sandbox: RunningSandbox) -> None:
    """Changes the settings so that objects of every kind change and some are made; the way back deletes those."""
    document = yaml.safe_load(sandbox.configuration.read_text())
    config = document["config"]
    config["teleport-access-graph:labels"] = {"example.com/team": "identity"}
    config["teleport-access-graph:monitoring"] = {"lockoutWatch": {}}
    config["teleport-access-graph:accessGraph"]["networkPolicy"] = {"enabled": True}
    config["teleport-access-graph:database"]["notifications"] = {"mode": "ownTopic"}
    config["teleport-access-graph:database"]["alarms"] = {"cpuPercent": 80}
    (entry,) = config["teleport-access-graph:teleport"].values()
    entry["auditLog"] = {"enabled": True}
    sandbox.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def test_a_preview_by_reading_alone_asks_for_nothing_and_says_so(
    deployed: RunningSandbox, identities: dict[Purpose, Identity], tmp_path: Path
) -> None:
    configuration = deployed.configuration.read_text()
    identity = identities[Purpose.PREVIEW]
    since = deployed.audit_position()
    try:
        marked(deployed)
        text = commented(identity, tmp_path)
    finally:
        deployed.configuration.write_text(configuration)
    assert NOT_VALIDATED in text
    tried = [event for event in identity.requests(since) if "reviews" not in event["requestURI"]]
    assert [event["requestURI"] for event in tried if event["responseStatus"]["code"] < 400] == []
    assert "forbidden" in identity.kubectl("get", "secrets", "--namespace", "teleport", check=False).stderr


def test_a_validated_preview_is_answered_by_the_server_and_can_write_nothing(
    deployed: RunningSandbox, identities: dict[Purpose, Identity], tmp_path: Path
) -> None:
    configuration = deployed.configuration.read_text()
    identity = identities[Purpose.VALIDATED_PREVIEW]
    since = deployed.audit_position()
    try:
        marked(deployed)
        text = commented(identity, tmp_path)
    finally:
        deployed.configuration.write_text(configuration)
    assert NOT_VALIDATED not in text
    writes = [event for event in identity.requests(since) if "reviews" not in event["requestURI"]]
    answered = [event for event in writes if event["responseStatus"]["code"] < 400]
    assert len(answered) >= 3
    assert [event for event in answered if "dryRun=All" not in event["requestURI"]] == []
    make = ("create", "configmap", "planted", "--namespace", "teleport")
    assert identity.kubectl(*make, "--dry-run=server").returncode == 0
    refused = identity.kubectl(*make, check=False)
    assert refused.returncode != 0
    assert "previews may ask what would happen, and write nothing" in refused.stderr
    assert "NotFound" in deployed.kubectl("get", "configmap", "planted", "-n", "teleport", check=False).stderr


def test_a_deployment_makes_changes_and_deletes_with_its_rights_alone(
    deployed: RunningSandbox, identities: dict[Purpose, Identity]
) -> None:
    configuration = deployed.configuration.read_text()
    identity = identities[Purpose.DEPLOY]
    held = identity.operations("privileges", "--for", "deploy", "--check")
    assert held.stdout == ""
    since, calls = deployed.audit_position(), aws_position(deployed)
    marked(deployed)
    identity.pulumi("up")
    written = identity.requests(since)
    # The deployment has written all kinds of objects, among them Helm's records and roles with rights of their own.
    for resource in ("networkpolicies", "secrets", "configmaps", "deployments", "roles", "rolebindings", "cronjobs"):
        assert [event for event in written if (event.get("objectRef") or {}).get("resource") == resource], resource
    deployed.configuration.write_text(configuration)
    identity.pulumi("up")
    written = identity.requests(since)
    assert {event["verb"] for event in written} >= {"create", "patch", "update", "delete"}
    assert [event["requestURI"] for event in written if event["responseStatus"]["code"] == 403] == []
    lines = (deployed.home.logs / "aws-requests.jsonl").read_text().splitlines()[calls:]
    made = {
        f"{PREFIXES.get(call['service'], call['service'])}:{call['action']}" for call in map(json.loads, lines)
    } - NOT_OF_THE_DEPLOYMENT
    settings = read_stack_file(deployed.stack_name, deployed.configuration).settings()
    documents, _ = policies(settings, Purpose.DEPLOY)
    allowed = {action for document in documents for one in document["Statement"] for action in one["Action"]}
    assert len(made) > 10
    assert made - allowed == set()


def test_a_refresh_reads_with_its_rights_alone_and_finds_nothing(identities: dict[Purpose, Identity]) -> None:
    done = identities[Purpose.DRIFT].pulumi("preview", "--refresh", "--expect-no-changes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
