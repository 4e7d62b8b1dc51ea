"""The commands ask AWS in the account and role in which the program's provider acts, and the provider receives the
same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sts.models import AssumedRole, sts_backends

from components.providers import aws_provider
from components.settings import AwsSettings
from operations.aws_session import NoSession, aws_client, database_token
from operations.cloud_account import check_account, identity_of
from operations.findings import Outcome
from tests.unit.monitor import record

pytestmark = [pytest.mark.unit, pytest.mark.slow, pytest.mark.usefixtures("aws_account")]

ANOTHER = "210987654321"
ROLE = {
    "roleArn": f"arn:aws:iam::{ANOTHER}:role/deploy",
    "externalId": "graph-7f3a",
    "sessionName": "access-graph",
}


def of_role(role: dict[str, str] | None) -> AwsSettings:
    given = {} if role is None else {"assumeRole": role}
    return AwsSettings.model_validate({"region": "us-east-1", "accountId": ANOTHER, **given})


def assumed() -> list[AssumedRole]:
    roles: list[AssumedRole] = sts_backends[ANOTHER]["aws"].assumed_roles
    return roles


def test_without_a_role_the_credentials_are_used_as_they_are() -> None:
    account, _ = identity_of(of_role(None))
    assert account == DEFAULT_ACCOUNT_ID
    assert check_account(of_role(None)).outcome is Outcome.FAIL
    assert assumed() == []


def test_with_a_role_it_is_its_account_that_is_asked() -> None:
    account, caller = identity_of(of_role(ROLE))
    assert account == ANOTHER
    assert caller == f"arn:aws:sts::{ANOTHER}:assumed-role/deploy/access-graph"
    assert check_account(of_role(ROLE)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("role", "external_id", "session_name"),
    [(ROLE, "graph-7f3a", "access-graph"), ({"roleArn": ROLE["roleArn"]}, None, "operations")],
    ids=["with everything", "by its ARN alone"],
)
def test_the_role_is_taken_with_what_its_trust_policy_asks_for(
    role: dict[str, str], external_id: str | None, session_name: str
) -> None:
    client = aws_client(of_role(role), "rds")
    (taken,) = assumed()
    assert (taken.role_arn, taken.external_id, taken.session_name) == (ROLE["roleArn"], external_id, session_name)
    assert client.describe_db_instances()["DBInstances"] == []


@pytest.mark.parametrize("role", [None, ROLE], ids=["its own credentials", "a role's"])
def test_a_profile_that_is_not_there_is_no_session_and_no_traceback(
    role: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(NoSession, match=r"no token can be signed: The config profile \(gone\) could not be found"):
        database_token(of_role(role), "db.example.com", 5432, "access_graph_iam")
    assert "log in, or correct" in check_account(of_role(role)).reason


def test_a_program_for_credentials_that_is_not_there_is_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = tmp_path / "config"
    configuration.write_text("[profile team]\ncredential_process = /nowhere/vault-login --json\n")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(configuration))
    monkeypatch.setenv("AWS_PROFILE", "team")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    found = check_account(of_role(None))
    assert (found.outcome, "/nowhere/vault-login" in found.reason) == (Outcome.FAIL, True)


def test_an_endpoint_of_the_environment_that_is_no_url_is_no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "localstack:4566/")
    with pytest.raises(NoSession, match="Invalid endpoint"):
        identity_of(of_role(None))


def provider_inputs(settings: AwsSettings) -> dict[str, Any]:
    """The provider's inputs as the plugin receives them: values that are not text are sent as JSON."""

    def program() -> None:
        aws_provider("aws", settings)

    recording = record(program)
    (provider,) = recording.of_type("pulumi:providers:aws")
    inputs = {key: provider.plain(key) for key in provider.inputs}
    return {key: json.loads(text) if text[:1] in "[{" else text for key, text in inputs.items()}


def test_the_provider_takes_the_same_role_and_works_in_its_account_alone() -> None:
    # The SDK itself adds the last two inputs.
    common = {
        "region": "us-east-1",
        "allowedAccountIds": [ANOTHER],
        "skipCredentialsValidation": "false",
        "skipRegionValidation": "true",
    }
    assert provider_inputs(of_role(None)) == common
    assert provider_inputs(of_role(ROLE)) == {**common, "assumeRoles": [ROLE]}
    assert provider_inputs(of_role({"roleArn": ROLE["roleArn"]})) == {
        **common,
        "assumeRoles": [{"roleArn": ROLE["roleArn"]}],
    }
