"""The security group is registered exactly as the SDK's own class registers it: every field of the request, including
the version."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.security_group import SecurityGroup
from tests.unit.monitor import RecordingMonitor, record

pytestmark = pytest.mark.unit

# The place in the program: the only fields in which the two requests may differ.
PLACE = ("sourcePosition", "stackTrace", "parentStackTraceHandle")


def request_of(kind: type[pulumi.CustomResource], monkeypatch: pytest.MonkeyPatch, *, preview: bool) -> dict[str, Any]:
    requests: list[Any] = []
    answer = RecordingMonitor.RegisterResource

    def register(self: RecordingMonitor, request: Any) -> Any:
        if request.type.startswith("aws:"):
            requests.append(request)
        return answer(self, request)

    monkeypatch.setattr(RecordingMonitor, "RegisterResource", register)

    def program() -> None:
        before = aws.kms.Key("key")
        kind(
            "group",
            name_prefix=before.arn.apply(lambda arn: f"{arn}-"),
            description="Clients of the database",
            vpc_id=pulumi.Output.secret("vpc-1"),
            tags={"Stack": before.key_id},
            opts=pulumi.ResourceOptions(provider=aws.Provider("aws", region="us-east-1"), retain_on_delete=True),
        )

    record(program, preview=preview)
    _, request = requests
    for field in PLACE:
        request.ClearField(field)
    # The order of this list of URNs has no meaning.
    urns = sorted(request.dependencies)
    del request.dependencies[:]
    request.dependencies.extend(urns)
    return {field.name: value for field, value in request.ListFields()}


@pytest.mark.slow
@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_it_is_registered_as_the_sdks_own_class_does(monkeypatch: pytest.MonkeyPatch, preview: bool) -> None:
    with monkeypatch.context() as patched:
        ours = request_of(SecurityGroup, patched, preview=preview)
    with monkeypatch.context() as patched:
        theirs = request_of(aws.ec2.SecurityGroup, patched, preview=preview)
    assert ours == theirs
    assert {"version", "object", "propertyDependencies", "provider", "retainOnDelete"} <= ours.keys()
