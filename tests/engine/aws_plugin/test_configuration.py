"""The provider's own inputs: it refuses the wrong account, assumes roles, uses endpoints, and names inputs it does not
support."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.plugins.aws.provider import AwsProvider
from sandbox.plugins.aws.resources import LOG_GROUP
from sandbox.plugins.protocol import ResourceError
from sandbox.plugins.values import UNKNOWN
from tests.engine.aws_plugin.conftest import ACCOUNT, CREDENTIALS, REGION, Engine

pytestmark = pytest.mark.engine


def configured(**properties: Any) -> AwsProvider:
    provider = AwsProvider()
    values = {"region": REGION, **CREDENTIALS, **properties}
    assert provider.check_config("urn", {}, values).failures == []
    provider.configure(values)
    return provider


def test_another_account_is_refused(cloud: str) -> None:
    with pytest.raises(ResourceError, match=f"AWS account ID not allowed: {ACCOUNT}"):
        configured(allowedAccountIds=json.dumps(["999999999999"]))
    with pytest.raises(ResourceError, match="not allowed"):
        configured(forbiddenAccountIds=json.dumps([ACCOUNT]))
    configured(allowedAccountIds=json.dumps(["999999999999", ACCOUNT]))


def test_account_of_an_assumed_role_counts(cloud: str) -> None:
    role = [{"roleArn": "arn:aws:iam::210987654321:role/deploy", "externalId": "deploy-1", "sessionName": "deploy"}]
    configured(assumeRoles=json.dumps(role), allowedAccountIds=json.dumps(["210987654321"]))
    with pytest.raises(ResourceError, match="AWS account ID not allowed: 210987654321"):
        configured(assumeRoles=json.dumps(role), allowedAccountIds=json.dumps([ACCOUNT]))


def test_endpoint_of_the_configuration_wins(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    engine = Engine(configured(endpoints=json.dumps([{"sts": cloud, "logs": cloud}])))
    assert engine.create(LOG_GROUP, name="by-endpoint").id == "by-endpoint"


def test_unreachable_api_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ResourceError, match="retrieving the caller identity: Could not connect"):
        configured()


@pytest.mark.parametrize(
    ("news", "property_", "text"),
    [
        ({}, "region", "Missing region"),
        ({"region": REGION, "assumeRole": "x"}, "assumeRole", "has no configuration assumeRole"),
        (
            {"region": REGION, "assumeRoles": '[{"roleArn": "a", "duration": "1h"}]'},
            "assumeRoles[0].duration",
            "no assumeRoles input",
        ),
        ({"region": REGION, "endpoints": '[{"s3": "http://127.0.0.1"}]'}, "endpoints", "does not use the service s3"),
    ],
)
def test_configuration_outside_the_table_is_refused(news: dict[str, Any], property_: str, text: str) -> None:
    (failure,) = AwsProvider().check_config("urn", {}, news).failures
    assert failure.property == property_
    assert text in failure.reason


def test_unknown_configuration_passes_the_check() -> None:
    assert AwsProvider().check_config("urn", {}, {"region": UNKNOWN, "assumeRoles": UNKNOWN}).failures == []


def test_unconfigured_provider_says_why() -> None:
    with pytest.raises(ResourceError, match="not configured"):
        AwsProvider().read("urn", LOG_GROUP, "x", {}, {})


def test_another_region_replaces_the_provider_and_another_account_does_not() -> None:
    provider = AwsProvider()
    old = {"region": REGION, "allowedAccountIds": json.dumps([ACCOUNT])}
    assert provider.diff_config("urn", old, {**old, "region": "eu-west-1"}).replaces == ["region"]
    changed = provider.diff_config("urn", old, {**old, "allowedAccountIds": json.dumps(["1"])})
    assert (changed.changes, changed.replaces) == (True, [])
    assert not provider.diff_config("urn", old, dict(old)).changes
