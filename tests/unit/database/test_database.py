"""The instance that is requested from AWS: its network access, encryption, monitoring, protection, and what remains of
it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.database import DatabaseArgs
from components.database_authorities import ca_bundle
from components.database_policies import key_policy, role_name_prefix
from components.settings.formats import partition_of
from tests.unit.database.graph import TAGS, lineage, record_database
from tests.unit.monitor import Recording, Secret, leaves

pytestmark = pytest.mark.unit

IDENTIFIER = "teleport-access-graph-dev"
DOCUMENT = Path(__file__).resolve().parents[3] / "docs/database.md"
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/database-key"


@pytest.fixture(scope="module")
def recording() -> Recording:
    return record_database()


@pytest.fixture(scope="module")
def instance(recording: Recording) -> dict[str, Any]:
    return recording["database-instance"].inputs


def test_resources_have_these_names_and_one_parent(recording: Recording) -> None:
    assert lineage(recording) == {
        "teleport-access-graph:index:Database::database",
        *(
            f"teleport-access-graph:index:Database${child}"
            for child in (
                "aws:kms/key:Key::database-key",
                "aws:kms/alias:Alias::database-key-alias",
                "aws:cloudwatch/logGroup:LogGroup::database-log-postgresql",
                "aws:cloudwatch/logGroup:LogGroup::database-log-upgrade",
                "aws:rds/subnetGroup:SubnetGroup::database-subnet-group",
                "aws:ec2/securityGroup:SecurityGroup::database-security-group",
                "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::database-ingress-sg-0a1b2c3d",
                "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule::database-ingress-sg-1a1b2c3d",
                "aws:rds/parameterGroup:ParameterGroup::database-parameter-group",
                "aws:iam/role:Role::database-monitoring-role",
                "aws:iam/rolePolicyAttachment:RolePolicyAttachment::database-monitoring-policy",
                "random:index/randomId:RandomId::database-final-snapshot",
                "aws:rds/instance:Instance::database-instance",
            )
        ),
    }


def test_plain_mapping_builds_the_same(recording: Recording) -> None:
    assert record_database(as_mapping=True).in_order() == recording.in_order()


def test_instance_is_exactly_this(instance: dict[str, Any]) -> None:
    assert instance == {
        "identifier": IDENTIFIER,
        "engine": "postgres",
        "engineVersion": "17",
        "allowMajorVersionUpgrade": True,
        "autoMinorVersionUpgrade": True,
        "instanceClass": "db.t4g.medium",
        "allocatedStorage": 20,
        "maxAllocatedStorage": 100,
        "storageType": "gp3",
        "storageEncrypted": True,
        "kmsKeyId": KEY_ARN,
        "dbName": "access_graph",
        "port": 5432,
        "username": "tag_admin",
        "manageMasterUserPassword": True,
        "masterUserSecretKmsKeyId": KEY_ARN,
        "iamDatabaseAuthenticationEnabled": True,
        "caCertIdentifier": "rds-ca-rsa2048-g1",
        "dbSubnetGroupName": instance["dbSubnetGroupName"],
        "vpcSecurityGroupIds": ["database-security-group-id"],
        "publiclyAccessible": False,
        "parameterGroupName": instance["parameterGroupName"],
        "multiAz": False,
        "backupRetentionPeriod": 7,
        "copyTagsToSnapshot": True,
        "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "monitoringInterval": 60,
        "monitoringRoleArn": "arn:aws:iam::123456789012:role/database-monitoring-role",
        "performanceInsightsEnabled": True,
        "performanceInsightsKmsKeyId": KEY_ARN,
        "performanceInsightsRetentionPeriod": 7,
        "databaseInsightsMode": "standard",
        "deletionProtection": True,
        "skipFinalSnapshot": False,
        "finalSnapshotIdentifier": f"{IDENTIFIER}-final-0a1b2c3d",
        "applyImmediately": False,
        "tags": TAGS,
    }


def test_every_aws_object_that_can_be_tagged_is(recording: Recording) -> None:
    untaggable = {"aws:kms/alias:Alias", "aws:iam/rolePolicyAttachment:RolePolicyAttachment"}
    tagged = [item for item in recording.custom() if item.type.startswith("aws:") and item.type not in untaggable]
    assert len(tagged) == 10
    assert [item.name for item in tagged if item.inputs.get("tags") != TAGS] == []


def test_only_clients_security_groups_come_in_and_nothing_goes_out(recording: Recording) -> None:
    group = recording["database-security-group"].inputs
    assert not group.keys() & {"ingress", "egress"}, "rules in the group and rules of their own fight each other"
    rules = recording.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert [rule.inputs["referencedSecurityGroupId"] for rule in rules] == ["sg-0a1b2c3d", "sg-1a1b2c3d"]
    for rule in rules:
        assert (rule.inputs["ipProtocol"], rule.inputs["fromPort"], rule.inputs["toPort"]) == ("tcp", 5432, 5432)
        assert not rule.inputs.keys() & {"cidrIpv4", "cidrIpv6"}
    assert recording.of_type("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule") == []


def test_a_rule_admits_the_one_client_that_it_is_named_by() -> None:
    recording = record_database(client_prefix_list_ids=["pl-0a1b2c3d"], client_cidrs=["10.1.0.0/16"])
    who = ("referencedSecurityGroupId", "prefixListId", "cidrIpv4", "cidrIpv6")
    assert {
        rule.name: {field: rule.inputs[field] for field in who if field in rule.inputs}
        for rule in recording.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    } == {
        "database-ingress-sg-0a1b2c3d": {"referencedSecurityGroupId": "sg-0a1b2c3d"},
        "database-ingress-sg-1a1b2c3d": {"referencedSecurityGroupId": "sg-1a1b2c3d"},
        "database-ingress-pl-0a1b2c3d": {"prefixListId": "pl-0a1b2c3d"},
        "database-ingress-10.1.0.0-16": {"cidrIpv4": "10.1.0.0/16"},
    }


def test_rules_of_the_former_port_stay_until_nobody_needs_them(recording: Recording) -> None:
    """When the port changes, the engine creates the new rule first, and deletes the former one as the last step of the
    `up`."""
    for rule in recording.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"):
        assert rule.replace_on_changes == ("fromPort", "toPort")
        assert not rule.delete_before_replace


def test_connections_without_tls_are_refused_by_the_server(recording: Recording) -> None:
    group = recording["database-parameter-group"].inputs
    # From PostgreSQL 15 on, 1 is RDS's default for this parameter, and AWS then reports this apply method whatever was
    # requested.
    assert group["parameters"] == [{"name": "rds.force_ssl", "value": "1", "applyMethod": "pending-reboot"}]
    assert (group["family"], group["namePrefix"]) == ("postgres17", f"{IDENTIFIER}-postgres17-")


def test_parameter_group_of_another_major_is_another_group() -> None:
    group = record_database(engine_version="18")["database-parameter-group"].inputs
    assert (group["family"], group["namePrefix"]) == ("postgres18", f"{IDENTIFIER}-postgres18-")


def test_log_groups_stand_before_the_instance(recording: Recording) -> None:
    before = recording.ancestors("database-instance")
    for log in ("postgresql", "upgrade"):
        assert f"database-log-{log}" in before
        assert recording[f"database-log-{log}"].inputs == {
            "name": f"/aws/rds/instance/{IDENTIFIER}/{log}",
            "retentionInDays": 30,
            "kmsKeyId": KEY_ARN,
            "tags": TAGS,
        }


def test_monitoring_policy_is_attached_before_the_instance(recording: Recording) -> None:
    assert "database-monitoring-policy" in recording.ancestors("database-instance")
    assert recording["database-monitoring-policy"].inputs["policyArn"] == (
        "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
    )
    trust = json.loads(recording["database-monitoring-role"].inputs["assumeRolePolicy"])
    assert trust["Statement"][0]["Condition"] == {
        "StringEquals": {
            "aws:SourceAccount": "123456789012",
            "aws:SourceArn": f"arn:aws:rds:us-east-1:123456789012:db:{IDENTIFIER}",
        }
    }


def test_no_monitoring_means_no_role() -> None:
    recording = record_database(monitoring_interval_seconds=0)
    assert recording.of_type("aws:iam/role:Role") == []
    assert recording["database-instance"].inputs["monitoringInterval"] == 0
    assert "monitoringRoleArn" not in recording["database-instance"].inputs


def test_advanced_insights_are_kept_as_long_as_aws_demands() -> None:
    inputs = record_database(database_insights="advanced")["database-instance"].inputs
    assert (inputs["databaseInsightsMode"], inputs["performanceInsightsRetentionPeriod"]) == ("advanced", 465)


def test_key_rotates_and_is_for_this_account_and_these_logs(recording: Recording) -> None:
    key = recording["database-key"].inputs
    assert key["enableKeyRotation"] is True
    assert key["deletionWindowInDays"] == 30
    account, logs, publish = json.loads(key["policy"])["Statement"]
    assert publish["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert publish["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
    assert account["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert logs["Principal"] == {"Service": "logs.us-east-1.amazonaws.com"}
    assert logs["Condition"]["ArnLike"] == {
        "kms:EncryptionContext:aws:logs:arn": [
            f"arn:aws:logs:us-east-1:123456789012:log-group:/aws/rds/instance/{name}/*"
            for name in (IDENTIFIER, f"{IDENTIFIER}-replica")
        ]
    }
    assert recording["database-key-alias"].inputs["name"] == f"alias/{IDENTIFIER}"


def test_given_key_is_used_everywhere_and_none_is_made() -> None:
    arn = "arn:aws:kms:us-east-1:123456789012:key/given"
    recording = record_database(kms_key_arn=arn)
    assert recording.of_type("aws:kms/key:Key") == recording.of_type("aws:kms/alias:Alias") == []
    inputs = recording["database-instance"].inputs
    assert {inputs[key] for key in ("kmsKeyId", "performanceInsightsKmsKeyId", "masterUserSecretKmsKeyId")} == {arn}
    assert recording["database-log-upgrade"].inputs["kmsKeyId"] == arn


KEPT = {
    "keep": {
        "database-instance",
        "database-key",
        "database-key-alias",
        "database-log-postgresql",
        "database-log-upgrade",
        "database-subnet-group",
        "database-security-group",
        "database-parameter-group",
        "database-monitoring-role",
        "database-monitoring-policy",
    },
    # The final snapshot cannot be read without the key that encrypted it.
    "snapshot": {"database-key"},
    "delete": set(),
}


@pytest.mark.slow
@pytest.mark.parametrize("on_destroy", ["keep", "snapshot", "delete"])
@pytest.mark.parametrize("protect", [True, False])
def test_what_destroy_leaves(on_destroy: str, protect: bool) -> None:
    recording = record_database(on_destroy=on_destroy, protect=protect)
    assert {item.name for item in recording.custom() if item.retain_on_delete} == KEPT[on_destroy]
    assert {item.name for item in recording.custom() if item.protect} == (
        {"database-instance", "database-key"} if protect else set()
    )
    inputs = recording["database-instance"].inputs
    assert inputs["deletionProtection"] is (protect or on_destroy == "keep")
    assert inputs["skipFinalSnapshot"] is (on_destroy == "delete")
    assert ("finalSnapshotIdentifier" in inputs) is (on_destroy != "delete")


@pytest.mark.slow
@pytest.mark.parametrize("on_destroy", ["keep", "snapshot", "delete"])
def test_a_client_that_is_taken_out_is_let_in_no_more_and_the_others_stay_with_the_group(on_destroy: str) -> None:
    recording = record_database(on_destroy=on_destroy)
    rules = recording.of_type("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    group = recording["database-security-group"].urn
    assert [(rule.retain_on_delete, rule.deleted_with) for rule in rules] == [
        (False, group if on_destroy == "keep" else "")
    ] * 2


def test_the_last_snapshot_has_another_name_for_each_instance(recording: Recording) -> None:
    """Whatever replaces the instance changes the name of the final snapshot. Otherwise the last snapshot of the
    replacement would find its name taken by that of the former instance."""
    assert recording["database-final-snapshot"].plain("keepers") == {
        "identifier": IDENTIFIER,
        "kms_key": "arn:aws:kms:us-east-1:123456789012:key/database-key",
        "database_name": "access_graph",
        "master_username": "tag_admin",
    }


def test_managed_password_never_meets_the_state(recording: Recording, instance: dict[str, Any]) -> None:
    assert not instance.keys() & {"password", "passwordWo"}
    assert recording.of_type("random:index/randomPassword:RandomPassword") == []
    outputs = recording.component_outputs["database"]
    assert outputs["master_secret_arn"].startswith("arn:aws:secretsmanager:us-east-1:123456789012:secret:rds-")
    assert "master_password" not in outputs


def test_generated_password_is_secret_wherever_it_is() -> None:
    recording = record_database(master_password="generated")
    inputs = recording["database-instance"].inputs
    assert inputs["password"] == Secret("canary-password-database-master-password-0123456789abcdef0123456789")
    assert not inputs.keys() & {"manageMasterUserPassword", "masterUserSecretKmsKeyId"}
    seen = [
        (path, secret)
        for values in (
            *(item.inputs for item in recording.registrations),
            recording.component_outputs["database"],
        )
        for path, value, secret in leaves(values)
        if "canary" in str(value)
    ]
    assert sorted(seen) == [("master_password", True), ("password", True)]


def test_outputs_are_these(recording: Recording) -> None:
    outputs = recording.component_outputs["database"]
    assert outputs == {
        "address": "db.abcdefghijkl.us-east-1.rds.amazonaws.com",
        "port": 5432,
        "endpoint": "db.abcdefghijkl.us-east-1.rds.amazonaws.com:5432",
        "database_name": "access_graph",
        "instance_arn": "arn:aws:rds:us-east-1:123456789012:db:database-instance",
        "resource_id": "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "identifier": IDENTIFIER,
        "master_username": "tag_admin",
        "master_secret_arn": outputs["master_secret_arn"],
        "master_secret_kms_key_arn": KEY_ARN,
        "kms_key_arn": KEY_ARN,
        "ca_bundle": ca_bundle("us-east-1"),
    }


def test_given_bundle_replaces_the_shipped_one() -> None:
    outputs = record_database(region="us-gov-west-1", ca_bundle="PEM").component_outputs["database"]
    assert outputs["ca_bundle"] == "PEM"


def test_preview_of_an_empty_account_knows_what_it_can(recording: Recording) -> None:
    preview = record_database(preview=True)
    # Resources that wait for nothing register in any order.
    assert sorted(item.urn for item in preview.registrations) == sorted(item.urn for item in recording.registrations)
    assert preview["database-instance"].inputs["deletionProtection"] is True
    assert preview["database-log-upgrade"].inputs["name"] == f"/aws/rds/instance/{IDENTIFIER}/upgrade"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("region", "partition", "logs"),
    [
        ("eu-central-1", "aws", "logs.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "logs.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "aws-cn", "logs.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_every_arn_is_of_the_regions_partition(region: str, partition: str, logs: str) -> None:
    assert partition_of(region) == partition
    statements = json.loads(key_policy(region=region, account_id="1", identifier="i"))["Statement"]
    assert statements[1]["Principal"]["Service"] == logs
    recording = record_database(region=region, ca_bundle="PEM")
    arns = [
        text
        for item in recording.custom()
        for key in ("policy", "assumeRolePolicy", "policyArn")
        for text in [item.inputs.get(key, "")]
        if text
    ]
    assert len(arns) == 3
    assert all(f"arn:{partition}:" in text for text in arns)
    assert not any("arn:aws:" in text for text in arns) or partition == "aws"


def test_the_document_asks_of_a_key_that_exists_what_one_of_the_stacks_own_allows() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## A key of your own")[2]
    shown = section.partition("```json")[2].partition("```")[0]
    policy = key_policy(region="us-east-1", account_id="123456789012", identifier="teleport-access-graph-prod")
    assert json.loads(f"[{shown}]") == json.loads(policy)["Statement"][1:]


def test_role_name_stays_within_iams_limit() -> None:
    assert role_name_prefix("short") == "short-"
    assert len(role_name_prefix("x" * 63)) == 38


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"on_destroy": "retain"}, "on_destroy: 'retain' is none of keep, snapshot, delete"),
        ({"master_password": "none"}, "master_password: 'none' is none of managed, generated"),
        ({"database_insights": "off"}, "database_insights: 'off' is none of standard, advanced"),
        ({"monitoring_interval_seconds": 2}, "monitoring_interval_seconds: 2 is none of 0, 1, 5, 10, 15, 30, 60"),
        ({"client_security_group_ids": []}, "client_security_group_ids: is empty"),
    ],
)
def test_choice_that_picks_no_branch_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record_database(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"restore_time": "2026-01-31T00:00:00Z"}, "restore_time: is a moment of restore_source, which is not given"),
        (
            {"restore_time": "2026-01-31T00:00:00Z", "restore_snapshot": "before"},
            "restore_time: is a moment of restore_source, which is not given",
        ),
        ({"topic_emails": ["ops@example.com"]}, "topic_emails: are for a topic of this component's, and none is made"),
        (
            {"topic_emails": ["ops@example.com"], "topic_arn": "arn:aws:sns:eu-central-1:123456789012:operations"},
            "topic_emails: are for a topic of this component's, and none is made; give own_topic",
        ),
        ({"replica_instance_class": "db.t4g.large"}, "replica_instance_class: is given, and there is no replica"),
        ({"replica_multi_az": True}, "replica_multi_az: is given, and there is no replica; give replica"),
    ],
)
def test_an_argument_that_nothing_would_come_of_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^DatabaseArgs: {message}"):
        record_database(**changes)


def test_arguments_are_required_where_no_default_is_safe() -> None:
    with pytest.raises(TypeError, match="missing 'account_id'"):
        DatabaseArgs.from_input({"region": "us-east-1"})
