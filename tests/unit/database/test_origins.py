"""Where an instance's data come from, and the replica: what is requested from AWS, and what is never requested
again."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.applied import LeftOutError
from components.database import Database, DatabaseArgs
from tests.unit.database.graph import DATABASE, record_database
from tests.unit.monitor import COMPUTED_OUTPUTS, Recording, record

pytestmark = pytest.mark.unit

IDENTIFIER = "teleport-access-graph-dev"
# An instance that starts empty gets these inputs for good; one that starts with data takes them from the data.
OF_THE_DATA = {"dbName", "username", "kmsKeyId", "engineVersion", "allocatedStorage"}
ADOPTED = {"adopt": "graph", "subnet_ids": None, "subnet_group_name": "their-subnets", "kms_key_arn": "arn:aws:kms:x"}


def instance(recording: Recording) -> dict[str, Any]:
    inputs: dict[str, Any] = recording["database-instance"].inputs
    return inputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        ({"restore_snapshot": "graph-final-1"}, {"snapshotIdentifier": "graph-final-1"}),
        (
            {"restore_source": "graph"},
            {"restoreToPointInTime": {"sourceDbInstanceIdentifier": "graph", "useLatestRestorableTime": True}},
        ),
        (
            {"restore_source": "graph", "restore_time": "2026-01-31T00:00:00Z"},
            {"restoreToPointInTime": {"sourceDbInstanceIdentifier": "graph", "restoreTime": "2026-01-31T00:00:00Z"}},
        ),
    ],
    ids=["snapshot", "latest", "moment"],
)
def test_a_restored_instance_differs_from_an_empty_one_in_this(changes: dict[str, Any], origin: dict[str, Any]) -> None:
    empty, restored = instance(record_database()), instance(record_database(**changes))
    assert {key: value for key, value in restored.items() if key not in empty} == origin
    assert empty.keys() - restored.keys() == OF_THE_DATA
    assert {key: value for key, value in empty.items() if key not in OF_THE_DATA} == {
        key: value for key, value in restored.items() if key not in origin
    }


@pytest.mark.parametrize(
    ("changes", "user"),
    [({"restore_snapshot": "graph-final-1"}, "of_the_data"), (ADOPTED, "of_the_data"), ({}, "tag_admin")],
)
def test_the_master_user_is_that_of_the_data(changes: dict[str, Any], user: str) -> None:
    arguments: dict[str, Any] = {**DATABASE, **changes, "master_username": "tag_admin"}
    instances = {**COMPUTED_OUTPUTS["aws:rds/instance:Instance"], "=username": "of_the_data"}
    recording = record(
        lambda: Database("database", DatabaseArgs(**arguments)) and None,
        computed={**COMPUTED_OUTPUTS, "aws:rds/instance:Instance": instances},
    )
    assert recording.component_outputs["database"]["master_username"] == user


@pytest.mark.slow
def test_where_the_data_came_from_is_no_change_later() -> None:
    registration = record_database()["database-instance"]
    assert registration.ignore_changes == ("snapshotIdentifier", "restoreToPointInTime")


def test_an_adopted_instance_is_imported_by_its_name_and_keeps_its_place_and_key() -> None:
    recording = record_database(**ADOPTED)
    registration = recording["database-instance"]
    assert registration.import_id == "graph"
    inputs = instance(recording)
    assert (inputs["dbSubnetGroupName"], inputs["kmsKeyId"]) == ("their-subnets", "arn:aws:kms:x")
    assert recording.of_type("aws:rds/subnetGroup:SubnetGroup") == []
    # AWS cannot change these keys on an existing instance, and nobody has stated which keys it has.
    assert {"performanceInsightsKmsKeyId", "masterUserSecretKmsKeyId"} <= set(registration.ignore_changes)
    # AWS reports the names that the instance was created with; for a database that was created by hand later, it
    # reports none.
    assert {"dbName", "username"} <= set(registration.ignore_changes)
    assert not {"dbName", "username"} & set(record_database()["database-instance"].ignore_changes)


@pytest.mark.slow
def test_what_stands_around_an_adopted_instance_has_a_key_of_the_stacks_own() -> None:
    """The instance's own key may be AWS's `aws/rds`, which CloudWatch Logs and SNS cannot use."""
    recording = record_database(**ADOPTED, own_topic=True)
    own = "arn:aws:kms:us-east-1:123456789012:key/database-key"
    users = {
        item.name: (item.inputs.get("kmsKeyId"), item.inputs.get("kmsMasterKeyId"))
        for item in recording.custom()
        if own in item.inputs.values()
    }
    assert users == {
        "database-log-postgresql": (own, None),
        "database-log-upgrade": (own, None),
        "database-topic": (None, own),
        "database-instance": ("arn:aws:kms:x", None),
    }
    assert recording["database-final-snapshot"].plain("keepers.kms_key") == "arn:aws:kms:x"
    # A stack that had the instance before may have left an alias of this name, and AWS makes no second one.
    assert recording.of_type("aws:kms/alias:Alias") == []
    # AWS made the adopted instance's secret, before the stack existed or at its request, and only AWS can say which key
    # encrypts it.
    outputs = [one.component_outputs["database"] for one in (recording, record_database())]
    assert [one["master_secret_kms_key_arn"] for one in outputs] == [
        "arn:aws:kms:us-east-1:123456789012:key/database",
        own,
    ]


@pytest.mark.slow
@pytest.mark.parametrize("origin", [{"restore_snapshot": "graph-final-1"}, {"restore_source": "graph"}, ADOPTED])
def test_an_instance_that_has_a_version_is_told_one_to_change_it_alone(origin: dict[str, Any]) -> None:
    """The provider reads a minor version, so a major version alone would be a change, and RDS would choose its own
    default minor for it."""
    assert "engineVersion" not in instance(record_database(**origin))
    upgraded = record_database(**origin, engine_version="18", upgrade=True)
    assert instance(upgraded)["engineVersion"] == "18"
    assert instance(record_database())["engineVersion"] == "17"


@pytest.mark.slow
@pytest.mark.parametrize("origin", [{"restore_snapshot": "graph-final-1"}, {"restore_source": "graph"}])
def test_a_restored_instance_is_told_its_storage_once_it_is_there(origin: dict[str, Any]) -> None:
    """The data may have grown since the snapshot; RDS refuses less storage than they take."""
    assert "allocatedStorage" not in instance(record_database(**origin))
    assert instance(record_database(**origin, allocated_storage_gib=50, resize=True))["allocatedStorage"] == 50


@pytest.mark.slow
def test_a_replica_is_its_source_without_what_it_has_of_it() -> None:
    recording = record_database(replica=True, master_password="generated", tags={"a": "b"})
    primary, replica = instance(recording), recording["database-replica"].inputs
    assert replica["replicateSourceDb"] == IDENTIFIER
    own = {"identifier", "replicateSourceDb", "deletionProtection", "skipFinalSnapshot", "multiAz"}
    assert {key: value for key, value in replica.items() if key not in own} == {
        key: primary[key] for key in replica.keys() - own
    }
    assert primary.keys() - replica.keys() == {
        "allocatedStorage",
        "backupRetentionPeriod",
        "dbName",
        "dbSubnetGroupName",
        "engine",
        "engineVersion",
        "finalSnapshotIdentifier",
        "kmsKeyId",
        "password",
        "username",
    }
    assert replica["identifier"] == f"{IDENTIFIER}-replica"
    assert replica["skipFinalSnapshot"] is True
    with pytest.raises(ValueError, match="RDS makes none of an instance whose master password it manages"):
        record_database(replica=True)


@pytest.mark.slow
@pytest.mark.parametrize("preview", [True, False])
def test_the_secret_of_an_instance_that_has_none_yet_is_not_known_before_the_up(
    monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    """A preview that changes an instance still shows it without a secret. After an `up`, a missing secret means that
    the run left the instance out."""
    without = {"aws:rds/instance:Instance": {**COMPUTED_OUTPUTS["aws:rds/instance:Instance"], "masterUserSecrets": []}}
    seen: list[bool] = []

    async def look(output: pulumi.Output[Any]) -> None:
        seen.append(await output.is_known())

    def program() -> None:
        # In the recording's own previews every computed value is unknown; in this preview the instance already exists.
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)
        arguments: dict[str, Any] = {**DATABASE, **ADOPTED}
        database = Database("database", DatabaseArgs(**arguments))
        pulumi.export("looked", pulumi.Output.from_input(look(database.master_secret_arn)))

    if preview:
        record(program, computed={**COMPUTED_OUTPUTS, **without})
        assert seen == [False]
    else:
        with pytest.raises(LeftOutError):
            record(program, computed={**COMPUTED_OUTPUTS, **without})
