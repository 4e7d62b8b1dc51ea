"""Recover: what holds data is never to be deleted, and `recover` says how it comes back into a state that lacks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings, load_settings
from operations.lost_data import to_have_again
from operations.unrecorded import INSTANCE, KEY
from tests.samples import minimal_configuration

pytestmark = pytest.mark.unit

KEY_OF_ONES_OWN = "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d"


def settings_with(**database: Any) -> Settings:
    config = minimal_configuration()
    config["database"] |= {"identifier": "graph", **database}
    return load_settings(config, (), root=Path.cwd(), stack="dev")


def test_an_instance_and_its_key_come_back_by_an_import_that_is_written_out() -> None:
    of_instance = to_have_again(settings_with(), "dev", INSTANCE, "graph", {"database"})
    assert of_instance is not None
    assert of_instance.startswith("leave it: it has the data. ")
    assert of_instance.endswith(
        "with the URNs of `pulumi stack --show-urns`: pulumi import aws:rds/instance:Instance database-instance graph "
        "--stack dev --generate-code=false --parent database=<URN of the Database> --provider aws=<URN of the provider "
        "aws>"
    )
    of_key = to_have_again(settings_with(), "dev", KEY, "0b1c2d3e", {"database", "database-instance"})
    assert of_key is not None
    assert of_key.startswith("leave it: what was encrypted with it cannot be read without it. ")
    assert " pulumi import aws:kms/key:Key database-key 0b1c2d3e --stack dev " in of_key


def test_what_has_a_successor_or_is_nobodys_to_have_again_is_to_be_left_as_well() -> None:
    group = "aws:ec2/securityGroup:SecurityGroup"
    assert to_have_again(settings_with(), "dev", group, "sg-1", ()) is None
    config = minimal_configuration()
    config["database"] = {"mode": "existing", "secret": {"name": "database"}}
    del config["aws"]
    of_none = load_settings(config, (), root=Path.cwd(), stack="dev")
    for settings, kind, identity, recorded in (
        (settings_with(), INSTANCE, "graph-replica", ()),
        (settings_with(), INSTANCE, "graph", ("database-instance",)),
        # The state has a key already; a failed `up` left this other one behind.
        (settings_with(), KEY, "0b1c2d3e", ("database-key",)),
        (settings_with(kmsKeyArn=KEY_OF_ONES_OWN), KEY, "0b1c2d3e", ()),
        (of_none, INSTANCE, "graph", ()),
    ):
        said = to_have_again(settings, "dev", kind, identity, recorded)
        assert said is not None
        assert said.startswith("leave it unless nobody needs it any more: ")


def test_a_key_that_has_another_in_its_place_comes_back_once_that_has_made_room() -> None:
    said = to_have_again(settings_with(), "dev", KEY, "0b1c2d3e", {"database-key", "database-instance"})
    assert said is not None
    room, _, back = said.partition("`pulumi state rename <URN of database-key> database-key-unused`")
    assert "If the database is encrypted with it" in room
    assert " pulumi import aws:kms/key:Key database-key 0b1c2d3e --stack dev " in back
