"""Every resource type on moto's API: made, read back, changed in place, imported, deleted, and reported when gone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.plugins.aws.resources import (
    ALIAS,
    INGRESS_RULE,
    KEY,
    LOG_GROUP,
    PARAMETER_GROUP,
    ROLE,
    ROLE_POLICY,
    ROLE_POLICY_ATTACHMENT,
    SECURITY_GROUP,
    SUBNET_GROUP,
)
from tests.engine.aws_plugin.conftest import ACCOUNT, REGION, Engine, Made

pytestmark = pytest.mark.engine

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "monitoring.rds.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)
READ = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*"}]}
)


def imported(engine: Engine, type_: str, id_: str) -> Made:
    found = engine.provider.read("urn", type_, id_, {}, {})
    assert found is not None
    return Made(type_, *found)


def test_key(engine: Engine, aws: Any) -> None:
    key = engine.create(
        KEY, description="one", enableKeyRotation=True, deletionWindowInDays=30, tags={"a": "1", "b": "1"}
    )
    assert key.id == key.outputs["keyId"]
    assert key.outputs["arn"] == f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{key.id}"
    assert aws("kms").get_key_rotation_status(KeyId=key.id)["KeyRotationEnabled"] is True
    assert key.outputs["tagsAll"] == {"a": "1", "b": "1"}

    key = engine.update(
        key, description="two", enableKeyRotation=True, deletionWindowInDays=30, tags={"a": "2", "c": "1"}
    )
    assert aws("kms").describe_key(KeyId=key.id)["KeyMetadata"]["Description"] == "two"
    assert key.outputs["tagsAll"] == {"a": "2", "c": "1"}

    taken = imported(engine, KEY, key.id)
    assert taken.inputs["description"] == "two"
    engine.delete(key)
    assert aws("kms").describe_key(KeyId=key.id)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_key_policy_is_compared_by_what_it_says(engine: Engine) -> None:
    statement = {
        "Sid": "A",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": ["kms:*"],
        "Resource": "*",
    }
    key = engine.create(KEY, policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    other = json.dumps({"Statement": {**statement, "Action": "kms:*"}, "Version": "2012-10-17"}, indent=2)
    assert not engine.diff(key, policy=other).changes
    changed = json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Sid": "B"}]})
    assert list(engine.diff(key, policy=changed).detailed) == ["policy"]


def test_alias(engine: Engine, aws: Any) -> None:
    first, second = (engine.create(KEY) for _ in range(2))
    alias = engine.create(ALIAS, name="alias/graph", targetKeyId=first.id)
    assert alias.id == "alias/graph"
    assert alias.outputs["targetKeyArn"] == first.outputs["arn"]
    assert not engine.diff(alias, name="alias/graph", targetKeyId=first.outputs["arn"]).changes, (
        "an ARN is the same key"
    )
    alias = engine.update(alias, name="alias/graph", targetKeyId=second.id)
    assert alias.outputs["targetKeyArn"] == second.outputs["arn"]
    renamed = engine.diff(alias, name="alias/other", targetKeyId=second.id)
    assert (renamed.replaces, renamed.delete_before_replace) == (["name"], True)
    assert imported(engine, ALIAS, "alias/graph").inputs["targetKeyId"] == second.id
    engine.delete(alias)


def test_log_group(engine: Engine, aws: Any) -> None:
    key = engine.create(KEY)
    name = "/aws/rds/instance/graph/postgresql"
    group = engine.create(LOG_GROUP, name=name, retentionInDays=30, kmsKeyId=key.outputs["arn"], tags={"a": "1"})
    assert group.id == name
    assert group.outputs["arn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"
    group = engine.update(group, name=name, retentionInDays=7, kmsKeyId=key.outputs["arn"], tags={"a": "2"})
    live = aws("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"][0]
    assert (live["retentionInDays"], live["kmsKeyId"]) == (7, key.outputs["arn"])
    assert imported(engine, LOG_GROUP, name).inputs["retentionInDays"] == 7
    engine.delete(group)


def test_network_and_subnet_group(engine: Engine, aws: Any) -> None:
    vpc = aws("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    client = engine.create(SECURITY_GROUP, name="client", vpcId=vpc)
    group = engine.create(SECURITY_GROUP, namePrefix="graph-", vpcId=vpc, description="Clients", tags={"a": "1"})
    assert group.outputs["name"].startswith("graph-2")
    assert len(group.outputs["name"]) == len("graph-") + 26
    assert group.outputs["egress"] == [], "what AWS opens by itself is closed"
    assert engine.diff(group, namePrefix="graph-", vpcId=vpc, description="Other").replaces == ["description"]

    rule_inputs = {
        "securityGroupId": group.id,
        "referencedSecurityGroupId": client.id,
        "ipProtocol": "tcp",
        "fromPort": 5432,
        "toPort": 5432,
        "description": "PostgreSQL",
        "tags": {"a": "1"},
    }
    rule = engine.create(INGRESS_RULE, **rule_inputs)
    assert rule.id == rule.outputs["securityGroupRuleId"]
    live = aws("ec2").describe_security_groups(GroupIds=[group.id])["SecurityGroups"][0]["IpPermissions"]
    assert [(item["FromPort"], item["UserIdGroupPairs"][0]["GroupId"]) for item in live] == [(5432, client.id)]
    assert imported(engine, INGRESS_RULE, rule.id).inputs["referencedSecurityGroupId"] == client.id
    listed = {**rule_inputs, "prefixListId": "pl-0123456789abcdef0", "description": "Offices"}
    del listed["referencedSecurityGroupId"]
    offices = engine.create(INGRESS_RULE, **listed)
    rule = engine.update(rule, **{**rule_inputs, "description": "The graph"})
    for one, said in ((rule, "The graph"), (offices, "Offices")):
        found = engine.refresh(one)
        assert found is not None
        assert found.outputs["description"] == said
    engine.delete(offices)
    engine.delete(rule)
    refreshed = engine.refresh(group)
    assert refreshed is not None
    assert refreshed.outputs["ingress"] == []
    engine.delete(group)

    subnets = [
        aws("ec2").create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"us-east-1{zone}")[
            "Subnet"
        ]["SubnetId"]
        for index, zone in enumerate("abc")
    ]
    subnet_group = engine.create(SUBNET_GROUP, namePrefix="graph-", subnetIds=subnets[:2])
    taken = imported(engine, SUBNET_GROUP, subnet_group.outputs["name"])
    assert not engine.diff(taken, namePrefix="graph-", subnetIds=subnets[:2]).replaces, "read off its name"
    assert subnet_group.outputs["vpcId"] == vpc
    assert not engine.diff(subnet_group, namePrefix="graph-", subnetIds=subnets[1::-1]).changes, "a set has no order"
    subnet_group = engine.update(subnet_group, namePrefix="graph-", subnetIds=subnets[1:])
    assert sorted(subnet_group.outputs["subnetIds"]) == sorted(subnets[1:])
    engine.delete(subnet_group)


def test_parameter_group(engine: Engine, aws: Any) -> None:
    force_ssl = {"name": "rds.force_ssl", "value": "1", "applyMethod": "immediate"}
    inputs: dict[str, Any] = {"namePrefix": "graph-postgres17-", "family": "postgres17", "tags": {"a": "1"}}
    group = engine.create(PARAMETER_GROUP, parameters=[force_ssl], **inputs)
    assert group.outputs["parameters"] == [force_ssl]
    assert group.outputs["description"] == "Managed by Pulumi"
    # What AWS reports for a value that equals its own default.
    default = {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "pending-reboot"}
    aws("rds").modify_db_parameter_group(DBParameterGroupName=group.id, Parameters=[{**default, "Source": "system"}])
    group = engine.refresh(group)
    assert group is not None
    assert group.outputs["parameters"] == [{**force_ssl, "applyMethod": "pending-reboot"}], "it was asked for"
    assert engine.diff(group, parameters=[force_ssl], **inputs).changes, "the method is a change in every up"
    waiting = {**force_ssl, "applyMethod": "pending-reboot"}
    assert not engine.diff(group, parameters=[waiting], **inputs).changes
    aws("rds").modify_db_parameter_group(DBParameterGroupName=group.id, Parameters=[{**default, "Source": "user"}])
    group = engine.update(group, parameters=[{**force_ssl, "value": "0"}], **inputs)
    assert group.outputs["parameters"] == [{**force_ssl, "value": "0"}]
    next_major = engine.diff(group, parameters=[force_ssl], namePrefix="graph-postgres18-", family="postgres18")
    assert next_major.replaces == ["namePrefix", "family"]
    assert next_major.delete_before_replace is False, "the new group stands before the instance leaves the old one"
    engine.delete(group)


def test_role_and_its_policies(engine: Engine, aws: Any) -> None:
    role = engine.create(ROLE, namePrefix="graph-", assumeRolePolicy=TRUST, description="one", tags={"a": "1"})
    assert role.id == role.outputs["name"]
    assert role.outputs["arn"] == f"arn:aws:iam::{ACCOUNT}:role/{role.id}"
    role = engine.update(role, namePrefix="graph-", assumeRolePolicy=TRUST, description="two", tags={"b": "1"})
    assert aws("iam").get_role(RoleName=role.id)["Role"]["Description"] == "two"
    assert role.outputs["tagsAll"] == {"b": "1"}

    policy = engine.create(ROLE_POLICY, role=role.id, policy=READ)
    assert policy.id == f"{role.id}:thing-0123456"
    wider = READ.replace("kms:Decrypt", "kms:*")
    policy = engine.update(policy, role=role.id, policy=wider)
    live = aws("iam").get_role_policy(RoleName=role.id, PolicyName="thing-0123456")["PolicyDocument"]
    assert live["Statement"][0]["Action"] == ["kms:*"]

    managed = aws("iam").create_policy(PolicyName="managed", PolicyDocument=READ)["Policy"]["Arn"]
    attachment = engine.create(ROLE_POLICY_ATTACHMENT, role=role.id, policyArn=managed)
    assert attachment.id == f"{role.id}/{managed}"
    assert imported(engine, ROLE_POLICY_ATTACHMENT, attachment.id).inputs["policyArn"] == managed
    refreshed = engine.refresh(role)
    assert refreshed is not None
    assert refreshed.outputs["managedPolicyArns"] == [managed]
    for made in (attachment, policy, role):
        engine.delete(made)


def test_delete_of_what_is_gone_already_is_no_error(engine: Engine, aws: Any) -> None:
    group, role, key = engine.create(SECURITY_GROUP), engine.create(ROLE, assumeRolePolicy=TRUST), engine.create(KEY)
    managed = aws("iam").create_policy(PolicyName="gone", PolicyDocument=READ)["Policy"]["Arn"]
    made = [
        engine.create(LOG_GROUP, name="gone"),
        engine.create(PARAMETER_GROUP, family="postgres17"),
        engine.create(
            INGRESS_RULE, securityGroupId=group.id, ipProtocol="tcp", fromPort=1, toPort=1, cidrIpv4="10.0.0.0/24"
        ),
        engine.create(ROLE_POLICY, role=role.id, policy=READ),
        engine.create(ROLE_POLICY_ATTACHMENT, role=role.id, policyArn=managed),
        engine.create(ALIAS, name="alias/gone", targetKeyId=key.id),
        group,
        role,
        key,
    ]
    for item in made:
        engine.delete(item)
        engine.delete(item)


def test_default_tags_are_on_the_object_and_not_among_its_own(cloud: str, aws: Any) -> None:
    from sandbox.plugins.aws.provider import AwsProvider
    from tests.engine.aws_plugin.conftest import CREDENTIALS

    provider = AwsProvider()
    provider.configure(
        {"region": REGION, "defaultTags": json.dumps({"tags": {"owner": "us", "a": "0"}}), **CREDENTIALS}
    )
    engine = Engine(provider)
    group = engine.create(LOG_GROUP, name="tagged", tags={"a": "1"})
    assert group.outputs["tags"] == {"a": "1"}
    assert group.outputs["tagsAll"] == {"owner": "us", "a": "1"}
    assert aws("logs").list_tags_for_resource(resourceArn=group.outputs["arn"])["tags"] == {"owner": "us", "a": "1"}


def test_drift_is_seen_by_a_refresh_and_mended_by_an_update(engine: Engine, aws: Any) -> None:
    group = engine.create(LOG_GROUP, name="drifting", retentionInDays=30)
    aws("logs").put_retention_policy(logGroupName="drifting", retentionInDays=1)
    refreshed = engine.refresh(group)
    assert refreshed is not None
    assert refreshed.outputs["retentionInDays"] == 1
    mended = engine.update(refreshed, name="drifting", retentionInDays=30)
    assert mended.outputs["retentionInDays"] == 30
