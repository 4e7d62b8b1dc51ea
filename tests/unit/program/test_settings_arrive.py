"""Settings reach the resource that they are for: these are the settings that no test of their subject follows.

Each value differs from the setting's default and from every other value here, so that no value can stand in for
another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.samples import ACCOUNT, REGION, TELEPORT_CLUSTER
from tests.states.stacks import ISSUED, TOPIC
from tests.unit.model.certificates import authority
from tests.unit.monitor import Recording
from tests.unit.program.stack import configuration, run_program

pytestmark = [pytest.mark.unit, pytest.mark.slow]

BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"
WATCHES = {"everyMinutes": 9, "imagePullSecrets": ["mirror"], "image": "mirror.example.com/kubectl:1.30"}
LIST = "pl-0123456789abcdef0"
ASSUMED = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/deployer", "externalId": "outside", "sessionName": "deploys"}

# With the kind of cert-manager's own issuers, but in another group.
OTHERS_ISSUER = {"name": "internal", "kind": "ClusterIssuer", "group": "cas-issuer.jetstack.io"}

# A case: the setting's path, its value, the resource, the path in the resource's inputs, and the expected input. The
# cases are grouped by stack; each stack has the least configuration beside them.
Case = tuple[str, Any, str, str, Any]
INSTANCE, RELEASE = "database-instance", "access-graph-release"
REPLICA, ACCESS = "database-replica", "database-access-job"
TELEPORT, TELEPORT_CA = f"teleport-{TELEPORT_CLUSTER}-release", f"teleport-{TELEPORT_CLUSTER}-ca"
WATCH, WATCH_RULES = (f"lockout-watch-{TELEPORT_CLUSTER}-{part}" for part in ("cron-job", "rules"))
RESTARTER, RESTARTERS_POD = "certificate-restarter-cron-job", "spec.jobTemplate.spec.template.spec"
STACKS: dict[str, list[Case]] = {
    "rds": [
        # A provider's lists are sent as JSON.
        ("aws/assumeRole", ASSUMED, "aws", "assumeRoles", json.dumps([ASSUMED], sort_keys=True)),
        ("aws/iam/path", "/graph/", "database-monitoring-role", "path", "/graph/"),
        ("aws/iam/path", "/graph/", "database-access-role", "path", "/graph/"),
        ("aws/iam/permissionsBoundaryArn", BOUNDARY, "database-monitoring-role", "permissionsBoundary", BOUNDARY),
        ("aws/iam/permissionsBoundaryArn", BOUNDARY, "database-access-role", "permissionsBoundary", BOUNDARY),
        ("accessGraph/replicas", 4, RELEASE, "values.replicaCount", 4),
        ("accessGraph/timeoutSeconds", 901, RELEASE, "timeout", 901),
        ("accessGraph/serviceType", "LoadBalancer", RELEASE, "values.service.type", "LoadBalancer"),
        ("accessGraph/logLevel", "DEBUG", RELEASE, "values.log.level", "DEBUG"),
        ("accessGraph/metrics", True, RELEASE, "values.metrics.enabled", True),
        ("accessGraph/resources/cpuRequest", "310m", RELEASE, "values.resources.requests.cpu", "310m"),
        ("accessGraph/resources/memoryRequest", "640Mi", RELEASE, "values.resources.requests.memory", "640Mi"),
        ("accessGraph/resources/memoryLimit", "3Gi", RELEASE, "values.resources.limits.memory", "3Gi"),
        ("accessGraph/podDisruptionBudget/minAvailable", 3, RELEASE, "values.podDisruptionBudget.minAvailable", 3),
        (
            "accessGraph/tolerations",
            [{"key": "pool", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 77}],
            RELEASE,
            "values.tolerations.0.tolerationSeconds",
            77,
        ),
        ("accessGraph/nodeSelector", {"disk": "ssd"}, ACCESS, "spec.template.spec.nodeSelector.disk", "ssd"),
        ("accessGraph/nodeSelector", {"disk": "ssd"}, RELEASE, "values.nodeSelector.disk", "ssd"),
        ("database/engineVersion", "16", INSTANCE, "engineVersion", "16"),
        ("database/identifier", "graph-db", INSTANCE, "identifier", "graph-db"),
        ("database/databaseName", "graph", INSTANCE, "dbName", "graph"),
        ("database/instanceClass", "db.r6g.large", INSTANCE, "instanceClass", "db.r6g.large"),
        ("database/port", 7432, INSTANCE, "port", 7432),
        ("database/allocatedStorageGib", 51, INSTANCE, "allocatedStorage", 51),
        ("database/maxAllocatedStorageGib", 202, INSTANCE, "maxAllocatedStorage", 202),
        ("database/multiAz", True, INSTANCE, "multiAz", True),
        ("database/backupRetentionDays", 13, INSTANCE, "backupRetentionPeriod", 13),
        ("database/backupWindow", "05:10-05:50", INSTANCE, "backupWindow", "05:10-05:50"),
        ("database/maintenanceWindow", "tue:06:10-tue:06:50", INSTANCE, "maintenanceWindow", "tue:06:10-tue:06:50"),
        ("database/caCertIdentifier", "rds-ca-ecc384-g1", INSTANCE, "caCertIdentifier", "rds-ca-ecc384-g1"),
        ("database/masterUsername", "graph_admin", INSTANCE, "username", "graph_admin"),
        ("database/logRetentionDays", 90, "database-log-upgrade", "retentionInDays", 90),
        ("database/monitoringIntervalSeconds", 15, INSTANCE, "monitoringInterval", 15),
        ("database/databaseInsights", "advanced", INSTANCE, "databaseInsightsMode", "advanced"),
        ("database/applyImmediately", True, INSTANCE, "applyImmediately", True),
        ("database/accessJob/timeoutSeconds", 303, ACCESS, "spec.activeDeadlineSeconds", 303),
        ("tls/caValidityHours", 50001, "certificates-ca-1", "validityPeriodHours", 50001),
        ("tls/caEarlyRenewalHours", 5001, "certificates-ca-1", "earlyRenewalHours", 5001),
        ("tls/certificateValidityHours", 2001, "certificates-server", "validityPeriodHours", 2001),
        ("tls/certificateEarlyRenewalHours", 201, "certificates-server", "earlyRenewalHours", 201),
        ("tls/extraDnsNames", ["graph.example.com"], "certificates-server-request", "dnsNames.1", "graph.example.com"),
        ("tls/protect", False, "certificates-ca-1-key", "protect", False),
        ("tags", {"team": "identity"}, "database-access-role", "tags.team", "identity"),
        ("tags", {"team": "identity"}, "database-log-upgrade", "tags.team", "identity"),
        ("monitoring/serviceMonitor", True, "monitoring-service-monitor", "kind", "ServiceMonitor"),
        (
            "monitoring/scrapeIntervalSeconds",
            44,
            "monitoring-service-monitor",
            "spec.endpoints.0.interval",
            "44s",
        ),
        (
            "monitoring/lockoutWatch",
            WATCHES,
            WATCH,
            "spec.schedule",
            "*/9 * * * *",
        ),
        (
            "monitoring/lockoutWatch",
            WATCHES,
            WATCH,
            "spec.jobTemplate.spec.template.spec.imagePullSecrets",
            [{"name": "mirror"}],
        ),
        (
            "monitoring/lockoutWatch",
            WATCHES,
            WATCH,
            "spec.jobTemplate.spec.template.spec.containers.0.image",
            "mirror.example.com/kubectl:1.30",
        ),
        ("monitoring/rules", True, "monitoring-rules", "kind", "PrometheusRule"),
        ("monitoring/expiryDays", 8, "monitoring-rules", "spec.groups.0.rules.2.alert", "AccessGraphCertificateEnds"),
        ("monitoring/labels", {"release": "prometheus"}, "monitoring-rules", "metadata.labels.release", "prometheus"),
        ("monitoring/labels", {"release": "prometheus"}, WATCH_RULES, "metadata.labels.release", "prometheus"),
        (f"teleport/{TELEPORT_CLUSTER}/timeoutSeconds", 1201, TELEPORT, "timeout", 1201),
        (f"teleport/{TELEPORT_CLUSTER}/namespace", "identity", TELEPORT, "namespace", "identity"),
        (f"teleport/{TELEPORT_CLUSTER}/namespace", "identity", TELEPORT_CA, "metadata.namespace", "identity"),
        (f"teleport/{TELEPORT_CLUSTER}/namespace", "identity", WATCH, "metadata.namespace", "identity"),
        (f"teleport/{TELEPORT_CLUSTER}/release", "access", TELEPORT, "name", "access"),
    ],
    "replicated": [
        ("database/masterPassword", "generated", "database-master-password", "length", 40),
        ("database/replica", {"instanceClass": "db.r6g.xlarge", "multiAz": True}, REPLICA, "multiAz", True),
        ("database/replica/instanceClass", "db.r6g.xlarge", REPLICA, "instanceClass", "db.r6g.xlarge"),
        ("database/kmsKeyArn", KEY, INSTANCE, "kmsKeyId", KEY),
        ("database/kmsKeyArn", KEY, "database-log-upgrade", "kmsKeyId", KEY),
        ("database/network/clientPrefixListIds", [LIST], f"database-ingress-{LIST}", "prefixListId", LIST),
        ("database/network/clientCidrs", ["10.7.0.0/16"], "database-ingress-10.7.0.0-16", "cidrIpv4", "10.7.0.0/16"),
        ("database/notifications", {"mode": "topic", "topicArn": TOPIC}, "database-events-instance", "snsTopic", TOPIC),
        ("database/alarms/freeStorageGib", 7, "database-alarm-storage", "threshold", 7 * 1024**3),
        ("database/alarms/cpuPercent", 71, "database-alarm-cpu", "threshold", 71),
        ("database/alarms/connections", 123, "database-replica-alarm-connections", "threshold", 123),
    ],
    "restored": [
        (
            "database/restore",
            {"mode": "pointInTime", "sourceIdentifier": "former", "time": "2026-01-31T02:00:00+02:00"},
            INSTANCE,
            "restoreToPointInTime",
            {"sourceDbInstanceIdentifier": "former", "restoreTime": "2026-01-31T00:00:00Z"},
        ),
        (
            "tls",
            {**ISSUED, "issuer": {"mode": "existing", **OTHERS_ISSUER}},
            "issued-certificate-certificate",
            "spec.issuerRef",
            OTHERS_ISSUER,
        ),
        (
            "accessGraph/clusterDomain",
            "corp.example",
            "issued-certificate-certificate",
            "spec.dnsNames",
            ["teleport-access-graph.teleport-access-graph.svc.corp.example"],
        ),
        (
            "accessGraph/clusterDomain",
            "corp.example",
            TELEPORT,
            "values.auth.teleportConfig.access_graph.endpoint",
            "teleport-access-graph.teleport-access-graph.svc.corp.example:443",
        ),
        (
            "tls/reloader",
            {"mode": "restarter", "everyMinutes": 11},
            RESTARTER,
            "spec.schedule",
            "*/11 * * * *",
        ),
        (
            "accessGraph/imagePullSecrets",
            ["registry"],
            RESTARTER,
            f"{RESTARTERS_POD}.imagePullSecrets.0.name",
            "registry",
        ),
        ("accessGraph/nodeSelector", {"disk": "ssd"}, RESTARTER, f"{RESTARTERS_POD}.nodeSelector.disk", "ssd"),
        (
            "accessGraph/tolerations",
            [{"key": "pool", "operator": "Exists"}],
            RESTARTER,
            f"{RESTARTERS_POD}.tolerations.0.key",
            "pool",
        ),
        ("tls/certificateValidityHours", 3001, "issued-certificate-certificate", "spec.duration", "3001h0m0s"),
        ("tls/certificateEarlyRenewalHours", 301, "issued-certificate-certificate", "spec.renewBefore", "301h0m0s"),
        ("tls/nextAuthority/caValidityHours", 60001, "certificates-ca-1", "validityPeriodHours", 60001),
        ("tls/nextAuthority/caEarlyRenewalHours", 6001, "certificates-ca-1", "earlyRenewalHours", 6001),
    ],
}
PLACES = [
    pytest.param(stack, *case[2:], id=f"{case[0]}-{case[2]}") for stack, cases in STACKS.items() for case in cases
]


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Recording]:
    recordings = {}
    for name, cases in STACKS.items():
        directory: Path = tmp_path_factory.mktemp(name)
        (directory / "authorities.pem").write_text(authority("Issuer A"))
        config = configuration(directory, tls={"mode": "generated"})
        for path, value, *_ in cases:
            *sections, key = path.split("/")
            section = config
            for one in sections:
                section = section.setdefault(one, {})
            section[key] = value
        recordings[name] = run_program(config, directory)
    return recordings


@pytest.mark.parametrize(("stack", "resource", "place", "expected"), PLACES)
def test_a_setting_arrives(
    stacks: Mapping[str, Recording], stack: str, resource: str, place: str, expected: Any
) -> None:
    found = stacks[stack][resource]
    assert (found.protect if place == "protect" else found.plain(place)) == expected


def test_the_clusters_domain_is_in_what_others_read(stacks: Mapping[str, Recording]) -> None:
    outputs = stacks["restored"].outputs
    assert outputs["endpoint"] == "teleport-access-graph.teleport-access-graph.svc.corp.example:443"
