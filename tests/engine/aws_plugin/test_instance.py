"""The RDS instance: what is made, awaited, changed in place, refused and left behind."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from sandbox.plugins.aws.databases import Instance
from sandbox.plugins.aws.objects import Deadline
from sandbox.plugins.aws.resources import INSTANCE
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from sandbox.plugins.values import UNKNOWN, Properties, Secret, contains_unknown, unwrap
from tests.engine.aws_plugin.conftest import Engine, Made

pytestmark = pytest.mark.engine


def live(aws: Any) -> dict[str, Any]:
    found: dict[str, Any] = aws("rds").describe_db_instances(DBInstanceIdentifier="graph")["DBInstances"][0]
    return found


def test_instance_is_made_as_asked(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    found = live(aws)
    assert instance.id == found["DbiResourceId"]
    assert found["StorageEncrypted"] is True
    assert found["DeletionProtection"] is True
    assert found["EnabledCloudwatchLogsExports"] == ["upgrade", "postgresql"]
    assert instance.outputs["endpoint"] == f"{found['Endpoint']['Address']}:5432"
    assert instance.outputs["resourceId"] == found["DbiResourceId"]
    assert instance.outputs["engineVersion"] == "17"
    assert instance.outputs["engineVersionActual"].startswith("17")
    assert instance.outputs["status"] == "available"
    assert [secret["secretArn"] for secret in instance.outputs["masterUserSecrets"]] == [
        found["MasterUserSecret"]["SecretArn"]
    ]
    assert instance.outputs["tagsAll"] == {"Stack": "dev"}
    json.dumps(unwrap(instance.outputs))


def test_generated_password_is_secret_and_changes_in_place(
    engine: Engine, aws: Any, instance_inputs: Properties
) -> None:
    for name in ("manageMasterUserPassword", "masterUserSecretKmsKeyId"):
        del instance_inputs[name]
    first = {**instance_inputs, "password": Secret("first-password")}
    instance = engine.create(INSTANCE, **first)
    assert instance.outputs["password"] == Secret("first-password")
    assert instance.outputs["masterUserSecrets"] == []
    assert isinstance(instance.inputs["password"], Secret)
    instance = engine.update(instance, **{**first, "password": Secret("second-password")})
    assert instance.outputs["password"] == Secret("second-password")
    refreshed = engine.refresh(instance)
    assert refreshed is not None
    assert refreshed.outputs["password"] == Secret("second-password")


def test_plain_password_leaves_the_check_as_a_secret(engine: Engine, instance_inputs: Properties) -> None:
    del instance_inputs["manageMasterUserPassword"], instance_inputs["masterUserSecretKmsKeyId"]
    assert engine.check(INSTANCE, {**instance_inputs, "password": "plain-password"})["password"] == Secret(
        "plain-password"
    )


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"backupRetentionPeriod": 35}, "BackupRetentionPeriod", 35),
        ({"instanceClass": "db.m7g.large"}, "DBInstanceClass", "db.m7g.large"),
        ({"deletionProtection": False}, "DeletionProtection", False),
        ({"enabledCloudwatchLogsExports": ["postgresql"]}, "EnabledCloudwatchLogsExports", ["postgresql"]),
        (
            {"tags": {"Stack": "other", "New": "1"}},
            "TagList",
            [{"Key": "New", "Value": "1"}, {"Key": "Stack", "Value": "other"}],
        ),
    ],
)
def test_change_in_place_reaches_aws(
    engine: Engine, aws: Any, instance_inputs: Properties, change: Properties, field: str, value: Any
) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    updated = engine.update(instance, **{**instance_inputs, **change, "applyImmediately": True})
    assert updated.id == instance.id
    found = live(aws)[field]
    assert (sorted(found, key=str) if isinstance(found, list) else found) == value


@pytest.mark.parametrize(
    "change",
    [
        {"dbName": "other"},
        {"username": "other"},
        {"kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/other"},
        {"storageEncrypted": False, "kmsKeyId": None},
    ],
)
def test_change_that_replaces(engine: Engine, instance_inputs: Properties, change: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    difference = engine.diff(instance, **{**instance_inputs, **change})
    assert set(difference.replaces) & change.keys()
    assert all(difference.detailed[name].kind.endswith("-replace") for name in difference.replaces)


@pytest.mark.parametrize(
    "change",
    [{"identifier": "other"}, {"engineVersion": "18"}, {"skipFinalSnapshot": True}, {"port": 5433}, {"multiAz": True}],
)
def test_change_that_does_not_replace(engine: Engine, instance_inputs: Properties, change: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    difference = engine.diff(instance, **{**instance_inputs, **change})
    assert (difference.changes, difference.replaces) == (True, [])
    assert list(difference.detailed) == list(change)


@pytest.mark.parametrize(
    "change",
    [
        {"enabledCloudwatchLogsExports": ["postgresql", "upgrade"]},
        {"engine": "postgres"},
        {"backupRetentionPeriod": None},
        {"parameterGroupName": None},
        {"multiAz": False},
    ],
)
def test_what_says_the_same_is_no_change(engine: Engine, instance_inputs: Properties, change: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    assert not engine.diff(instance, **{**instance_inputs, **change}).changes


def test_storage_that_grew_by_itself_is_no_change(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    aws("rds").modify_db_instance(DBInstanceIdentifier="graph", AllocatedStorage=50, ApplyImmediately=True)
    refreshed = engine.refresh(instance)
    assert refreshed is not None
    assert refreshed.outputs["allocatedStorage"] == 50
    assert not engine.diff(refreshed, **instance_inputs).changes


def test_change_to_protected_instance_made_elsewhere_is_seen(
    engine: Engine, aws: Any, instance_inputs: Properties
) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    aws("rds").modify_db_instance(DBInstanceIdentifier="graph", DeletionProtection=False, ApplyImmediately=True)
    refreshed = engine.refresh(instance)
    assert refreshed is not None
    assert list(engine.diff(refreshed, **instance_inputs).detailed) == ["deletionProtection"]


def test_deletion_protection_refuses_the_delete(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    with pytest.raises(ResourceError, match=r"deleting RDS DB Instance .*api error InvalidParameter.*protect"):
        engine.delete(instance)
    assert live(aws)["DBInstanceStatus"] == "available"


def test_final_snapshot_is_made_by_the_delete(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **{**instance_inputs, "deletionProtection": False})
    engine.delete(instance)
    snapshots = aws("rds").describe_db_snapshots()["DBSnapshots"]
    assert [snapshot["DBSnapshotIdentifier"] for snapshot in snapshots] == ["graph-final-1"]


def test_delete_without_a_snapshot_and_without_its_name(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    del instance_inputs["finalSnapshotIdentifier"]
    instance = engine.create(INSTANCE, **{**instance_inputs, "deletionProtection": False})
    with pytest.raises(ResourceError, match="final_snapshot_identifier is required when skip_final_snapshot is false"):
        engine.delete(instance)
    instance = engine.update(instance, **{**instance_inputs, "deletionProtection": False, "skipFinalSnapshot": True})
    engine.delete(instance)
    assert aws("rds").describe_db_snapshots()["DBSnapshots"] == []


def test_import_by_identifier(engine: Engine, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **instance_inputs)
    found = engine.provider.read("urn", INSTANCE, "graph", {}, {})
    assert found is not None
    id_, inputs, outputs = found
    assert (id_, outputs["resourceId"]) == ("graph", instance.id), "the official plugin keeps the id of an import"
    assert {name: inputs[name] for name in ("identifier", "instanceClass", "dbName", "storageEncrypted")} == {
        "identifier": "graph",
        "instanceClass": "db.t4g.medium",
        "dbName": "access_graph",
        "storageEncrypted": True,
    }
    taken = Made(INSTANCE, id_, inputs, outputs)
    difference = engine.diff(taken, **instance_inputs)
    assert difference.replaces == []
    # AWS does not report these, so an import has to take them from the program.
    assert set(difference.diffs) == {"finalSnapshotIdentifier", "skipFinalSnapshot"}


def test_instance_that_is_gone_is_read_as_gone(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    instance = engine.create(INSTANCE, **{**instance_inputs, "deletionProtection": False})
    aws("rds").delete_db_instance(DBInstanceIdentifier="graph", SkipFinalSnapshot=True)
    assert engine.refresh(instance) is None
    assert engine.provider.read("urn", INSTANCE, "never-there", {}, {}) is None


def test_name_that_is_taken_is_refused_in_awss_words(engine: Engine, instance_inputs: Properties) -> None:
    engine.create(INSTANCE, **instance_inputs)
    with pytest.raises(
        ResourceError, match=r"creating RDS DB Instance \(graph\): operation error CreateDBInstance: .*AlreadyExists"
    ):
        engine.create(INSTANCE, **instance_inputs)


def test_instance_that_does_not_become_available_is_kept_in_the_state(
    engine: Engine, instance_inputs: Properties, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = Instance._find
    monkeypatch.setattr(
        Instance,
        "_find",
        lambda self, connection, id_: {**(find(self, connection, id_) or {}), "DBInstanceStatus": "failed"},
    )
    inputs = engine.check(INSTANCE, instance_inputs)
    with pytest.raises(InitializationFailed, match="unexpected state 'failed', wanted target 'available'") as failure:
        engine.provider.create("urn", INSTANCE, inputs, 0, False)
    assert failure.value.id.startswith("db-")


def test_waiting_ends_at_the_timeout_and_at_an_interrupt() -> None:
    with pytest.raises(ResourceError, match="timeout while waiting"):
        Deadline(0, threading.Event()).wait("it", lambda: False)
    interrupt = threading.Event()
    interrupt.set()
    with pytest.raises(ResourceError, match="interrupted"):
        Deadline(60, interrupt).wait("it", lambda: False)


def test_preview_knows_what_is_given_and_nothing_else(engine: Engine, aws: Any, instance_inputs: Properties) -> None:
    inputs = engine.check(INSTANCE, {**instance_inputs, "kmsKeyId": UNKNOWN})
    _, outputs = engine.provider.create("urn", INSTANCE, inputs, 0, True)
    assert aws("rds").describe_db_instances()["DBInstances"] == []
    assert (outputs["identifier"], outputs["port"], outputs["autoMinorVersionUpgrade"]) == ("graph", 5432, True)
    for name in ("address", "endpoint", "arn", "resourceId", "masterUserSecrets", "kmsKeyId", "id"):
        assert contains_unknown(outputs[name]), name
