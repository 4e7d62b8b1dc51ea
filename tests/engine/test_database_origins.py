"""Databases with a replica, restored, or adopted, each in a stack of its own.

The tests of this module are one story: what the first stack wrote comes back in other stacks, restored to a point in
time and from the snapshot that the first stack left.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from operations.address_book import AddressBook
from operations.checks.database import check_database
from tests.engine.conftest import RunningSandbox
from tests.engine.stacks import (
    OwnStack,
    Settings,
    aws,
    aws_position,
    aws_writes,
    graph_pods,
    instance,
    own_stack,
    pod_environment,
    secret_values,
    superuser,
)
from tests.engine.waiting import eventually

pytestmark = pytest.mark.engine

SECRET = "teleport-access-graph-postgres"
REPLICA_VARIABLE = "TAG_POSTGRES_REPLICA_CONNECTION"
DATABASE, MASTER = "access_graph", "tag_admin"
# `read`, because the stack reads its own earlier outputs, which changes nothing.
QUIET = ("same", "read")
WAIT_SECONDS = 120.0


def with_replica(settings: Settings) -> None:
    """A replica, as production has, and a final snapshot. RDS replicates no instance whose password it manages."""
    settings["database"].update(replica={}, masterPassword="generated", onDestroy="snapshot")


@pytest.fixture(scope="module")
def origin(running_sandbox: RunningSandbox) -> Iterator[OwnStack]:
    with own_stack(running_sandbox, "origin", with_replica) as stack:
        stack.pulumi("up")
        yield stack


@contextmanager
def as_owner(stack: OwnStack) -> Iterator[psycopg.Connection[Any]]:
    """A session that acts as the access graph's owner role."""
    with superuser(stack, stack.identifier, DATABASE) as connection:
        connection.execute("SET SESSION AUTHORIZATION access_graph_owner")
        yield connection


def notes(stack: OwnStack, identifier: str | None = None) -> list[str]:
    with superuser(stack, identifier or stack.identifier, DATABASE) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM public.notes ORDER BY text")]


def operations(preview: dict[str, Any]) -> dict[str, list[str]]:
    """Name of each resource that a preview changes -> the operations on it, in order."""
    found: dict[str, list[str]] = {}
    for step in preview["steps"]:
        if step["op"] not in QUIET:
            found.setdefault(step["urn"].rsplit("::", 1)[1], []).append(step["op"])
    return found


def nothing_changes(stack: OwnStack) -> None:
    """Checks that neither a preview nor an `up` has anything to do."""
    assert operations(stack.preview()) == {}
    cluster, cloud = stack.audit_position(), aws_position(stack)
    stack.pulumi("up", "--expect-no-changes")
    assert stack.writes(since=cluster) == []
    assert aws_writes(stack, since=cloud) == []


def findings(stack: OwnStack, *, secret: str = SECRET) -> dict[str, str]:
    """The findings of `verify`'s database checks with the URIs of the live Secret, by check."""
    uris = secret_values(stack, stack.namespace, secret)
    bundle = stack.get("configmap", "teleport-access-graph-database-ca", "--namespace", stack.namespace)
    found = check_database(
        uris["uri"],
        authorities=bundle["data"]["bundle.pem"],
        book=AddressBook.from_environment(stack.environment()),
        replica_uri=uris.get("replica-uri"),
    )
    assert [one for one in found if one.outcome.value != "pass"] == []
    return {one.check: one.reason for one in found}


def test_the_replica_follows_and_the_access_graph_is_connected_to_it(origin: OwnStack) -> None:
    primary, replica = instance(origin, origin.identifier), instance(origin, f"{origin.identifier}-replica")
    assert primary is not None
    assert replica is not None
    assert replica["ReadReplicaSourceDBInstanceIdentifier"] == origin.identifier
    same = (
        "KmsKeyId",
        "DBSubnetGroup",
        "VpcSecurityGroups",
        "CACertificateIdentifier",
        "MonitoringInterval",
    )
    assert {key: replica[key] for key in same} == {key: primary[key] for key in same}
    tags, expected = ({tag["Key"]: tag["Value"] for tag in one["TagList"]} for one in (replica, primary))
    assert tags == expected
    said = findings(origin)["database.replica"]
    assert said == f"{replica['Endpoint']['Address']}:5432 follows its primary and refuses to write"
    uris = secret_values(origin, origin.namespace, SECRET)
    assert replica["Endpoint"]["Address"] in uris["replica-uri"]
    for pod in graph_pods(origin, origin.namespace):
        environment = pod_environment(origin, pod["metadata"]["uid"])
        assert environment is not None
        # Compared without the path of the root certificate, because the node rewrites paths in a pod's environment.
        same_login = [uri.partition("sslrootcert=")[0] for uri in (environment[REPLICA_VARIABLE], uris["replica-uri"])]
        assert same_login[0] == same_login[1]
        log = origin.kubectl("logs", pod["metadata"]["name"], "--namespace", origin.namespace).stdout
        hosts = [line for line in log.splitlines() if "connected to the database" in line]
        assert [one["Endpoint"]["Address"] in line for one, line in zip((primary, replica), hosts, strict=True)] == [
            True,
            True,
        ]


def test_the_access_job_says_which_extension_the_server_lacks(origin: OwnStack) -> None:
    jobs = [one["metadata"]["name"] for one in origin.get("jobs", "--namespace", origin.namespace)["items"]]
    (job,) = [name for name in jobs if name.startswith("teleport-access-graph-database-access-")]
    said = origin.kubectl("logs", f"job/{job}", "--namespace", origin.namespace).stdout
    with superuser(origin, origin.identifier, DATABASE) as connection:
        offered = {name for (name,) in connection.execute("SELECT name FROM pg_available_extensions")}
        made = {name for (name,) in connection.execute("SELECT extname FROM pg_extension")}
    assert "pg_trgm" in made
    told = "extension vector is not available on this server; session search will lack it"
    assert ("vector" in made, told in said) == ("vector" in offered, "vector" not in offered)


def test_with_a_replica_a_second_up_changes_nothing(origin: OwnStack) -> None:
    nothing_changes(origin)


def test_a_managed_master_password_and_a_replica_exclude_each_other(origin: OwnStack) -> None:
    good = origin.configuration.read_text()
    origin.database(masterPassword="managed")
    try:
        refused = origin.pulumi("preview", check=False)
    finally:
        origin.configuration.write_text(good)
    assert refused.returncode != 0
    assert 'database.masterPassword: "managed" is not possible with database.replica' in refused.stdout + refused.stderr


def test_the_access_graph_does_not_start_without_its_replica(origin: OwnStack) -> None:
    """And an `up` makes the deleted replica again."""
    aws(origin, "rds").delete_db_instance(DBInstanceIdentifier=f"{origin.identifier}-replica", SkipFinalSnapshot=True)
    eventually(lambda: instance(origin, f"{origin.identifier}-replica") is None, WAIT_SECONDS, "the replica's end")
    (victim, survivor) = (pod["metadata"]["name"] for pod in graph_pods(origin, origin.namespace))
    origin.kubectl("delete", "pod", victim, "--namespace", origin.namespace)
    selector = ("--namespace", origin.namespace, "--selector", "app.kubernetes.io/name=teleport-access-graph")

    def is_refused() -> bool:
        logs = origin.kubectl("logs", *selector, "--tail=50", "--prefix", check=False).stdout
        return any(f"{REPLICA_VARIABLE}: failed to connect" in line for line in logs.splitlines() if victim not in line)

    eventually(is_refused, WAIT_SECONDS, "the refusal")
    assert [pod["metadata"]["name"] for pod in graph_pods(origin, origin.namespace)] == [survivor]
    origin.pulumi("refresh")
    origin.pulumi("up")
    eventually(lambda: len(graph_pods(origin, origin.namespace)) == 2, WAIT_SECONDS, "two ready pods")
    assert "database.replica" in findings(origin)
    nothing_changes(origin)


@pytest.fixture(scope="module")
def moment(origin: OwnStack) -> str:
    """A time between two notes in the origin's database, as the settings take it."""
    with as_owner(origin) as connection:
        connection.execute("CREATE TABLE public.notes (text text)")
        connection.execute("INSERT INTO public.notes VALUES ('before')")
        # The setting has a resolution of whole seconds.
        time.sleep(1.1)
        row = connection.execute("SELECT date_trunc('second', now())").fetchone()
        assert row is not None
        between: datetime.datetime = row[0]
        time.sleep(1.1)
        connection.execute("INSERT INTO public.notes VALUES ('after')")
    return between.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_moment_of_a_living_database_comes_back_in_another_stack(
    running_sandbox: RunningSandbox, origin: OwnStack, moment: str
) -> None:
    def restored(settings: Settings) -> None:
        restore = {"mode": "pointInTime", "sourceIdentifier": origin.identifier, "time": moment}
        settings["database"].update(restore=restore)

    with own_stack(running_sandbox, "moment", restored) as stack:
        stack.pulumi("up")
        assert notes(stack) == ["before"]
        assert notes(origin) == ["after", "before"]
        findings(stack)
        made, source = instance(stack, stack.identifier), instance(origin, origin.identifier)
        assert made is not None
        assert source is not None
        assert made["KmsKeyId"] == source["KmsKeyId"], "data keep their key"
        assert made["MasterUserSecret"]["SecretStatus"] == "active"
        # The provider does not send every setting with a restore to a point in time. The second `up` sets the rest.
        assert made["PerformanceInsightsEnabled"] is False
        assert operations(stack.preview()) == {"database-instance": ["update"]}
        stack.pulumi("up")
        made = instance(stack, stack.identifier)
        assert made is not None
        assert made["PerformanceInsightsEnabled"] is True
        nothing_changes(stack)
        assert notes(stack) == ["before"]
        deleted_by_hand(stack, "last-of-moment")
        stack.database(restore={"mode": "snapshot", "snapshotIdentifier": "last-of-moment"})
        stack.pulumi("up", "--refresh")
        assert notes(stack) == ["before"]
        made = instance(stack, stack.identifier)
        assert made is not None
        assert made["AllocatedStorage"] == 30, "as much as the data had, which RDS does not shrink"
        findings(stack)
        nothing_changes(stack)


def deleted_by_hand(stack: OwnStack, snapshot: str) -> None:
    """Grows the instance's storage, then deletes the instance as an administrator would, with a last snapshot."""
    rds = aws(stack, "rds")
    rds.modify_db_instance(
        DBInstanceIdentifier=stack.identifier, AllocatedStorage=30, DeletionProtection=False, ApplyImmediately=True
    )
    rds.delete_db_instance(DBInstanceIdentifier=stack.identifier, FinalDBSnapshotIdentifier=snapshot)
    eventually(lambda: instance(stack, stack.identifier) is None, WAIT_SECONDS, "the instance is gone")


def test_a_moment_out_of_reach_is_refused_in_awss_words(running_sandbox: RunningSandbox, origin: OwnStack) -> None:
    def restored(settings: Settings) -> None:
        restore = {"mode": "pointInTime", "sourceIdentifier": origin.identifier, "time": "2020-01-01T00:00:00Z"}
        settings["database"].update(restore=restore)

    with own_stack(running_sandbox, "never", restored) as stack:
        failed = stack.pulumi("up", check=False)
        assert failed.returncode != 0
        said = " ".join((failed.stdout + failed.stderr).split())
        assert "The specified instance cannot be restored to a time earlier than" in said
        assert "because its backup retention period is set to 7 days" in said
        assert instance(stack, stack.identifier) is None


@pytest.mark.usefixtures("moment")
def test_the_snapshot_that_a_destroy_leaves_is_everything_in_another_stack(
    running_sandbox: RunningSandbox, origin: OwnStack
) -> None:
    before = instance(origin, origin.identifier)
    assert before is not None
    origin.pulumi("destroy")
    assert instance(origin, origin.identifier) is None
    assert instance(origin, f"{origin.identifier}-replica") is None
    rds, kms = aws(origin, "rds"), aws(origin, "kms")
    snapshots = rds.describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    (snapshot,) = [one for one in snapshots if one["DbiResourceId"] == before["DbiResourceId"]]
    assert snapshot["DBSnapshotIdentifier"].startswith(f"{origin.identifier}-final-")
    assert kms.describe_key(KeyId=before["KmsKeyId"])["KeyMetadata"]["KeyState"] == "Enabled", "it is the snapshot's"

    def restored(settings: Settings) -> None:
        restore = {"mode": "snapshot", "snapshotIdentifier": snapshot["DBSnapshotIdentifier"]}
        settings["database"].update(restore=restore)

    with own_stack(running_sandbox, "again", restored) as stack:
        stack.pulumi("up")
        assert notes(stack) == ["after", "before"]
        findings(stack)
        made = instance(stack, stack.identifier)
        assert made is not None
        assert made["KmsKeyId"] == before["KmsKeyId"]
        assert made["PerformanceInsightsEnabled"] is True
        nothing_changes(stack)
        # After the restore it no longer matters whether the snapshot exists, or which one the settings name. Removing
        # `restore` from the settings does matter: the instance would get another key than that of its data.
        rds.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])
        stack.change(lambda settings: settings["database"]["restore"].update(snapshotIdentifier="another"))
        nothing_changes(stack)
        stack.change(lambda settings: settings["database"].pop("restore"))
        assert operations(stack.preview())["database-instance"] == ["replace"]


def test_an_instance_that_exists_is_taken_over_as_it_is(running_sandbox: RunningSandbox) -> None:
    """An instance made by hand, with a key and a subnet group of its own, and with a database that RDS does not know.
    At the end it is left behind."""
    name, cloud = "tests-adopted", running_sandbox.cloud()
    rds = aws(running_sandbox, "rds")
    key, insights_key = (
        aws(running_sandbox, "kms").create_key(Description=use)["KeyMetadata"]["Arn"]
        for use in ("theirs", "of their insights, for good")
    )
    rds.create_db_subnet_group(
        DBSubnetGroupName="theirs", DBSubnetGroupDescription="theirs", SubnetIds=list(cloud.subnet_ids)
    )
    rds.create_db_instance(
        DBInstanceIdentifier=name,
        Engine="postgres",
        EngineVersion="17",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        StorageType="gp3",
        StorageEncrypted=True,
        KmsKeyId=key,
        DBSubnetGroupName="theirs",
        MasterUsername="theirs",
        MasterUserPassword="only-in-this-test-1",
        BackupRetentionPeriod=3,
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=insights_key,
        Tags=[{"Key": "theirs", "Value": "yes"}],
    )
    eventually(
        lambda: (instance(running_sandbox, name) or {}).get("DBInstanceStatus") == "available",
        WAIT_SECONDS,
        "their instance",
    )
    before = instance(running_sandbox, name)
    assert before is not None
    with superuser(running_sandbox, name, "postgres") as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER theirs")
    with superuser(running_sandbox, name, DATABASE) as connection:
        connection.execute("CREATE TABLE public.notes AS SELECT 'theirs' AS text")

    def adopting(settings: Settings) -> None:
        network = settings["database"]["network"]
        del network["subnetIds"]
        network["subnetGroupName"] = "theirs"
        settings["database"].update(adopt=True, kmsKeyArn=key, onDestroy="keep", protect=True)

    with own_stack(running_sandbox, "adopted", adopting) as stack:
        assert stack.identifier == name
        preview = stack.preview()
        steps = operations(preview)
        assert steps.pop("database-instance") == ["import", "update"]
        (update,) = [one for one in preview["steps"] if one["op"] == "update"]
        # The engine's version must stay, because RDS would turn a major version into its own default minor version.
        assert "parameterGroupName" in update["diffReasons"]
        assert "engineVersion" not in update["diffReasons"]
        assert set(map(tuple, steps.values())) == {("create",)}
        assert "database-key" in steps
        assert "database-subnet-group" not in steps
        partial = stack.pulumi("up", "--target", "**Certificates**", check=False)
        assert partial.returncode != 0
        assert (
            "the database's instance: the settings change it, but this run leaves it as it was"
            in partial.stdout + partial.stderr
        )
        assert not any(urn.endswith("::database-instance") for urn in stack.recorded())
        cloud_position = aws_position(stack)
        stack.pulumi("up")
        written = aws_writes(stack, since=cloud_position)
        assert not {"CreateDBInstance", "DeleteDBInstance", "CreateDBSubnetGroup"} & set(written)
        after = instance(stack, name)
        assert after is not None
        same = (
            "DbiResourceId", "InstanceCreateTime", "KmsKeyId", "PerformanceInsightsKMSKeyId", "DBSubnetGroup",
            "Endpoint", "EngineVersion",
        )  # fmt: skip
        assert {field: after[field] for field in same} == {field: before[field] for field in same}
        assert (after["DeletionProtection"], after["BackupRetentionPeriod"]) == (True, 7)
        assert notes(stack) == ["theirs"]
        findings(stack)
        nothing_changes(stack)
        refused = stack.pulumi("destroy", "--preview-only", check=False)
        assert refused.returncode != 0
        assert "database-instance" in refused.stdout + refused.stderr
        state = json.loads(stack.pulumi("stack", "export").stdout)["deployment"]["resources"]
        (held,) = [one for one in state if one["urn"].endswith("::database-instance")]
        assert (held["protect"], held["retainOnDelete"]) == (True, True)
        # With `keep`, a destroy is allowed as soon as the protection is off.
        stack.database(protect=False)
        stack.pulumi("up")
        stack.pulumi("destroy")
    left = instance(running_sandbox, name)
    assert left is not None, "`keep` leaves it"
    assert left["DbiResourceId"] == before["DbiResourceId"]
    rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
    eventually(
        lambda: (instance(running_sandbox, name) or {}).get("DBInstanceStatus") == "available",
        WAIT_SECONDS,
        "their instance",
    )
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
