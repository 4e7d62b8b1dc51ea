"""An RDS instance's life through the API: what is asked for is what the API reports, and what the server does."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from sandbox.home import CHECKOUT
from tests.engine.cloud.conftest import MASTER, SETTLE_SECONDS, Cloud, wait_until

pytestmark = pytest.mark.engine


def test_an_instance_is_creating_then_backed_up_then_available(cloud: Cloud) -> None:
    options = {"MasterUserPassword": "long-enough-1", "MasterUsername": MASTER, "DBInstanceClass": "db.t4g.medium"}
    made = cloud.client("rds").create_db_instance(
        DBInstanceIdentifier="ordered", Engine="postgres", EngineVersion="17", AllocatedStorage=20, **options
    )["DBInstance"]
    assert made["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in made, "an instance that is being made has no endpoint yet"
    seen: list[str] = []
    deadline = time.monotonic() + SETTLE_SECONDS
    # One client for all calls, because making one can take longer than the backup of an empty database.
    rds = cloud.client("rds")
    while "available" not in seen and time.monotonic() < deadline:
        (instance,) = rds.describe_db_instances(DBInstanceIdentifier="ordered")["DBInstances"]
        if instance["DBInstanceStatus"] not in seen:
            seen.append(instance["DBInstanceStatus"])
    assert seen == ["creating", "backing-up", "available"]


def test_what_the_program_sets_is_read_back(cloud: Cloud) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    insights = {
        "EnablePerformanceInsights": True,
        "PerformanceInsightsKMSKeyId": key,
        "PerformanceInsightsRetentionPeriod": 465,
        "DatabaseInsightsMode": "advanced",
    }
    instance = cloud.create(
        "told",
        KmsKeyId=key,
        StorageEncrypted=True,
        StorageType="gp3",
        Port=6432,
        CACertificateIdentifier="rds-ca-ecc384-g1",
        EnableIAMDatabaseAuthentication=True,
        DeletionProtection=True,
        BackupRetentionPeriod=7,
        CopyTagsToSnapshot=True,
        EnableCloudwatchLogsExports=["postgresql", "upgrade"],
        Tags=[{"Key": "stack", "Value": "test"}],
        **insights,
    )
    expected = {
        "PerformanceInsightsEnabled": True,
        "PerformanceInsightsKMSKeyId": key,
        "PerformanceInsightsRetentionPeriod": 465,
        "DatabaseInsightsMode": "advanced",
        "KmsKeyId": key,
        "StorageEncrypted": True,
        "StorageType": "gp3",
        "CACertificateIdentifier": "rds-ca-ecc384-g1",
        "IAMDatabaseAuthenticationEnabled": True,
        "DeletionProtection": True,
        "BackupRetentionPeriod": 7,
        "CopyTagsToSnapshot": True,
        "EnabledCloudwatchLogsExports": ["postgresql", "upgrade"],
        "TagList": [{"Key": "stack", "Value": "test"}],
        "PubliclyAccessible": False,
        "LicenseModel": "postgresql-license",
        "MasterUsername": MASTER,
        "DBName": "access_graph",
    }
    assert {name: instance[name] for name in expected} == expected
    assert instance["Endpoint"]["Port"] == 6432
    assert instance["EngineVersion"].startswith("17.")
    assert instance["DbiResourceId"] != cloud.create("told-2")["DbiResourceId"]
    with cloud.connect(instance) as connection:
        assert connection.info.port == 6432
        version = connection.execute("SHOW server_version").fetchone()
        assert version is not None
        assert version[0].startswith(instance["EngineVersion"])
    groups = cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/rds/instance/told/")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [
        "/aws/rds/instance/told/postgresql",
        "/aws/rds/instance/told/upgrade",
    ], "RDS makes the groups that nobody made before it"
    rds, other = cloud.client("rds"), cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(ClientError, match="You can't change your Performance Insights KMS key"):
        rds.modify_db_instance(DBInstanceIdentifier="told", PerformanceInsightsKMSKeyId=other)


def test_the_advanced_insights_need_their_retention(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="at least 465 days"):
        cloud.create("dim", DatabaseInsightsMode="advanced", EnablePerformanceInsights=True)
    assert "dim" not in cloud.identifiers()


def test_a_version_without_programs_is_refused(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"Cannot find version 9\.6 for postgres"):
        cloud.create("old", EngineVersion="9.6")


def test_deletion_protection_holds_until_it_is_lifted(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create("guarded", DeletionProtection=True)
    with pytest.raises(ClientError, match="Cannot delete protected DB Instance"):
        rds.delete_db_instance(DBInstanceIdentifier="guarded", SkipFinalSnapshot=True)
    cloud.connect(instance).close()
    rds.modify_db_instance(DBInstanceIdentifier="guarded", DeletionProtection=False, ApplyImmediately=True)
    cloud.settled("guarded")
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        rds.delete_db_instance(DBInstanceIdentifier="guarded", SkipFinalSnapshot=False)
    secret = instance["MasterUserSecret"]["SecretArn"]
    host = cloud.address_of(instance)[0]
    rds.delete_db_instance(DBInstanceIdentifier="guarded", SkipFinalSnapshot=True)
    cloud.deleted("guarded")
    with pytest.raises(ClientError, match="ResourceNotFound"):
        cloud.client("secretsmanager").get_secret_value(SecretId=secret)
    assert instance["Endpoint"]["Address"] not in (cloud.home.names / "databases.json").read_text()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host=host, port=5432, user=MASTER, dbname="postgres", connect_timeout=5)


def test_a_final_snapshot_keeps_the_data_and_is_restored_from(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create(
        "kept", ManageMasterUserPassword=None, MasterUserPassword="first-password-1", AllocatedStorage=30
    )
    with cloud.connect(instance, password="first-password-1") as connection:
        connection.execute("CREATE TABLE remembered AS SELECT 42 AS answer")
    rds.delete_db_instance(DBInstanceIdentifier="kept", FinalDBSnapshotIdentifier="kept-final")
    cloud.deleted("kept")
    snapshot = rds.describe_db_snapshots(DBSnapshotIdentifier="kept-final")["DBSnapshots"][0]
    assert snapshot["Status"] == "available"
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="again", DBSnapshotIdentifier="kept-final")
    restored = cloud.settled("again")
    assert restored["DbiResourceId"] != instance["DbiResourceId"]
    with cloud.connect(restored, password="first-password-1") as connection:
        assert connection.execute("SELECT answer FROM remembered").fetchone() == (42,)
    assert restored["AllocatedStorage"] == 30
    with pytest.raises(ClientError, match=r"Invalid storage size for engine name postgres and storage type gp\d: 20"):
        rds.modify_db_instance(DBInstanceIdentifier="again", AllocatedStorage=20, ApplyImmediately=True)


def test_a_manual_snapshot_is_of_the_moment_it_was_taken(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create("moving")
    with cloud.connect(instance) as connection:
        connection.execute("CREATE TABLE events AS SELECT 1 AS number")
        rds.create_db_snapshot(DBInstanceIdentifier="moving", DBSnapshotIdentifier="moment")
        wait_until(
            lambda: rds.describe_db_snapshots(DBSnapshotIdentifier="moment")["DBSnapshots"][0]["Status"] == "available",
            SETTLE_SECONDS,
        )
        connection.execute("INSERT INTO events VALUES (2)")
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier="then", DBSnapshotIdentifier="moment")
    restored = cloud.settled("then")
    assert "MasterUserSecret" not in restored, "of what was restored RDS manages no password until it is told to"
    rds.modify_db_instance(DBInstanceIdentifier="then", ManageMasterUserPassword=True, ApplyImmediately=True)
    restored = cloud.settled("then")
    with cloud.connect(restored) as connection:
        assert connection.execute("SELECT number FROM events").fetchall() == [(1,)]


def test_a_changed_password_is_the_servers_and_so_is_a_rotated_one(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create("changing", ManageMasterUserPassword=None, MasterUserPassword="first-password-1")
    rds.modify_db_instance(
        DBInstanceIdentifier="changing", MasterUserPassword="second-password-2", ApplyImmediately=True
    )
    cloud.settled("changing")
    cloud.connect(instance, password="second-password-2").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        cloud.connect(instance, password="first-password-1")

    rds.modify_db_instance(DBInstanceIdentifier="changing", ManageMasterUserPassword=True, ApplyImmediately=True)
    instance = cloud.settled("changing")
    managed = cloud.master_password(instance)
    cloud.connect(instance, password=managed).close()

    rds.modify_db_instance(DBInstanceIdentifier="changing", RotateMasterUserPassword=True, ApplyImmediately=True)
    instance = cloud.settled("changing")
    assert cloud.master_password(instance) != managed
    cloud.connect(instance).close()

    third: dict[str, Any] = {"DBInstanceIdentifier": "changing", "MasterUserPassword": "third-password-3"}
    with pytest.raises(ClientError, match="an instance with ManageMasterUserPassword enabled"):
        rds.modify_db_instance(**third, ApplyImmediately=True)
    rds.modify_db_instance(**third, ManageMasterUserPassword=False, ApplyImmediately=True)
    instance = cloud.settled("changing")
    assert "MasterUserSecret" not in instance
    cloud.connect(instance, password="third-password-3").close()


def test_a_new_port_and_a_new_parameter_group_reach_the_server(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create("moved")
    rds.create_db_parameter_group(
        DBParameterGroupName="wider", DBParameterGroupFamily="postgres17", Description="more connections"
    )
    parameter = {"ParameterName": "max_connections", "ParameterValue": "123", "ApplyMethod": "pending-reboot"}
    rds.modify_db_parameter_group(DBParameterGroupName="wider", Parameters=[parameter])
    rds.modify_db_instance(DBInstanceIdentifier="moved", DBPortNumber=6001, DBParameterGroupName="wider")
    instance = cloud.settled("moved")
    assert instance["Endpoint"]["Port"] == 6001
    assert cloud.address_of(instance)[1] == 6001
    with cloud.connect(instance) as connection:
        assert connection.execute("SHOW max_connections").fetchone() == ("123",)
    with pytest.raises(ClientError, match="still members of this parameter group"):
        rds.delete_db_parameter_group(DBParameterGroupName="wider")


def test_a_reboot_ends_the_sessions_and_keeps_the_data(cloud: Cloud) -> None:
    instance = cloud.create("rebooted")
    with cloud.connect(instance) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1")
        cloud.client("rds").reboot_db_instance(DBInstanceIdentifier="rebooted")
        cloud.settled("rebooted")
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    with cloud.connect(instance) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1,)


def test_a_stopped_instance_does_not_answer_until_it_is_started(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    instance = cloud.create("paused")
    host, port = cloud.address_of(instance)
    password = cloud.master_password(instance)
    rds.stop_db_instance(DBInstanceIdentifier="paused")
    cloud.settled("paused", "stopped")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host=host, port=port, user=MASTER, dbname="postgres", connect_timeout=5)
    rds.start_db_instance(DBInstanceIdentifier="paused")
    instance = cloud.settled("paused")
    cloud.connect(instance, password=password).close()


def test_a_server_that_dies_is_started_again(cloud: Cloud) -> None:
    before = set(cloud.servers())
    instance = cloud.create("mortal")
    (pid,) = set(cloud.servers()) - before
    with cloud.connect(instance) as connection:
        connection.execute("CREATE TABLE survives AS SELECT 7 AS number")
    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            with cloud.connect(instance) as connection:
                return connection.execute("SELECT number FROM survives").fetchone() == (7,)
        except psycopg.OperationalError:
            return False

    wait_until(answers, SETTLE_SECONDS)
    assert "database mortal: its server is gone; it is started again" in cloud.log_file.read_text()


def test_every_call_is_a_line_that_says_whether_it_writes(cloud: Cloud) -> None:
    path = cloud.home.logs / "aws-requests.jsonl"
    before = len(path.read_text().splitlines())
    cloud.client("rds").describe_db_instances()
    cloud.client("kms").create_key()
    cloud.client("sts").get_caller_identity()
    lines = [json.loads(line) for line in path.read_text().splitlines()[before:]]
    assert [(line["service"], line["action"], line["write"]) for line in lines] == [
        ("rds", "DescribeDBInstances", False),
        ("kms", "CreateKey", True),
        ("sts", "GetCallerIdentity", False),
    ]


def test_a_taken_port_is_said_and_gone_around(cloud: Cloud) -> None:
    used = {record["address"] for record in json.loads((cloud.home.cloud / "fleet.json").read_text()).values()}
    prefix = cloud.facts["url"].split("//")[1].rsplit(".", 2)[0]
    address = next(one for one in (f"{prefix}.200.{number}" for number in range(1, 255)) if one not in used)
    with socket.socket() as other:
        other.bind((address, 5432))
        other.listen()
        instance = cloud.create("crowded")
        assert instance["Endpoint"]["Port"] == 5432, "the API says what was asked"
        assert cloud.address_of(instance)[0] == address
        assert cloud.address_of(instance)[1] != 5432, "the address book says where it is"
        cloud.connect(instance).close()
    assert "is taken by another program" in cloud.log_file.read_text()


def test_a_second_part_on_the_same_home_is_refused(cloud: Cloud) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "sandbox.cloud", "--home", str(cloud.home.root)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert second.returncode == 1
    assert "another cloud part already serves this home" in second.stderr


def test_an_instance_holds_what_it_stands_on(cloud: Cloud) -> None:
    ec2, rds = cloud.client("ec2"), cloud.client("rds")
    group = ec2.create_security_group(GroupName="held", Description="held", VpcId=cloud.facts["vpcId"])["GroupId"]
    rds.create_db_subnet_group(
        DBSubnetGroupName="held", DBSubnetGroupDescription="held", SubnetIds=cloud.facts["subnetIds"]
    )
    cloud.create("holder", VpcSecurityGroupIds=[group], DBSubnetGroupName="held")
    with pytest.raises(ClientError, match="DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    with pytest.raises(ClientError, match="still using it"):
        rds.delete_db_subnet_group(DBSubnetGroupName="held")
    gone = rds.delete_db_instance(DBInstanceIdentifier="holder", SkipFinalSnapshot=True)["DBInstance"]
    assert gone["DBInstanceStatus"] == "deleting"
    cloud.deleted("holder")
    ec2.delete_security_group(GroupId=group)
    rds.delete_db_subnet_group(DBSubnetGroupName="held")


def test_what_a_databases_stack_needs_of_other_services_is_there(cloud: Cloud) -> None:
    iam, kms, rds = cloud.client("iam"), cloud.client("kms"), cloud.client("rds")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "monitoring.rds.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam.create_role(RoleName="monitoring", AssumeRolePolicyDocument=json.dumps(trust))
    policy = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
    iam.attach_role_policy(RoleName="monitoring", PolicyArn=policy)
    assert iam.list_attached_role_policies(RoleName="monitoring")["AttachedPolicies"][0]["PolicyArn"] == policy
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    rds.create_db_parameter_group(DBParameterGroupName="reset", DBParameterGroupFamily="postgres17", Description="x")
    parameter = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName="reset", Parameters=[parameter])
    (set_one,) = rds.describe_db_parameters(DBParameterGroupName="reset", Source="user")["Parameters"]
    assert parameter.items() <= set_one.items()
    rds.reset_db_parameter_group(DBParameterGroupName="reset", Parameters=[parameter])
    assert rds.describe_db_parameters(DBParameterGroupName="reset", Source="user")["Parameters"] == []


def test_a_call_that_is_not_there_says_so_once(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="has not been implemented") as caught:
        cloud.client("rds").describe_db_engine_versions()
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
