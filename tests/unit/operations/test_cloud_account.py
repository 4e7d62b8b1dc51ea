"""Preflight asks AWS only in the account that the settings name."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from components.settings import Settings
from operations.cluster import Cluster, ClusterError
from operations.findings import Finding, Outcome
from operations.preflight import Preflight
from tests.unit.operations.world import settings
from tests.unit.privileges.modes import settings_of

pytestmark = pytest.mark.unit

ACCOUNT = "123456789012"  # moto's account, which the settings name too


def with_database(root: Path, account: str = ACCOUNT) -> Settings:
    """Settings of a stack with an RDS instance in `account`."""
    rds = settings_of("the least")
    assert rds.aws is not None
    return dataclasses.replace(
        settings(root), database=rds.database, aws=rds.aws.model_copy(update={"account_id": account})
    )


def asked_of_aws(made: Settings) -> dict[str, Finding]:
    def unreachable(context: str) -> Cluster:
        raise ClusterError(f"{context}: not here")

    findings = Preflight(settings=made, connect=unreachable).run()
    return {finding.check: finding for finding in findings if finding.check.startswith("aws.")}


@pytest.mark.slow
def test_in_the_account_that_is_meant_the_rest_is_asked(aws_account: None, tmp_path: Path) -> None:
    found = asked_of_aws(with_database(tmp_path))
    assert found["aws.account"].outcome is Outcome.PASS
    assert found["aws.account"].reason.startswith(f"arn:aws:sts::{ACCOUNT}:")
    assert set(found) == {"aws.account", "aws.subnets", "aws.clients"}


@pytest.mark.slow
def test_in_another_account_nothing_else_is_asked(aws_account: None, tmp_path: Path) -> None:
    (found,) = asked_of_aws(with_database(tmp_path, "210987654321")).values()
    assert (found.check, found.outcome) == ("aws.account", Outcome.FAIL)
    assert f" of {ACCOUNT}; take another profile, or correct aws.accountId" in found.reason


def test_without_boto3_nothing_is_known_of_the_account_and_nothing_stands_against_an_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "boto3" else installed(name))
    (found,) = asked_of_aws(with_database(tmp_path)).values()
    assert (found.check, found.outcome) == ("aws.account", Outcome.NOT_PROVEN)
    assert "`aws sts get-caller-identity` tells" in found.reason
