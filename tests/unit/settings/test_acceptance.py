"""What a valid configuration becomes: typed, frozen, with the defaults that the contract names."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import operator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from components.settings import (
    ExistingDatabaseSettings,
    FileHostAuthorities,
    GeneratedTlsSettings,
    InlineHostAuthorities,
    ManualTeleportSettings,
    PathChart,
    ProxyHostAuthorities,
    RdsDatabaseSettings,
    ReleaseTeleportSettings,
    RepositoryChart,
    Settings,
    ValuesTeleportSettings,
    load_settings,
)
from components.settings.chart_versions import known_chart, knows, nearest_chart
from components.settings.database_profiles import WAIVERS
from components.settings.stack_outputs import StackOutput, stack_output
from tests.samples import (
    ACCOUNT,
    CERTIFICATE_FORM,
    CLUSTER_IDENTIFIER,
    OTHER_CLUSTER_IDENTIFIER,
    REGION,
    STACK,
    TELEPORT_CLUSTER,
    existing_configuration,
    minimal_configuration,
    release_entry,
)
from tests.unit.settings.cases_tls import EXISTING
from tests.unit.settings.conftest import package
from tests.unit.shipped_environments import as_shipped

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).parents[3]


def load(configuration: dict[str, Any], secret_keys: tuple[str, ...] = (), root: Path = REPOSITORY) -> Settings:
    return load_settings(configuration, secret_keys, root=root, stack=STACK)


def test_the_defaults_of_an_rds_database_are_the_safe_ones() -> None:
    database = load(minimal_configuration()).database
    assert isinstance(database, RdsDatabaseSettings)
    values = database.model_dump(exclude={"network", "access_job", "notifications"})
    assert database.notifications.mode == "none"
    assert values == {
        "mode": "rds",
        "profile": "development",
        "alarms": None,
        "replica": None,
        "restore": None,
        "adopt": False,
        "engine_version": "17",
        "identifier": "teleport-access-graph-test",
        "database_name": "access_graph",
        "instance_class": "db.t4g.medium",
        "port": 5432,
        "allocated_storage_gib": 20,
        "max_allocated_storage_gib": 100,
        "multi_az": False,
        "backup_retention_days": 7,
        "backup_window": "02:00-03:00",
        "maintenance_window": "sun:04:00-sun:05:00",
        "ca_cert_identifier": "rds-ca-rsa2048-g1",
        "ca_bundle_file": None,
        "master_username": "tag_admin",
        "master_password": "managed",
        "authentication": "password",
        "rotation": 0,
        "kms_key_arn": None,
        "log_retention_days": 30,
        "monitoring_interval_seconds": 60,
        "database_insights": "standard",
        "apply_immediately": False,
        "on_destroy": "keep",
        "protect": True,
    }
    assert database.network.subnet_ids == ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1")
    assert database.access_job.image == "public.ecr.aws/docker/library/postgres:17.6-alpine"
    assert database.access_job.timeout_seconds == 600


def test_a_database_is_one_of_production_unless_it_says_otherwise() -> None:
    configuration = minimal_configuration()
    del configuration["database"]["profile"]
    database = load(configuration).database
    assert isinstance(database, RdsDatabaseSettings)
    assert (database.profile, database.multi_az, database.port) == ("production", True, 6432)
    assert (database.backup_retention_days, database.log_retention_days) == (35, 365)
    assert database.notifications.mode == "ownTopic"


def test_development_may_do_without_what_production_refuses() -> None:
    """Every waiver at once."""
    configuration = minimal_configuration()
    configuration["database"] |= {"monitoringIntervalSeconds": 0, "backupRetentionDays": 1, "onDestroy": "delete"}
    database = load(configuration).database
    assert isinstance(database, RdsDatabaseSettings)
    assert all(waiver.breaks(database) for waiver in WAIVERS)


@pytest.mark.parametrize(
    "block", ["10.0.0.0/16", "10.20.4.0/22", "172.31.0.0/16", "192.168.7.0/24", "100.64.0.0/16", "198.19.0.0/16"]
)
def test_private_blocks_may_be_clients(block: str) -> None:
    configuration = minimal_configuration()
    configuration["database"]["network"]["clientCidrs"] = [block]
    database = load(configuration).database
    assert isinstance(database, RdsDatabaseSettings)
    assert database.network.client_cidrs == (block,)


def test_network_values_may_be_outputs_of_another_stack() -> None:
    configuration = minimal_configuration()
    configuration["aws"]["workloadIdentity"]["oidcProviderArn"] = "stack:acme/cluster/prod#core.oidcProvider.arn"
    configuration["database"]["network"] = {
        "vpcId": "stack:acme/network/prod#vpcId",
        "subnetIds": ["stack:acme/network/prod#privateSubnetIds"],
        "clientSecurityGroupIds": ["stack:acme/cluster/prod#nodeSecurityGroupId"],
    }
    settings = load(configuration)
    assert isinstance(settings.database, RdsDatabaseSettings)
    assert stack_output(settings.database.network.vpc_id) == StackOutput("acme/network/prod", "vpcId")
    assert stack_output("vpc-0123456789abcdef0") is None


def test_the_defaults_of_the_access_graph_and_its_certificate() -> None:
    settings = load(minimal_configuration())
    assert settings.access_graph.node_selector == {}
    assert settings.access_graph.model_dump(exclude={"chart", "node_selector"}) == {
        "enabled": True,
        "allow_untested": False,
        "namespace": "teleport-access-graph",
        "create_namespace": True,
        "keep_namespace": False,
        "release": "teleport-access-graph",
        "replicas": 2,
        "timeout_seconds": 600,
        "service_type": "ClusterIP",
        "cluster_domain": "cluster.local",
        "log_level": "INFO",
        "metrics": False,
        "resources": {"cpu_request": "250m", "memory_request": "512Mi", "memory_limit": "1Gi"},
        "pod_disruption_budget": {"enabled": None, "min_available": 1},
        "tolerations": (),
        "image_pull_secrets": (),
        "image": None,
        "image_digest": None,
        "external": None,
        "network_policy": {
            "enabled": False,
            "client_namespaces": (),
            "client_cidrs": (),
            "metrics_namespaces": (),
            "database_cidrs": (),
            "database_port": None,
            "aws_cidrs": (),
            "api_server_cidrs": (),
        },
    }
    assert isinstance(settings.tls, GeneratedTlsSettings)
    assert settings.tls.model_dump() == {
        "mode": "generated",
        "algorithm": "ECDSA",
        "ca_validity_hours": 87600,
        "ca_early_renewal_hours": 8760,
        "certificate_validity_hours": 9528,
        "certificate_early_renewal_hours": 720,
        "authority": {"generation": 1, "phase": "stable", "previous_algorithm": None},
        "trust": "bundle",
        "trust_bundle_file": None,
        "extra_dns_names": (),
        "protect": True,
    }
    assert (settings.tags, settings.labels, settings.annotations) == ({}, {}, {})
    assert settings.monitoring.labels == {}
    assert settings.monitoring.model_dump(exclude={"labels"}) == {
        "service_monitor": False,
        "rules": False,
        "scrape_interval_seconds": 30,
        "expiry_days": 21,
        "certificate_end": None,
        "lockout_watch": None,
    }
    assert settings.stack == STACK
    assert settings.secrets.database_uri is None
    assert settings.secrets.teleport_values is None


@pytest.mark.parametrize(
    "pattern", [r"turned away \(?", "[(?]", "[](?]", "[^[:digit:](?]x", "could not find|[[:space:]]x{1,2}", "(b|)?a"]
)
def test_a_pattern_that_grep_takes_is_accepted(pattern: str, root: Path) -> None:
    config = minimal_configuration(monitoring={"lockoutWatch": {"pattern": pattern}})
    watch = load_settings(config, (), root=root, stack=STACK).monitoring.lockout_watch
    assert watch is not None
    assert watch.pattern == pattern


@pytest.mark.parametrize(
    "expression",
    ["a", 'min(a{b=~"[(]#", c!=\'"\'}[5m])', r'a{b="\"("} or (c{d=`\`})', "max by (x) (a)"],
)
def test_an_expression_that_is_whole_is_accepted(expression: str, root: Path) -> None:
    (root / "authorities.pem").write_text(CERTIFICATE_FORM)
    config = minimal_configuration(
        tls={"mode": "existingSecret", "secretName": "certificate", "trustBundleFile": "authorities.pem"},
        monitoring={"rules": True, "certificateEnd": expression},
    )
    assert load_settings(config, (), root=root, stack=STACK).monitoring.certificate_end == expression


def test_the_defaults_of_a_teleport_release() -> None:
    entry = load(minimal_configuration()).teleport[TELEPORT_CLUSTER]
    assert isinstance(entry, ReleaseTeleportSettings)
    assert entry.chart == RepositoryChart(
        repository="https://charts.releases.teleport.dev", name="teleport-cluster", version="18.10.3"
    )
    assert isinstance(entry.host_authorities, InlineHostAuthorities)
    assert entry.host_authorities.certificates == (CERTIFICATE_FORM,)
    assert entry.model_dump(exclude={"chart", "host_authorities"}) == {
        "mode": "release",
        "kubernetes": None,
        "connected": True,
        "audit_log": None,
        "endpoint": None,
        "namespace": "teleport",
        "release": "teleport",
        "values_files": (),
        "apply_reader_role": False,
        "allow_secret_paths": (),
        "adopt": False,
        "timeout_seconds": 600,
    }


def test_every_mode_is_read(tmp_path: Path) -> None:
    (tmp_path / "host-ca.pem").write_text(CERTIFICATE_FORM)
    (tmp_path / "values.yaml").write_text("{}\n")
    package(tmp_path / "teleport.tgz", {"teleport-cluster/Chart.yaml": "name: teleport-cluster\nversion: 18.10.3\n"})
    package(tmp_path / "tag.tgz", {"tag/Chart.yaml": "name: teleport-access-graph\nversion: 1.30.2\n"})
    other = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    configuration = existing_configuration(
        accessGraph={"chart": {"path": "tag.tgz"}},
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
        teleport={
            "a": release_entry(
                chart={"path": "teleport.tgz"},
                hostAuthorities={"mode": "file", "path": "host-ca.pem"},
                valuesFiles=["values.yaml"],
                adopt=True,
                auditLog={"startDate": "2026-01-31T00:00:00+01:00"},
            ),
            "b": {
                "mode": "values",
                "kubernetes": other,
                "endpoint": "graph.example.com:443",
                "hostAuthorities": {
                    "mode": "proxy",
                    "address": "b.example.com:443",
                    "caFile": "host-ca.pem",
                    "fingerprints": ["0" * 64],
                },
            },
            "c": {"mode": "manual", "hostAuthorities": {"mode": "inline", "certificates": [CERTIFICATE_FORM]}},
        },
    )
    settings = load(configuration, root=tmp_path)
    assert settings.aws is None
    assert isinstance(settings.database, ExistingDatabaseSettings)
    assert settings.database.secret is not None
    assert (settings.database.secret.name, settings.database.secret.key) == ("database", "uri")
    assert settings.access_graph.chart == PathChart(path="tag.tgz")
    first, second, third = settings.teleport.values()
    assert isinstance(first, ReleaseTeleportSettings)
    assert first.host_authorities == FileHostAuthorities(mode="file", path="host-ca.pem")
    assert first.audit_log is not None
    assert first.audit_log.start_date == "2026-01-31T00:00:00+01:00"
    assert isinstance(second, ValuesTeleportSettings)
    assert isinstance(second.host_authorities, ProxyHostAuthorities)
    assert second.host_authorities.fingerprints == ("0" * 64,)
    assert isinstance(third, ManualTeleportSettings)
    assert settings.kubernetes_of("a").cluster_identifier == CLUSTER_IDENTIFIER
    assert settings.kubernetes_of("b").cluster_identifier == OTHER_CLUSTER_IDENTIFIER
    service = "teleport-access-graph.teleport-access-graph.svc.cluster.local"
    assert [settings.endpoint_of(name) for name in settings.teleport] == [
        f"{service}:443",
        "graph.example.com:443",
        f"{service}:443",
    ]


def test_objects_are_read_from_json_as_the_engine_hands_them_over() -> None:
    plain = minimal_configuration(tags={"Owner": "platform"})
    as_json = {key: json.dumps(value) for key, value in plain.items()}
    assert load(as_json) == load(plain)


def test_numbers_and_switches_may_be_text_that_the_command_line_stored() -> None:
    configuration = minimal_configuration()
    configuration["database"].update(port="6432", multiAz="true", engineVersion=17, protect="false")
    database = load(configuration).database
    assert isinstance(database, RdsDatabaseSettings)
    assert (database.port, database.multi_az, database.engine_version, database.protect) == (6432, True, "17", False)


def test_a_first_up_needs_no_host_authority_and_no_teleport() -> None:
    graph = {**minimal_configuration()["accessGraph"], "enabled": False}
    assert load(minimal_configuration(accessGraph=graph, teleport=...)).teleport == {}
    entry = release_entry(hostAuthorities=...)
    settings = load(minimal_configuration(accessGraph=graph, teleport={TELEPORT_CLUSTER: entry}))
    assert settings.teleport[TELEPORT_CLUSTER].host_authorities is None


def test_a_secret_key_is_known_by_its_name_alone() -> None:
    configuration = existing_configuration(database={"mode": "existing"})
    assert load(configuration, ("databaseUri",)).secrets.database_uri is None
    assert load({**configuration, "databaseUri": None}, ("databaseUri",)).database.mode == "existing"


def test_the_configuration_that_the_documents_give_for_a_database_that_exists_is_valid(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "database.md").read_text(encoding="utf-8")
    lines = text[text.index("    config:\n") :].splitlines()
    block = "\n".join(itertools.takewhile(lambda line: line.startswith("    "), lines))
    config = {key.partition(":")[2]: value for key, value in yaml.safe_load(block)["config"].items()}
    (entry,) = config["teleport"].values()
    named = [config["database"]["caBundleFile"], *entry["valuesFiles"], entry["hostAuthorities"]["path"]]
    for path in named:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    assert load_settings(config, ("databaseUri",), root=tmp_path, stack="onprem").aws is None


@pytest.mark.parametrize(
    ("backup", "maintenance"),
    [
        ("02:00-03:00", "sun:03:00-sun:04:00"),
        ("23:30-00:30", "mon:00:30-mon:01:00"),
        ("00:00-00:30", "sun:23:00-mon:00:00"),
    ],
)
def test_windows_that_only_touch_are_accepted(backup: str, maintenance: str) -> None:
    configuration = minimal_configuration()
    configuration["database"].update(backupWindow=backup, maintenanceWindow=maintenance)
    assert load(configuration).database.mode == "rds"


IN_CHINA = {
    "region": "cn-north-1",
    "accountId": ACCOUNT,
    "workloadIdentity": {
        "mode": "irsa",
        "oidcProviderArn": f"arn:aws-cn:iam::{ACCOUNT}:oidc-provider/oidc.eks.cn-north-1.amazonaws.com.cn/id/0123",
    },
}
NETWORK = {"vpcId": "vpc-0123456789abcdef0", "subnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}
HALF = 131072 // 2
JUST_ALLOWED: dict[str, dict[str, Any]] = {
    "a chart under a path of a registry": {
        "accessGraph/chart": {
            "repository": "oci://registry.example.com",
            "name": "mirrors/teleport-access-graph",
            "version": "1.30.2",
        }
    },
    "a key of another account": {
        "database/kmsKeyArn": f"arn:aws:kms:{REGION}:999999999999:key/00000000-0000-4000-8000-000000000000"
    },
    "roles by IRSA in China": {"aws": IN_CHINA},
    "clients of a prefix list alone": {
        "database/network": {**NETWORK, "clientPrefixListIds": ["pl-0123456789abcdef0"]}
    },
    "clients of private blocks alone": {"database/network": {**NETWORK, "clientCidrs": ["10.0.0.0/16"]}},
    "a way in under a name of a foreign certificate": {
        "tls": EXISTING,
        "accessGraph/external": {"hostname": "graph.example.com"},
    },
    "an audit log that stays where it is": {f"teleport/{TELEPORT_CLUSTER}/auditLog": {"enabled": False}},
    "an alert a day after the renewal was due": {"monitoring": {"rules": True, "expiryDays": 29}},
    "a boundary of AWS's own": {"aws/iam": {"permissionsBoundaryArn": "arn:aws:iam::aws:policy/PowerUserAccess"}},
    "a watch of the one Teleport that has a chart": {
        "monitoring": {"lockoutWatch": {}},
        "teleport/other.example.com": {
            "mode": "manual",
            "hostAuthorities": {"mode": "proxy", "address": "other.example.com:443"},
        },
    },
    "a Teleport in a namespace of TAG's name in another Kubernetes cluster": {
        "teleport/other.example.com": release_entry(
            namespace="teleport-access-graph",
            kubernetes={"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER},
            endpoint="graph.example.com:443",
        ),
        "tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    },
    "annotations that just fit into one object": {
        "annotations": {"a": "x" * (HALF - 1)},
        "accessGraph/external": {"hostname": "graph.example.com", "annotations": {"b": "x" * (HALF - 1)}},
        "tls": {"mode": "generated", "extraDnsNames": ["graph.example.com"]},
    },
}


@pytest.mark.parametrize("changes", JUST_ALLOWED.values(), ids=JUST_ALLOWED)
def test_what_no_relation_forbids_is_accepted(changes: dict[str, Any], root: Path) -> None:
    config = minimal_configuration()
    for path, value in changes.items():
        *sections, key = path.split("/")
        functools.reduce(operator.getitem, sections, config)[key] = value
    load(config, root=root)


def test_clusters_keep_their_order() -> None:
    names = ["b.example.com", "a.example.com", "C"]
    entries = {name: release_entry(namespace=f"n{index}", release=f"r{index}") for index, name in enumerate(names)}
    assert list(load(minimal_configuration(teleport=entries)).teleport) == names


def test_settings_cannot_be_changed() -> None:
    settings = load(minimal_configuration(tags={"Owner": "platform"}))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.stack = "other"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.access_graph.replicas = 3
    for mapping in (settings.tags, settings.teleport, settings.access_graph.node_selector):
        with pytest.raises(TypeError):
            mapping["x"] = "y"  # type: ignore[index]


def test_the_configuration_given_is_left_as_it_was() -> None:
    configuration = minimal_configuration()
    load(configuration)
    assert configuration == minimal_configuration()


@as_shipped
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_environments_of_the_project_load(stack: str) -> None:
    text = (REPOSITORY / f"Pulumi.{stack}.yaml").read_text()
    config = {
        key.removeprefix("teleport-access-graph:"): value
        for key, value in yaml.safe_load(text)["config"].items()
        if key.startswith("teleport-access-graph:")
    }
    settings = load_settings(config, (), root=REPOSITORY, stack=stack)
    assert isinstance(settings.database, RdsDatabaseSettings)
    assert settings.database.identifier == f"teleport-access-graph-{stack}"
    hardened = (
        settings.database.multi_az,
        settings.database.backup_retention_days,
        settings.database.port != 5432,
        settings.database.protect,
    )
    assert hardened == {"dev": (False, 7, False, True), "prod": (True, 35, True, True)}[stack]


@as_shipped
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_no_environment_lets_a_resource_take_the_ambient_account_or_cluster(stack: str) -> None:
    """A resource without its provider would go to the account of the machine's credentials, or to the cluster of its
    context."""
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert sorted(config["pulumi:disable-default-providers"]) == ["aws", "kubernetes"]


def test_every_declared_key_has_a_default_and_is_a_setting() -> None:
    project = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
    assert project["name"] == "teleport-access-graph"
    for key, declaration in project["config"].items():
        assert "default" in declaration, f"the CLI itself would stop at {key}"
        load(minimal_configuration(**{key: declaration["default"]}))


def test_a_disruption_budget_comes_with_the_second_replica(tmp_path: Path) -> None:
    """With one replica, a budget would block every node drain forever, so it is off unless asked for."""
    for replicas, expected in ((1, False), (2, True)):
        config = minimal_configuration()
        config["accessGraph"]["replicas"] = replicas
        settings = load_settings(config, (), root=tmp_path, stack=STACK)
        assert settings.access_graph.has_disruption_budget is expected


@pytest.mark.parametrize("version", ["1.29.7", "1.31.0"])
def test_a_chart_version_that_nobody_has_looked_at_is_taken_by_choice(version: str) -> None:
    configuration = existing_configuration()
    configuration["accessGraph"]["chart"]["version"] = version
    configuration["accessGraph"]["allowUntested"] = True
    assert load(configuration).access_graph.allow_untested is True


def test_the_first_chart_is_known_too_with_what_it_has() -> None:
    configuration = existing_configuration()
    configuration["accessGraph"]["chart"]["version"] = "1.13.0"
    chart = load(configuration).access_graph.chart
    assert isinstance(chart, RepositoryChart)
    known = known_chart(chart.version)
    assert known is not None
    assert (known.teleport, knows(known, "clusterHostCAs"), knows(known, "metrics.enabled")) == (
        (14, 3, 4),
        True,
        False,
    )


def test_what_a_version_needs_the_next_ones_need_too() -> None:
    assert [nearest_chart(version).version for version in ("1.12.0", "1.13.0", "1.29.7", "1.30.2", "1.31.0")] == [
        (1, 13, 0),
        (1, 13, 0),
        (1, 13, 0),
        (1, 30, 2),
        (1, 30, 2),
    ]
    assert known_chart("1.30.2") is not None
    assert known_chart("1.30.2-beta.1") is None
