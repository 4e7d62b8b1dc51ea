"""What Prometheus is told: alerts based on documented metrics or on what the stack itself knows, and no rules unless
they are asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from components.monitoring import MonitoringArgs, alerts
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording
from tests.unit.program.stack import OF_THE_STACK, configuration, host_authority, run_program
from tests.unit.settings.cases_tls import EXISTING, ISSUED

pytestmark = pytest.mark.unit

# Every series that an alert may use, with the document that lists it.
DOCUMENTED = {
    "kube_deployment_status_replicas_available": "kube-state-metrics, docs/metrics/workload/deployment-metrics.md",
    "kube_cronjob_created": "kube-state-metrics, docs/metrics/workload/cronjob-metrics.md",
    "kube_cronjob_status_last_successful_time": "kube-state-metrics, docs/metrics/workload/cronjob-metrics.md",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager, pkg/metrics",
}
FUNCTIONS = {"absent", "time", "vector", "or", "min"}
DAYS_21 = 21 * 86400


def run(directory: Path, monitoring: dict[str, Any], **changes: Any) -> Recording:
    config = configuration(directory, monitoring=monitoring, **changes)
    (directory / "authorities.pem").write_text(host_authority("internal-ca"))
    config["accessGraph"]["metrics"] = True
    return run_program(config, directory)


def rules(stack: Recording, name: str = "monitoring-rules") -> dict[str, dict[str, Any]]:
    (group,) = stack[name].plain("spec.groups")
    assert group["name"] == "teleport-access-graph"
    found = {rule["alert"]: rule for rule in group["rules"]}
    # A dict would hide a second alert of the same name, such as the end recorded at the last `up` next to the live end
    # of cert-manager's certificate.
    assert len(found) == len(group["rules"])
    return found


@pytest.mark.slow
def test_nothing_is_told_unless_it_is_asked_for(tmp_path: Path) -> None:
    stack = run(tmp_path, {})
    assert [item.type for item in stack.registrations if "monitoring.coreos.com" in item.type] == []


@pytest.mark.slow
def test_prometheus_is_shown_the_charts_own_service(tmp_path: Path) -> None:
    monitor = run(tmp_path, {"serviceMonitor": True, "labels": {"release": "prometheus"}})["monitoring-service-monitor"]
    assert monitor.type == "kubernetes:monitoring.coreos.com/v1:ServiceMonitor"
    assert monitor.plain("metadata") == {
        "name": "teleport-access-graph",
        "namespace": "teleport-access-graph",
        "labels": {"release": "prometheus"},
        "annotations": OF_THE_STACK,
    }
    assert monitor.plain("spec") == {
        "selector": {
            "matchLabels": {
                "app.kubernetes.io/name": "teleport-access-graph",
                "app.kubernetes.io/instance": "teleport-access-graph",
            }
        },
        "endpoints": [{"port": "metrics", "interval": "30s"}],
    }


@pytest.mark.slow
def test_the_ends_of_what_the_stack_makes_are_constants(tmp_path: Path) -> None:
    """2027-12-24 and 2036-11-19, from the recording monitor's certificates: constants, which no metric has to
    supply."""
    stack = run(tmp_path, {"rules": True})
    assert "labels" not in stack["monitoring-rules"].plain("metadata"), "the API server drops an empty map"
    found = rules(stack)
    assert list(found) == [
        "AccessGraphUnavailable",
        "AccessGraphUnknown",
        "AccessGraphCertificateEnds",
        "AccessGraphAuthorityEnds",
    ]
    assert found["AccessGraphCertificateEnds"]["expr"] == f"vector(1829606400) - time() < {DAYS_21}"
    assert found["AccessGraphAuthorityEnds"]["expr"] == f"vector(2110665600) - time() < {DAYS_21}"
    selector = '{namespace="teleport-access-graph",deployment="teleport-access-graph"}'
    series = f"kube_deployment_status_replicas_available{selector}"
    assert found["AccessGraphUnavailable"]["expr"] == f"{series} < 1"
    assert found["AccessGraphUnknown"]["expr"] == f"absent({series})"


@pytest.mark.slow
def test_cert_managers_own_metric_tells_the_end_of_its_certificate(tmp_path: Path) -> None:
    found = rules(run(tmp_path, {"rules": True}, tls=ISSUED))
    # Matches whether or not the scrape job for cert-manager sets `honorLabels`.
    metric, name = "certmanager_certificate_expiration_timestamp_seconds", 'name="teleport-access-graph"'
    namespace = '="teleport-access-graph"'
    series = f"({metric}{{namespace{namespace},{name}}} or {metric}{{exported_namespace{namespace},{name}}})"
    assert found["AccessGraphCertificateEnds"]["expr"] == f"{series} - time() < {DAYS_21}"
    assert found["AccessGraphCertificateUnknown"]["expr"] == f"absent({series})"


@pytest.mark.slow
def test_a_foreign_certificates_end_is_told_by_an_exporter_or_not_at_all(tmp_path: Path) -> None:
    silent = rules(run(tmp_path, {"rules": True}, tls=EXISTING))
    assert "AccessGraphCertificateEnds" not in silent
    # The stack knows when the authorities in the bundle end.
    assert "AccessGraphAuthorityEnds" in silent
    expression = 'min(x509_cert_not_after{secret_namespace="graph",secret_name="certificate"})'
    told = rules(run(tmp_path, {"rules": True, "certificateEnd": expression, "expiryDays": 7}, tls=EXISTING))
    assert told["AccessGraphCertificateEnds"]["expr"] == f"({expression}) - time() < {7 * 86400}"


@pytest.mark.slow
def test_every_alert_says_how_bad_it_is_what_it_means_and_what_to_do(tmp_path: Path) -> None:
    stack = run(tmp_path, {"rules": True, "lockoutWatch": {}}, tls=ISSUED)
    everything = rules(stack) | rules(stack, f"lockout-watch-{TELEPORT_CLUSTER}-rules")
    assert {name: (rule["labels"], rule["for"]) for name, rule in everything.items()} == {
        "AccessGraphUnavailable": ({"severity": "critical"}, "5m"),
        "AccessGraphUnknown": ({"severity": "warning"}, "15m"),
        "AccessGraphCertificateEnds": ({"severity": "critical"}, "15m"),
        "AccessGraphCertificateUnknown": ({"severity": "warning"}, "15m"),
        "AccessGraphAuthorityEnds": ({"severity": "critical"}, "15m"),
        # A minute is enough, because the expression itself already waits for three failed looks.
        "AccessGraphLocksAuthOut": ({"severity": "critical"}, "1m"),
        "AccessGraphLockoutUnknown": ({"severity": "warning"}, "15m"),
    }
    for name, rule in everything.items():
        assert len(rule["annotations"]["summary"]) > 20, name
        assert len(rule["annotations"]["description"]) > 40, name


@pytest.mark.slow
def test_no_alert_rests_on_a_metric_that_nobody_documents(tmp_path: Path) -> None:
    stack = run(tmp_path, {"rules": True, "lockoutWatch": {}}, tls=ISSUED)
    everything = rules(stack) | rules(stack, f"lockout-watch-{TELEPORT_CLUSTER}-rules")
    for name, rule in everything.items():
        words = set(re.findall(r"[a-z_]+[a-z0-9_]*(?=[{(]|\b)", re.sub(r"\{[^}]*\}", "{", rule["expr"])))
        assert words <= DOCUMENTED.keys() | FUNCTIONS, name


@pytest.mark.slow
def test_an_access_graph_that_is_off_is_not_missed(tmp_path: Path) -> None:
    config = configuration(tmp_path, monitoring={"rules": True, "lockoutWatch": {}})
    config["accessGraph"]["enabled"] = False
    stack = run_program(config, tmp_path)
    assert [item.name for item in stack.registrations if item.name.startswith(("monitoring", "lockout"))] == []


def test_the_release_of_another_name_is_watched_by_its_deployments() -> None:
    found = alerts(MonitoringArgs(namespace="identity", release="graph"), "identity", None, None)
    assert [rule["alert"] for rule in found] == ["AccessGraphUnavailable", "AccessGraphUnknown"]
    assert 'namespace="identity",deployment="graph-teleport-access-graph"' in found[0]["expr"]
