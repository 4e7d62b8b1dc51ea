"""The tables agree with the SDK, refuse what the official plugin refuses, and accept the program's registrations."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.plugins.aws.provider import KINDS, AwsProvider
from sandbox.plugins.aws.resources import (
    INGRESS_RULE,
    INSTANCE,
    KEY,
    LOG_GROUP,
    ROLE,
    SECURITY_GROUP,
    TYPES,
    violations,
)
from sandbox.plugins.aws.tables import DEFAULTS
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import UNKNOWN, Secret
from tests.unit.database.graph import record_access, record_database
from tests.unit.monitor import Recording, unsealed

pytestmark = pytest.mark.unit

SEED = bytes.fromhex("0123456789abcdef0123456789abcdef")
GOOD_INSTANCE = {
    "identifier": "graph",
    "engine": "postgres",
    "engineVersion": "17",
    "instanceClass": "db.t4g.medium",
    "allocatedStorage": 20,
    "storageEncrypted": True,
    "kmsKeyId": "arn:aws:kms:us-east-1:123456789012:key/1",
    "username": "tag_admin",
    "manageMasterUserPassword": True,
    "performanceInsightsEnabled": True,
}
# A replica takes these from its source, so it does not set them.
REPLICA = {"replicateSourceDb": "graph-1", "username": None, "manageMasterUserPassword": None}
MOMENT = {"restoreToPointInTime": {"sourceDbInstanceIdentifier": "graph-1", "useLatestRestorableTime": True}}
GOOD_RULE = {
    "securityGroupId": "sg-1",
    "referencedSecurityGroupId": "sg-2",
    "ipProtocol": "tcp",
    "fromPort": 5432,
    "toPort": 5432,
}


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def sdk_arguments(token: str) -> dict[str, inspect.Parameter]:
    module, _, type_name = token.removeprefix("aws:").partition("/")
    sdk = importlib.import_module(f"pulumi_aws.{module}")
    class_name = type_name.partition(":")[2]
    arguments = inspect.signature(getattr(sdk, f"{class_name}Args").__init__).parameters
    return {name: parameter for name, parameter in arguments.items() if not name.startswith("_") and name != "self"}


@pytest.mark.slow
@pytest.mark.parametrize("token", TYPES)
def test_inputs_are_the_sdks_and_so_are_the_required_ones(token: str) -> None:
    arguments = sdk_arguments(token)
    table = TYPES[token]
    assert {snake_case(name) for name in table.inputs} <= arguments.keys()
    required = {name for name, parameter in arguments.items() if parameter.default is inspect.Parameter.empty}
    assert {snake_case(name) for name, known in table.inputs.items() if known.required} == required


@pytest.mark.slow
@pytest.mark.parametrize("token", TYPES)
def test_outputs_are_the_sdks(token: str) -> None:
    module, _, type_name = token.removeprefix("aws:").partition("/")
    sdk = getattr(importlib.import_module(f"pulumi_aws.{module}"), type_name.partition(":")[2])
    table = TYPES[token]
    assert [name for name in (*table.outputs, *table.inputs) if not hasattr(sdk, snake_case(name))] == []


def test_every_table_has_its_calls_and_its_source() -> None:
    assert KINDS.keys() == TYPES.keys()
    assert all(table.source.startswith("https://registry.terraform.io/") for table in TYPES.values())


REGISTRATIONS: list[tuple[Callable[..., Recording], dict[str, Any]]] = [
    (record_database, {}),
    (record_database, {"preview": True}),
    (
        record_database,
        {
            "master_password": "generated",
            "on_destroy": "delete",
            "protect": False,
            "multi_az": True,
            "engine_version": "18",
        },
    ),
    (
        record_database,
        {
            "database_insights": "advanced",
            "monitoring_interval_seconds": 0,
            "kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/1",
        },
    ),
    (record_database, {"replica": True, "master_password": "generated"}),
    (record_database, {"replica": True, "master_password": "generated", "preview": True}),
    (record_database, {"restore_snapshot": "graph-final-1"}),
    (record_database, {"restore_source": "graph"}),
    (
        record_database,
        {"restore_source": "graph", "restore_time": "2026-01-31T00:00:00Z", "master_password": "generated"},
    ),
    (record_access, {}),
    (record_access, {"preview": True}),
]


@pytest.mark.parametrize(("record", "arguments"), REGISTRATIONS, ids=range(len(REGISTRATIONS)))
def test_the_programs_registrations_keep_the_tables(
    record: Callable[..., Recording], arguments: dict[str, Any]
) -> None:
    recording = record(**arguments)
    registrations = [item for item in recording.custom() if item.type.startswith("aws:")]
    assert registrations
    found = {item.name: violations(item.type, unsealed(item.inputs)) for item in registrations}
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("token", "inputs", "text"),
    [
        (
            INSTANCE,
            {"storageEncypted": True},
            "has no input storageEncypted of aws:rds/instance:Instance; did you mean storageEncrypted",
        ),
        (INSTANCE, {"instanceClass": None}, "instanceClass: Missing required argument"),
        (INSTANCE, {"instanceClass": "t4g.medium"}, "instanceClass: invalid value"),
        (INSTANCE, {"port": "5432"}, "port must be of kind integer, not str"),
        (INSTANCE, {"multiAz": "true"}, "multiAz must be of kind boolean, not str"),
        (INSTANCE, {"backupRetentionPeriod": 36}, "in the range (0 - 35), got 36"),
        (INSTANCE, {"storageType": "gp4"}, "expected storageType to be one of"),
        (INSTANCE, {"password": "x" * 20}, "manageMasterUserPassword conflicts with password"),
        (INSTANCE, {"password": "with space and @", "manageMasterUserPassword": None}, "password: invalid value"),
        (INSTANCE, {"manageMasterUserPassword": None}, "MasterUserPassword must be provided"),
        (INSTANCE, {"monitoringInterval": 60}, "goes together with a monitoringInterval"),
        (INSTANCE, {"monitoringInterval": 2}, "expected monitoringInterval to be one of"),
        (INSTANCE, {"storageEncrypted": False}, "kmsKeyId: needs storageEncrypted"),
        (INSTANCE, {"databaseInsightsMode": "advanced"}, "at least 465"),
        (INSTANCE, {"performanceInsightsRetentionPeriod": 8}, "7, 731 or a multiple of 31"),
        (
            INSTANCE,
            {"performanceInsightsEnabled": False, "performanceInsightsRetentionPeriod": 7},
            "needs performanceInsightsEnabled",
        ),
        (INSTANCE, {"maxAllocatedStorage": 10}, "less than allocatedStorage: 20"),
        (INSTANCE, {"storageType": "gp3", "allocatedStorage": 10}, "at least 20 GiB"),
        (INSTANCE, {"enabledCloudwatchLogsExports": ["audit"]}, "PostgreSQL exports postgresql"),
        (INSTANCE, {"identifier": "Graph"}, "identifier: invalid value"),
        (INSTANCE, {"finalSnapshotIdentifier": "final--1"}, "finalSnapshotIdentifier: invalid value"),
        (INSTANCE, {"username": "rdsadmin"}, "username: invalid value"),
        (INSTANCE, {"tags": {"a": 1}}, "tags must hold strings"),
        (INSTANCE, {"replicateSourceDb": "graph"}, "username conflicts with replicateSourceDb"),
        (INSTANCE, {**REPLICA, "dbName": "graph"}, "dbName conflicts with replicateSourceDb"),
        (INSTANCE, {**REPLICA, "manageMasterUserPassword": True}, "isn't supported for a read replica"),
        (INSTANCE, {**REPLICA, "dbSubnetGroupName": "graph"}, "name the source by its ARN"),
        (INSTANCE, {**MOMENT, "snapshotIdentifier": "graph-final-1"}, "conflicts with snapshotIdentifier"),
        (INSTANCE, {"restoreToPointInTime": {"useLatestRestorableTime": True}}, "is required"),
        (INSTANCE, {"restoreToPointInTime": {"sourceDbInstanceIdentifier": "graph"}}, "exactly one of restoreTime"),
        (INSTANCE, {"restoreToPointInTime": {"sourceDbInstance": "graph"}}, "did you mean sourceDbInstanceIdentifier"),
        (
            INSTANCE,
            {
                "restoreToPointInTime": {
                    "sourceDbInstanceIdentifier": "graph",
                    "restoreTime": "2026-01-31T01:00:00+01:00",
                }
            },
            "restoreToPointInTime.restoreTime: '2026-01-31T01:00:00+01:00' does not match",
        ),
        (INSTANCE, {"username": None}, '"username": required field is not set'),
        (INGRESS_RULE, {"cidrIpv4": "10.0.0.0/8"}, "exactly one of"),
        (INGRESS_RULE, {"referencedSecurityGroupId": None}, "exactly one of"),
        (INGRESS_RULE, {"fromPort": None}, "tcp and udp need fromPort and toPort"),
        (INGRESS_RULE, {"fromPort": 6000}, "is 6000, more than toPort: 5432"),
        (INGRESS_RULE, {"ipProtocol": "tls"}, "expected ipProtocol to be one of"),
    ],
)
def test_wrong_input_is_named(token: str, inputs: dict[str, Any], text: str) -> None:
    good = {INSTANCE: GOOD_INSTANCE, INGRESS_RULE: GOOD_RULE}[token]
    assert violations(token, good) == []
    assert [line for line in violations(token, {**good, **inputs}) if text in line] != []


@pytest.mark.parametrize(
    ("token", "inputs", "text"),
    [
        (KEY, {"deletionWindowInDays": 6}, "in the range (7 - 30), got 6"),
        (KEY, {"policy": "not json"}, "invalid JSON policy"),
        (LOG_GROUP, {"retentionInDays": 31}, "expected retentionInDays to be one of"),
        (LOG_GROUP, {"kmsKeyId": "alias/x"}, "kmsKeyId: invalid value"),
        (SECURITY_GROUP, {"name": "a", "namePrefix": "a-"}, "name conflicts with namePrefix"),
        (SECURITY_GROUP, {"name": "sg-a"}, "name: invalid value"),
        (SECURITY_GROUP, {"ingress": []}, "has no input ingress"),
        (ROLE, {"assumeRolePolicy": "{}", "namePrefix": "x" * 39}, "length of namePrefix to be at most 38"),
        (ROLE, {"assumeRolePolicy": "{}", "maxSessionDuration": 60}, "in the range (3600 - 43200)"),
        (ROLE, {}, "Missing required argument: assumeRolePolicy"),
    ],
)
def test_wrong_input_of_the_other_types_is_named(token: str, inputs: dict[str, Any], text: str) -> None:
    assert [line for line in violations(token, inputs) if text in line] != []


def test_type_outside_the_tables_is_an_error_everywhere() -> None:
    assert violations("aws:s3/bucket:Bucket", {}) == ["aws:s3/bucket:Bucket: is no type of the stand-in"]
    provider = AwsProvider()
    for call in (
        lambda: provider.check("urn", "aws:s3/bucket:Bucket", {}, {}, SEED),
        lambda: provider.diff("urn", "aws:s3/bucket:Bucket", "id", {}, {}, {}, []),
        lambda: provider.create("urn", "aws:s3/bucket:Bucket", {}, 0, True),
        lambda: provider.read("urn", "aws:s3/bucket:Bucket", "id", {}, {}),
        lambda: provider.delete("urn", "aws:s3/bucket:Bucket", "id", {}, {}, 0),
        lambda: provider.invoke("aws:index/getRegion:getRegion", {}),
    ):
        with pytest.raises(ResourceError, match="install the official"):
            call()


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {}, optional={name: st.just(UNKNOWN) for name in TYPES[INSTANCE].inputs if name != "password"}
    )
)
def test_unknown_values_are_taken_as_right(unknown: dict[str, Any]) -> None:
    assert violations(INSTANCE, {**GOOD_INSTANCE, "storageEncrypted": True, **without_conflict(unknown)}) == []


def without_conflict(unknown: dict[str, Any]) -> dict[str, Any]:
    """`unknown` without combinations that the table refuses: a monitoring role without an interval, two names, or a
    master user beside a source that already has one."""
    kept = {name: value for name, value in unknown.items() if name not in ("identifierPrefix", "replicateSourceDb")}
    if ("monitoringInterval" in kept) != ("monitoringRoleArn" in kept):
        kept |= {"monitoringInterval": UNKNOWN, "monitoringRoleArn": UNKNOWN}
    return kept


def test_generated_name_is_kept_by_the_next_check() -> None:
    table = TYPES[LOG_GROUP]
    first = table.check("logs", {}, {}, SEED).inputs
    assert first["name"] == "logs-0123456"
    assert first[DEFAULTS] == ["name", "retentionInDays", "skipDestroy"]
    assert table.check("logs", first, {}, SEED[::-1]).inputs["name"] == "logs-0123456"
    given_name = table.check("logs", first, {"name": "given"}, SEED).inputs
    assert given_name["name"] == "given"
    assert table.difference(first, given_name, []).replaces == ["name"]


def test_prefix_keeps_the_plugin_from_making_a_name() -> None:
    assert "name" not in TYPES[LOG_GROUP].check("logs", {}, {"namePrefix": "a-"}, SEED).inputs


def test_changed_map_is_shown_by_its_keys() -> None:
    table = TYPES[LOG_GROUP]
    old = {"name": "a", "tags": {"same": "1", "changed": "1", "gone": "1"}}
    new = {"name": "a", "tags": {"same": "1", "changed": "2", "new-one": "1"}}
    kinds = {path: change.kind for path, change in table.difference(old, new, []).detailed.items()}
    assert kinds == {"tags.changed": "update", "tags.gone": "delete", 'tags["new-one"]': "add"}
    assert not table.difference(old, new, ["tags"]).changes


def test_secret_stays_secret_through_a_check() -> None:
    inputs = TYPES[ROLE].check("role", {}, {"assumeRolePolicy": Secret("{}")}, SEED).inputs
    assert inputs["assumeRolePolicy"] == Secret("{}")


def test_a_major_version_is_another_than_the_minor_that_was_read() -> None:
    """As in the official plugin for an imported instance. Without a version in the inputs, AWS's version stays."""
    table = TYPES[INSTANCE]
    assert table.difference({"engineVersion": "17.5"}, {"engineVersion": "17"}, []).diffs == ["engineVersion"]
    assert not table.difference({"engineVersion": "17.5"}, {}, []).changes
