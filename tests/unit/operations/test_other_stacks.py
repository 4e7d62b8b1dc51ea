"""A stack does not take over another stack's RDS instance of the configured name: the instance's tag says which stack
made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from components.settings import Settings, load_settings
from operations.checks import other_stacks
from operations.checks.other_stacks import check_instance
from operations.findings import Outcome
from tests.samples import minimal_configuration
from tests.unit.operations import databases

pytestmark = [pytest.mark.unit, pytest.mark.slow]

NAME = "graph"
ADOPT = {
    "adopt": True,
    "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d",
}


def settings_with(**database: Any) -> Settings:
    config = minimal_configuration()
    config["aws"]["region"] = "us-east-1"
    config["database"] |= {"identifier": NAME, **database}
    if database.get("adopt"):
        del config["database"]["network"]["subnetIds"]
        config["database"]["network"]["subnetGroupName"] = "graph"
    return load_settings(config, (), root=Path.cwd(), stack="dev")


def put_instance(stack: str | None, **more: Any) -> str:
    """Create an instance with the tag of `stack`. Returns its ARN."""
    tags = [] if stack is None else [{"Key": "teleport-access-graph:stack", "Value": stack}]
    return databases.put_instance(NAME, "us-east-1", Tags=tags, **more)


@pytest.mark.parametrize("adopt", [{}, ADOPT], ids=["made", "adopted"])
def test_an_instance_of_another_stack_is_told(aws_account: None, adopt: dict[str, Any]) -> None:
    arn = put_instance("acme/teleport-access-graph/prod")
    settings = settings_with(**adopt)
    (finding,) = check_instance(settings, None)
    assert (finding.check, finding.outcome) == ("aws.instance", Outcome.FAIL)
    assert "its tag teleport-access-graph:stack says acme/teleport-access-graph/prod" in finding.reason
    # The state records the instance, so it is this stack's; its tag is older than a rename of the stack.
    assert check_instance(settings, arn) == []
    (of_another_name,) = check_instance(settings, f"{arn}-of-before")
    assert of_another_name.outcome is Outcome.FAIL


def test_one_that_a_first_up_had_made_when_it_failed_may_be_had(aws_account: None) -> None:
    put_instance("acme/teleport-access-graph/dev")
    for adopt in ({}, ADOPT):
        finding, *of_the_adoption = check_instance(settings_with(**adopt), None)
        assert finding.outcome is Outcome.PASS
        assert [one.check for one in of_the_adoption] == (["aws.adoption"] if adopt else [])


def test_one_of_its_own_that_the_state_has_lost_is_no_name_that_is_free(aws_account: None) -> None:
    """As after a `pulumi state delete`: the outputs still name the instance, and an `up` would try to make it again."""
    arn = put_instance("acme/teleport-access-graph/dev")
    for recorded in (None, arn):
        (finding,) = check_instance(settings_with(), recorded, in_state=False)
        assert finding.outcome is Outcome.FAIL
        assert finding.reason == (
            "by its tag this stack made it, but the state does not know it, so an `up` would find the name taken; "
            "`recover` prints how to bring it back"
        )
    assert check_instance(settings_with(), arn, in_state=True) == []
    kept, _ = check_instance(settings_with(**ADOPT), None, in_state=False)
    assert kept.outcome is Outcome.PASS


def test_one_of_its_own_that_somebody_deleted_is_told_before_an_up_makes_an_empty_one(aws_account: None) -> None:
    arn = put_instance("acme/teleport-access-graph/dev")
    boto3.client("rds", region_name="us-east-1").delete_db_instance(
        DBInstanceIdentifier=NAME, FinalDBSnapshotIdentifier=f"{NAME}-last"
    )
    (finding,) = check_instance(settings_with(), arn, in_state=True)
    assert (finding.check, finding.outcome) == ("aws.instance", Outcome.FAIL)
    assert "`up --refresh` alone makes an empty one: name its last snapshot in database.restore" in finding.reason
    assert check_instance(settings_with(), arn, in_state=None) == [], (
        "only the state tells that an `up` would not see it"
    )
    restored = settings_with(restore={"mode": "snapshot", "snapshotIdentifier": f"{NAME}-last"})
    assert [one.check for one in check_instance(restored, arn, in_state=True)] == ["aws.restore"]


def test_the_key_of_one_of_its_own_is_looked_at(aws_account: None) -> None:
    """The key with which the instance is encrypted, whichever the state has."""
    kms = boto3.client("kms", region_name="us-east-1").create_key()["KeyMetadata"]
    arn = put_instance("acme/teleport-access-graph/dev", StorageEncrypted=True, KmsKeyId=kms["Arn"])
    for known, outcome in ((kms["KeyId"], Outcome.PASS), ("another", Outcome.FAIL)):
        (finding,) = check_instance(settings_with(), arn, in_state=True, own_key=known)
        assert (finding.check, finding.outcome) == ("aws.key", outcome)
    # Data that existed before have the key that they had.
    restored = settings_with(restore={"mode": "snapshot", "snapshotIdentifier": "before"})
    assert check_instance(restored, arn, in_state=True, own_key="another") == []


def test_one_that_no_stack_made_can_be_adopted_and_not_made_again(aws_account: None) -> None:
    put_instance(None)
    finding = check_instance(settings_with(**ADOPT), None)[0]
    assert finding.outcome is Outcome.PASS
    (finding,) = check_instance(settings_with(), None)
    assert finding.outcome is Outcome.FAIL
    assert "set database.adopt to take it over, or give another name" in finding.reason


def test_one_that_is_not_there_can_be_made_and_not_adopted(aws_account: None) -> None:
    assert check_instance(settings_with(), None) == []
    (finding,) = check_instance(settings_with(**ADOPT), None)
    assert finding.outcome is Outcome.FAIL
    assert "there is none in us-east-1 to take over" in finding.reason


def test_what_these_credentials_may_not_ask_stands_against_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Rds:
        def describe_db_instances(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeDBInstances")

    monkeypatch.setattr(other_stacks, "aws_client", lambda *_: Rds())
    (finding,) = check_instance(settings_with(), None)
    assert finding.outcome is Outcome.NOT_PROVEN


def test_a_database_that_is_none_of_rds_is_not_asked_for() -> None:
    config = minimal_configuration()
    del config["aws"]
    config["database"] = {"mode": "existing", "secret": {"name": "database"}}
    assert check_instance(load_settings(config, (), root=Path.cwd(), stack="dev"), None) == []
