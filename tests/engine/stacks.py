"""More stacks on the tests' sandbox: each with its own name, configuration file, namespace and database.

Owns creating and removing them, and checks that several modules need. None owns a Teleport release: their Teleport
entries have mode `manual`, so any number of them can exist beside the stack `sandbox`, which owns it.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psycopg
import yaml
from psycopg.conninfo import make_conninfo
from psycopg.pq import ConnStatus, PGconn

from sandbox.cloud.roles import SUPERUSER
from sandbox.kubelet.reaper import POD_MARKER
from sandbox.processes import marked
from sandbox.stack import PROJECT
from tests.engine.conftest import RunningSandbox

PREFIX = "teleport-access-graph:"
Settings = dict[str, Any]
Change = Callable[[Settings], None]


class OwnStack(RunningSandbox):
    """A stack beside the sandbox's own: same engine and cluster, but its own name and configuration file."""

    def __init__(self, beside: RunningSandbox, name: str) -> None:
        super().__init__(beside.home, beside.home.stack / "tests" / name / f"Pulumi.{name}.yaml")
        self._name = name

    @property
    def stack_name(self) -> str:
        return self._name

    @property
    def namespace(self) -> str:
        return f"graph-{self._name}"

    @property
    def identifier(self) -> str:
        """The identifier of the database instance."""
        return f"tests-{self._name}"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PULUMI_STACK": self._name}

    def configure(self, beside: RunningSandbox, change: Change) -> None:
        """Write the configuration: the sandbox's without its Teleport, then `change` applied."""
        self.configuration.parent.mkdir(parents=True, exist_ok=True)
        # `stack init` writes the salt beside Pulumi.yaml, wherever the configuration is: this keeps it out of the
        # checkout.
        (self.configuration.parent / "Pulumi.yaml").write_text(yaml.safe_dump({"name": PROJECT, "runtime": "yaml"}))
        if not self.configuration.exists():
            directory = str(self.configuration.parent)
            self.pulumi("stack", "init", self._name, "--secrets-provider", "passphrase", "--cwd", directory)
        salt = yaml.safe_load(self.configuration.read_text())["encryptionsalt"]
        document = yaml.safe_load(beside.configuration.read_text())
        self.configuration.write_text(yaml.safe_dump({**document, "encryptionsalt": salt}, sort_keys=False))

        def own(settings: Settings) -> None:
            settings["accessGraph"]["namespace"] = self.namespace
            settings["database"]["identifier"] = self.identifier
            settings["teleport"] = {
                cluster: {"mode": "manual", "hostAuthorities": entry["hostAuthorities"]}
                for cluster, entry in settings["teleport"].items()
            }
            change(settings)

        self.change(own)

    @property
    def settings(self) -> Settings:
        """The settings now in the file, without their namespace."""
        document = yaml.safe_load(self.configuration.read_text())
        return {key.removeprefix(PREFIX): value for key, value in document["config"].items() if key.startswith(PREFIX)}

    def change(self, change: Change) -> None:
        """Edit the configuration as a person would; `change` gets the settings without their namespace."""
        settings = self.settings
        change(settings)
        document = yaml.safe_load(self.configuration.read_text())
        document["config"] = {PREFIX + key: value for key, value in settings.items()}
        self.configuration.write_text(yaml.safe_dump(document, sort_keys=False))

    def database(self, **changes: Any) -> None:
        self.change(lambda settings: settings["database"].update(changes))

    def recorded(self) -> dict[str, dict[str, Any]]:
        """The resources of its state by URN, in the engine's own order."""
        state = json.loads(self.pulumi("stack", "export", "--show-secrets").stdout)
        return {resource["urn"]: resource for resource in state["deployment"].get("resources", [])}

    def remove(self) -> None:
        """Destroy what is left, and remove the stack."""
        if any(resource.get("protect") or resource.get("retainOnDelete") for resource in self.recorded().values()):
            # The database is protected, or kept, until an `up` says otherwise.
            self.database(profile="development", protect=False, onDestroy="delete")
            self.pulumi("up")
        self.pulumi("destroy")
        self.pulumi("stack", "rm", self._name, "--yes")
        shutil.rmtree(self.configuration.parent)


@contextmanager
def own_stack(beside: RunningSandbox, name: str, change: Change = lambda settings: None) -> Iterator[OwnStack]:
    """A configured stack; removed completely at the end."""
    stack = OwnStack(beside, name)
    stack.configure(beside, change)
    try:
        yield stack
    finally:
        stack.remove()


def aws(sandbox: RunningSandbox, service: str) -> Any:
    """A client with the account administrator's key, for the live API."""
    environment = sandbox.environment()
    return boto3.client(
        service,
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def instance(sandbox: RunningSandbox, identifier: str) -> dict[str, Any] | None:
    """A database instance as the live API describes it; None if there is none."""
    found = aws(sandbox, "rds").describe_db_instances()["DBInstances"]
    return next((one for one in found if one["DBInstanceIdentifier"] == identifier), None)


def aws_position(sandbox: RunningSandbox) -> int:
    """A position for `aws_writes`."""
    return len((sandbox.home.logs / "aws-requests.jsonl").read_text().splitlines())


def aws_writes(sandbox: RunningSandbox, since: int) -> list[str]:
    """Actions that changed something in the account since a position."""
    lines = (sandbox.home.logs / "aws-requests.jsonl").read_text().splitlines()[since:]
    return [request["action"] for request in map(json.loads, lines) if request["write"]]


def up_without_a_change(sandbox: RunningSandbox) -> None:
    """An `up` that finds nothing to do, and during which nobody writes to the account or the cluster."""
    cluster, cloud = sandbox.audit_position(), aws_position(sandbox)
    sandbox.pulumi("up", "--expect-no-changes")
    assert sandbox.writes(since=cluster) == []
    assert aws_writes(sandbox, since=cloud) == []


def pod_environment(sandbox: RunningSandbox, pod_uid: str) -> dict[str, str] | None:
    """The environment of the process in a pod, without the marks by which the sandbox finds it."""
    for process in marked(f"{sandbox.home.root}/:{pod_uid}/", POD_MARKER):
        try:
            entries = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        found = dict(os.fsdecode(entry).split("=", 1) for entry in entries if b"=" in entry)
        return {name: value for name, value in found.items() if not name.startswith("SANDBOX_")}
    return None


def held_uris(sandbox: RunningSandbox, endpoint: str) -> set[str]:
    """The URIs for that database in the environments of pods' processes: ready, starting or terminating."""
    found = set()
    for process in marked(f"{sandbox.home.root}/:", POD_MARKER):
        try:
            entries = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        uris = [
            os.fsdecode(entry).partition("=")[2] for entry in entries if entry.startswith(b"TAG_POSTGRES_CONNECTION=")
        ]
        found.update(uri for uri in uris if f"@{endpoint}/" in uri)
    return found


def graph_pods(sandbox: RunningSandbox, namespace: str) -> list[dict[str, Any]]:
    """The access graph's pods that are ready and not terminating."""
    selector = "app.kubernetes.io/name=teleport-access-graph"
    pods = sandbox.get("pods", "--namespace", namespace, "--selector", selector)["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _is_ready(pod)]


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def secret_values(sandbox: RunningSandbox, namespace: str, name: str) -> dict[str, str]:
    data = sandbox.get("secret", name, "--namespace", namespace)["data"]
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


@contextmanager
def superuser(sandbox: RunningSandbox, identifier: str, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's own superuser, over the unix socket; nobody has this on RDS. Used to create defects."""
    records = json.loads((sandbox.home.root / "cloud" / "fleet.json").read_text())
    (record,) = [one for one in records.values() if one["identifier"] == identifier]
    target = make_conninfo(
        host=f"@teleport-access-graph/{Path(record['data']).name}",
        port=record["port"],
        user=SUPERUSER,
        dbname=database,
        sslmode="disable",
    )
    # psycopg.connect would take the name of an abstract socket for a host name and resolve it.
    wire = PGconn.connect(target.encode())
    assert wire.status == ConnStatus.OK, wire.error_message.decode()
    connection: psycopg.Connection[Any] = psycopg.Connection(wire)
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()
