"""Before an `up` takes over an RDS instance, preflight reports every setting for which AWS would replace the instance
or refuse the change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import RdsDatabaseSettings, load_settings
from operations.checks.adoption import check_adoption
from operations.findings import Outcome
from tests.samples import minimal_configuration

pytestmark = pytest.mark.unit

KEY = "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"
# In the form of DescribeDBInstances.
INSTANCE: dict[str, Any] = {
    "Engine": "postgres",
    "EngineVersion": "17.4",
    # The RDS console proposes this name; the program's settings do not allow it for a new instance.
    "MasterUsername": "postgres",
    "StorageEncrypted": True,
    "KmsKeyId": KEY,
    "DBSubnetGroup": {"DBSubnetGroupName": "theirs"},
    "AllocatedStorage": 90,
    "IAMDatabaseAuthenticationEnabled": False,
}


def settings_with(**changes: Any) -> RdsDatabaseSettings:
    config = minimal_configuration()
    config["aws"]["region"] = "us-east-1"
    network = config["database"]["network"]
    del network["subnetIds"]
    network["subnetGroupName"] = "theirs"
    config["database"] |= {"adopt": True, "kmsKeyArn": KEY, **changes}
    database = load_settings(config, (), root=Path.cwd(), stack="dev").database
    assert isinstance(database, RdsDatabaseSettings)
    return database


@pytest.mark.parametrize("settings", [{}, {"maxAllocatedStorageGib": 99}])  # the least that RDS accepts
def test_one_that_is_as_the_settings_say_is_taken_over(settings: dict[str, Any]) -> None:
    (finding,) = check_adoption(settings_with(**settings), INSTANCE)
    assert (finding.check, finding.outcome, finding.reason) == ("aws.adoption", Outcome.PASS, "PostgreSQL 17.4")


@pytest.mark.parametrize(
    ("settings", "instance", "reason"),
    [
        ({}, {"Engine": "mysql"}, "it is of mysql, and the access graph needs PostgreSQL"),
        ({}, {"EngineVersion": "16.9"}, "database.engineVersion is 17, and it has 16"),
        (
            {},
            {"DBSubnetGroup": {"DBSubnetGroupName": "default"}},
            "database.network.subnetGroupName is theirs, and it has default",
        ),
        ({}, {"KmsKeyId": f"{KEY}0"}, f"database.kmsKeyArn is {KEY}, and it has {KEY}0"),
        (
            {},
            {"StorageEncrypted": False, "KmsKeyId": None},
            "it is not encrypted: copy a snapshot of it with a key, and set database.restore instead of adopt",
        ),
        (
            {"maxAllocatedStorageGib": 98},
            {},
            "database.maxAllocatedStorageGib is 98, and for the 90 GiB that it has RDS wants 99 or more",
        ),
    ],
)
def test_what_ends_an_adoption_is_told(settings: dict[str, Any], instance: dict[str, Any], reason: str) -> None:
    (finding,) = check_adoption(settings_with(**settings), {**INSTANCE, **instance})
    assert (finding.outcome, finding.reason) == (Outcome.FAIL, reason)


def test_all_of_it_is_told_at_once() -> None:
    (finding,) = check_adoption(settings_with(), {**INSTANCE, "EngineVersion": "16.9", "KmsKeyId": f"{KEY}0"})
    assert finding.reason.count("; ") == 1


def test_one_that_lets_nobody_in_by_iam_does_so_before_the_access_graph_logs_in() -> None:
    """RDS enables IAM authentication in the maintenance window unless told to apply it at once."""
    _, finding = check_adoption(settings_with(authentication="iam"), INSTANCE)
    assert (finding.check, finding.outcome) == ("aws.adoption-iam", Outcome.FAIL)
    assert "set database.applyImmediately to true for this `up`" in finding.reason
    _, finding = check_adoption(settings_with(authentication="iam", applyImmediately=True), INSTANCE)
    assert finding.outcome is Outcome.PASS
    _, finding = check_adoption(
        settings_with(authentication="iam"), {**INSTANCE, "IAMDatabaseAuthenticationEnabled": True}
    )
    assert (finding.outcome, finding.reason) == (Outcome.PASS, "IAM authentication is on")


def test_of_one_that_the_stack_makes_there_is_nothing_to_compare() -> None:
    config = minimal_configuration()
    database = load_settings(config, (), root=Path.cwd(), stack="dev").database
    assert isinstance(database, RdsDatabaseSettings)
    assert check_adoption(database, INSTANCE) == []
