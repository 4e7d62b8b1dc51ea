"""When the alerts fire, evaluated by Prometheus' own code: in an outage, without data, before a certificate's end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from components.lockout_watch import LockoutWatchArgs
from components.lockout_watch import rules as lockout_rules
from components.monitoring import MonitoringArgs, alerts
from sandbox.home import Cache
from tests.engine.go_programs import compiled

pytestmark = pytest.mark.engine

JUDGE = Path(__file__).parent / "alert_judge"
SECONDS = 60
START = datetime(2027, 1, 1, tzinfo=timezone.utc)
AVAILABLE = 'kube_deployment_status_replicas_available{namespace="graph",deployment="tag-teleport-access-graph"}'
CRON_JOB = '{namespace="teleport",cronjob="teleport-access-graph-lockout-watch"}'
CREATED, LAST_SUCCESS = f"kube_cronjob_created{CRON_JOB}", f"kube_cronjob_status_last_successful_time{CRON_JOB}"
ISSUED = "certmanager_certificate_expiration_timestamp_seconds"
# With `honorLabels`, and without: Prometheus then sets `namespace` itself, to the one where cert-manager runs.
ISSUED_LABELS = ('namespace="graph"', 'namespace="cert-manager",exported_namespace="graph"')
EXPORTED = "min(x509_cert_not_after)"


@pytest.fixture(scope="module")
def judge() -> Path:
    return compiled(Cache.from_environment(), JUDGE, "alert-judge")


def fire(
    judge: Path, rules: Sequence[Mapping[str, Any]], series: Mapping[str, str], minutes: int
) -> dict[str, list[int]]:
    """Alert -> the minutes after `START` in which it fires, without alerts that never fire."""
    asked = {
        "spec": {"groups": [{"name": "teleport-access-graph", "rules": rules}]},
        "start": START.isoformat(),
        "minutes": minutes,
        "series": series,
    }
    done = subprocess.run([judge], input=json.dumps(asked), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[int]] = {}
    for minute, firing in enumerate(json.loads(done.stdout)):
        for alert in firing:
            assert alert["labels"]["severity"] in ("critical", "warning")
            assert alert["annotations"]["summary"]
            assert alert["annotations"]["description"]
            found.setdefault(alert["name"], []).append(minute)
    return found


def monitoring(
    certificate_not_after: str | None = None, authority_not_after: str | None = None, **changes: Any
) -> list[dict[str, Any]]:
    args = MonitoringArgs(namespace="graph", release="tag", rules=True, **changes)
    return alerts(args, "graph", certificate_not_after, authority_not_after)


def in_days(days: float) -> datetime:
    return START + timedelta(days=days)


def seconds(moment: datetime) -> str:
    return str(int(moment.timestamp()))


def test_an_outage_of_five_minutes_is_one_and_a_roll_out_is_none(judge: Path) -> None:
    roll_out, outage = "2x4 0x3 2x20", "2x4 0x9 2x20"
    assert fire(judge, monitoring(), {AVAILABLE: roll_out}, 28) == {}
    # The access graph is unavailable from minute 5 on, and available again in minute 15.
    assert fire(judge, monitoring(), {AVAILABLE: outage}, 28) == {"AccessGraphUnavailable": list(range(10, 15))}


def test_another_namespaces_outage_is_somebody_elses(judge: Path) -> None:
    other = AVAILABLE.replace('"graph"', '"elsewhere"')
    assert fire(judge, monitoring(), {AVAILABLE: "2x40", other: "0x40"}, 40) == {}


def test_what_is_not_told_is_not_taken_for_well(judge: Path) -> None:
    issued = monitoring(issued_certificate="certificate")
    found = fire(judge, issued, {}, 20)
    assert found == {
        "AccessGraphUnknown": list(range(15, 21)),
        "AccessGraphCertificateUnknown": list(range(15, 21)),
    }


def test_the_ends_that_the_stack_knows_come_near(judge: Path) -> None:
    far, near = in_days(21.5).isoformat(), (in_days(21) + timedelta(minutes=10)).isoformat()
    assert fire(judge, monitoring(far, far), {AVAILABLE: "2x40"}, 40) == {}
    # The end is less than 21 days away from minute 11 on; the alert fires a quarter of an hour later.
    assert fire(judge, monitoring(near, far), {AVAILABLE: "2x40"}, 40) == {
        "AccessGraphCertificateEnds": list(range(26, 41))
    }
    assert fire(judge, monitoring(far, near), {AVAILABLE: "2x40"}, 40) == {
        "AccessGraphAuthorityEnds": list(range(26, 41))
    }


@pytest.mark.parametrize("labels", ISSUED_LABELS)
def test_cert_managers_certificate_is_found_by_either_label_and_a_renewal_ends_the_alert(
    judge: Path, labels: str
) -> None:
    soon, renewed = seconds(in_days(3)), seconds(in_days(90))
    series = {AVAILABLE: "2x40", f'{ISSUED}{{{labels},name="certificate"}}': f"{soon}x29 {renewed}x10"}
    found = fire(judge, monitoring(issued_certificate="certificate"), series, 40)
    assert found == {"AccessGraphCertificateEnds": list(range(15, 30))}


def test_a_certificate_of_somebody_elses_is_judged_by_their_exporter(judge: Path) -> None:
    rules = monitoring(certificate_end=EXPORTED, expiry_days=7)
    exported = {f'x509_cert_not_after{{secret_name="{name}"}}': "" for name in ("first", "second")}
    first, second = exported
    series = {AVAILABLE: "2x40", first: f"{seconds(in_days(90))}x40", second: f"{seconds(in_days(6))}x40"}
    assert fire(judge, rules, series, 40) == {"AccessGraphCertificateEnds": list(range(15, 41))}
    assert fire(judge, rules, {AVAILABLE: "2x40"}, 16) == {"AccessGraphCertificateUnknown": [15, 16]}


def test_three_looks_without_success_are_a_lockout_and_the_next_success_ends_it(judge: Path) -> None:
    rules = lockout_rules(
        LockoutWatchArgs(namespace="teleport", release="teleport", pattern="x", image="kubectl", every_minutes=5)
    )
    created, success = seconds(in_days(-30)), seconds(START)
    later = seconds(START + timedelta(minutes=25))
    well = {CREATED: f"{created}x60", LAST_SUCCESS: f"{success}x24 {later}x14"}
    # The last success is in minute 0. The alert fires a quarter of an hour and a minute after it, until minute 25.
    assert fire(judge, rules, well, 38) == {"AccessGraphLocksAuthOut": list(range(17, 25))}


def test_a_watch_that_never_succeeded_counts_from_its_creation(judge: Path) -> None:
    rules = lockout_rules(
        LockoutWatchArgs(namespace="teleport", release="teleport", pattern="x", image="kubectl", every_minutes=5)
    )
    assert fire(judge, rules, {CREATED: f"{seconds(START)}x30"}, 30) == {"AccessGraphLocksAuthOut": list(range(17, 31))}
    assert fire(judge, rules, {}, 16) == {"AccessGraphLockoutUnknown": [15, 16]}
