"""What a destroy leaves: nothing, or the instance as it was. And stacks that use an existing database.

The instance that the first stack keeps is the existing database of the two stacks after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.engine.conftest import RunningSandbox
from tests.engine.database_account import objects_of
from tests.engine.database_load import Load
from tests.engine.stacks import (
    PREFIX,
    OwnStack,
    Settings,
    aws,
    graph_pods,
    instance,
    own_stack,
    pod_environment,
    secret_values,
    up_without_a_change,
)

pytestmark = pytest.mark.engine

KEPT = "leave-keep"


@dataclass(frozen=True)
class KeptDatabase:
    """An instance that a destroyed stack has left behind."""

    identifier: str
    uri: str
    before: dict[str, list[str]]
    """The stack's objects in the account before the destroy, kind -> names."""


def gone(stack: OwnStack) -> bool:
    return stack.recorded() == {} and stack.get("namespaces", stack.namespace, "--ignore-not-found") == {}


def asked(sandbox: RunningSandbox, uri: str) -> str | None:
    """None if the URI opens the database, with the owner's rights; otherwise the error."""
    book = sandbox.home.names / "databases.json"
    return Load(set, authorities=sandbox.cloud().rds_authorities, book=book).ask(uri)


def pods_connect_with(stack: OwnStack, uri: str) -> None:
    pods = graph_pods(stack, stack.namespace)
    assert len(pods) == 2
    for pod in pods:
        environment = pod_environment(stack, pod["metadata"]["uid"])
        assert environment is not None
        assert environment["TAG_POSTGRES_CONNECTION"].partition("?")[0] == uri.partition("?")[0]


def test_delete_leaves_nothing_and_a_generated_master_password_needs_no_role(running_sandbox: RunningSandbox) -> None:
    with own_stack(running_sandbox, "leave-delete", generated) as stack:
        stack.pulumi("up")
        found = objects_of(stack, stack.identifier)
        assert {kind: len(names) for kind, names in found.items()} == {
            "instance": 1,
            "subnet group": 1,
            "parameter group": 1,
            "security group": 1,
            # The monitoring's role. None for the master password is needed, because AWS does not manage it.
            "role": 1,
            "log group": 2,
            "key": 1,
            "key alias": 1,
        }
        running = instance(stack, stack.identifier)
        assert running is not None
        assert "MasterUserSecret" not in running
        up_without_a_change(stack)
        stack.pulumi("destroy")
        assert objects_of(stack, stack.identifier) == {}
        assert gone(stack)


def generated(settings: Settings) -> None:
    settings["database"].update(masterPassword="generated", onDestroy="delete", protect=False)
    del settings["aws"]["workloadIdentity"]


@pytest.fixture(scope="module")
def kept(running_sandbox: RunningSandbox) -> Iterator[KeptDatabase]:
    """Made by a stack with the defaults of the profile `production`, which loses a client and is then destroyed."""

    def production(settings: Settings) -> None:
        for key in ("profile", "masterPassword", "onDestroy"):
            del settings["database"][key]
        settings["database"]["network"]["clientCidrs"] = ["10.1.0.0/16"]

    with own_stack(running_sandbox, KEPT, production) as stack:
        stack.pulumi("up")
        stack.change(lambda settings: settings["database"]["network"].pop("clientCidrs"))
        stack.pulumi("up")
        up_without_a_change(stack)
        uri = secret_values(stack, stack.namespace, "teleport-access-graph-postgres")["uri"]
        before = objects_of(stack, stack.identifier)
        stack.pulumi("destroy")
        assert gone(stack)
    yield KeptDatabase(stack.identifier, uri, before)
    rds = aws(running_sandbox, "rds")
    rds.modify_db_instance(DBInstanceIdentifier=stack.identifier, DeletionProtection=False)
    rds.delete_db_instance(DBInstanceIdentifier=stack.identifier, SkipFinalSnapshot=True)


def test_keep_leaves_the_instance_and_all_it_needs(running_sandbox: RunningSandbox, kept: KeptDatabase) -> None:
    left = objects_of(running_sandbox, kept.identifier)
    # What watched the instance and what read its master password is deleted, because only the stack needs it.
    assert {kind: len(names) for kind, names in kept.before.items() if names != left.get(kind)} == {
        "event subscription": 3,
        "topic": 1,
        "role": 2,
    }
    assert {kind: len(names) for kind, names in left.items()} == {
        "instance": 1,
        "subnet group": 1,
        "parameter group": 1,
        "security group": 1,
        "role": 1,
        "log group": 2,
        "key": 1,
        "key alias": 1,
    }
    running = instance(running_sandbox, kept.identifier)
    assert running is not None
    assert (running["DBInstanceStatus"], running["DeletionProtection"]) == ("available", True)
    (group,) = running["VpcSecurityGroups"]
    rules = aws(running_sandbox, "ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group["VpcSecurityGroupId"]]}]
    )["SecurityGroupRules"]
    assert [(rule["FromPort"], rule["IsEgress"], "CidrIpv4" in rule) for rule in rules] == [(6432, False, False)], (
        "the clients keep their rule, and one that was taken out has none"
    )
    assert aws(running_sandbox, "iam").get_role(RoleName=left["role"][0])["Role"]["Arn"] == running["MonitoringRoleArn"]
    assert asked(running_sandbox, kept.uri) is None


def existing(settings: Settings) -> None:
    """Settings for an existing database, with the bundle that verifies its certificate."""
    settings["database"] = {"mode": "existing", "caBundleFile": settings["database"]["caBundleFile"]}
    del settings["aws"]


def test_a_database_that_exists_is_used_by_its_uri_and_left_as_it_was(
    running_sandbox: RunningSandbox, kept: KeptDatabase
) -> None:
    left = objects_of(running_sandbox, kept.identifier)
    with own_stack(running_sandbox, "existing-uri", existing) as stack:
        stack.pulumi("config", "set", "--secret", f"{PREFIX}databaseUri", kept.uri)
        assert kept.uri not in stack.configuration.read_text()
        stack.pulumi("up")
        pods_connect_with(stack, kept.uri)
        assert secret_values(stack, stack.namespace, stack.outputs()["databaseSecretName"]) == {"uri": kept.uri}
        up_without_a_change(stack)
        stack.pulumi("destroy")
        assert gone(stack)
    assert objects_of(running_sandbox, kept.identifier) == left
    assert asked(running_sandbox, kept.uri) is None


def test_a_database_that_exists_is_used_by_a_secret_that_somebody_else_makes(
    running_sandbox: RunningSandbox, kept: KeptDatabase
) -> None:
    """A controller makes the Secret as soon as its namespace exists."""

    def named(settings: Settings) -> None:
        existing(settings)
        settings["database"]["secret"] = {"name": "somebody-elses", "key": "connection"}

    with own_stack(running_sandbox, "existing-secret", named) as stack:
        controller = threading.Thread(target=make_secret, args=(stack, kept.uri))
        controller.start()
        stack.pulumi("up")
        controller.join()
        pods_connect_with(stack, kept.uri)
        assert stack.outputs()["databaseSecretName"] == "somebody-elses"
        assert kept.uri not in stack.pulumi("stack", "export", "--show-secrets").stdout
        up_without_a_change(stack)
        stack.pulumi("destroy")
        assert gone(stack)
    assert asked(running_sandbox, kept.uri) is None


def make_secret(stack: OwnStack, uri: str) -> None:
    arguments = ("create", "secret", "generic", "somebody-elses", f"--from-literal=connection={uri}")
    for _ in range(300):
        if stack.kubectl(*arguments, "--namespace", stack.namespace, check=False).returncode == 0:
            return
        time.sleep(1)
