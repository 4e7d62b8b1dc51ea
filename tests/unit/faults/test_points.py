"""The points at which a run can be killed follow from its preview, and the same seed gives the same sample."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.plugins.faults import Point
from tests.faults.points import one_of_each, points_of, sampled

pytestmark = pytest.mark.unit

SECRET = "kubernetes:core/v1:Secret"


def step(op: str, name: str, kind: str = SECRET, **state: Any) -> dict[str, Any]:
    which = "oldState" if op == "delete" else "newState"
    return {"op": op, "urn": f"urn:pulumi:s::p::{kind}::{name}", which: {"type": kind, "custom": True, **state}}


def of(*steps: dict[str, Any]) -> list[str]:
    return [f"{point.of} {point.operation} {point.moment}" for point in points_of({"steps": list(steps)})]


def test_each_operation_has_a_point_before_and_one_after_it() -> None:
    assert of(step("create", "tls"), step("update", "uri"), step("delete", "old"), step("import", "release")) == [
        "tls create before",
        "tls create after",
        "uri update before",
        "uri update after",
        "old delete before",
        "old delete after",
        "release read before",
        "release read after",
    ]


def test_what_takes_several_calls_has_a_point_between_them() -> None:
    group = "aws:ec2/securityGroup:SecurityGroup"
    assert of(step("create", "group", group), step("delete", "group", group)) == [
        "group create before",
        "group create between",
        "group create after",
        "group delete before",
        "group delete after",
    ]
    assert of(step("create", "rule", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")) == [
        "rule create before",
        "rule create after",
    ]


def test_a_replacement_is_a_creation_and_a_deletion_however_the_engine_tells_it() -> None:
    both = ["job create before", "job create after", "job delete before", "job delete after"]
    assert of(step("replace", "job")) == both
    told = [step(op, "job") for op in ("create-replacement", "replace", "delete-replaced")]
    assert of(*told) == both


def test_what_no_plugin_does_has_no_point() -> None:
    assert (
        of(
            step("same", "tls"),
            step("read", "self"),
            step("create", "aws", "pulumi:providers:aws"),
            step("create", "database", "teleport-access-graph:index:Database", custom=False),
            step("delete", "kept", retainOnDelete=True),
        )
        == []
    )


def test_each_type_and_operation_has_one_point_at_its_worst_moment() -> None:
    group = "aws:ec2/securityGroup:SecurityGroup"
    steps = [
        step("create", "tls"),
        step("create", "uri"),
        step("update", "tls"),
        step("create", "group", group),
        step("delete", "group", group),
        step("create", "component", "teleport-access-graph:index:Database", custom=False),
    ]
    assert [f"{point.of} {point.operation} {point.moment}" for point in one_of_each({"steps": steps})] == [
        f"{SECRET} create after",
        f"{SECRET} update after",
        f"{group} create between",
        f"{group} delete after",
    ]


def test_a_sample_is_the_seeds_own() -> None:
    points = [Point(str(number), "create", "before") for number in range(50)]
    assert sampled(points, 3, seed=7) == sampled(points, 3, seed=7)
    assert sampled(points, 3, seed=7) != sampled(points, 3, seed=8)
    assert len(set(sampled(points, 100, seed=7))) == 50
