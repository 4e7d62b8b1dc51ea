"""The watch fails while auth logs that it is turned away, and only then; it can read logs and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.lockout_watch import SCRIPT, LockoutWatch
from components.settings.monitoring import LOCKED_OUT
from operations.symptoms import SYMPTOMS
from tests.samples import OTHER_CLUSTER_IDENTIFIER, TELEPORT_CLUSTER
from tests.unit.monitor import Recording, record
from tests.unit.program.stack import configuration, run_program

pytestmark = pytest.mark.unit

TURNED_AWAY = "2026-06-01T12:01:05Z ERROR [ACCESSGRAPH] could not find host CA: rpc error: code = Unauthenticated"
CONNECTED = "2026-06-01T12:01:05Z INFO [ACCESSGRAPH] Connected to Access Graph service"
KUBECTL = """#!/bin/sh
echo "$*" >> "$STATE/calls"
case "$1" in
  get) cat "$STATE/pods"; test ! -e "$STATE/unlisted" ;;
  logs) cat "$STATE/log"; test ! -e "$STATE/fails" ;;
esac
"""


def watched(**arguments: Any) -> Recording:
    def program() -> None:
        LockoutWatch(
            "watch",
            {"namespace": "teleport", "release": "t", "pattern": LOCKED_OUT, "image": "kubectl:1", **arguments},  # type: ignore[arg-type]
            pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")]),
        )

    return record(program)


def look(
    state: Path, *log: str, pattern: str = LOCKED_OUT, pods: tuple[str, ...] = ("pod/auth-1", "pod/auth-2")
) -> subprocess.CompletedProcess[str]:
    """One run of the script, with a kubectl that prints `log` for each of `pods`."""
    (state / "bin").mkdir(exist_ok=True)
    (state / "bin" / "kubectl").write_text(KUBECTL)
    (state / "bin" / "kubectl").chmod(0o755)
    (state / "pods").write_text("".join(f"{pod}\n" for pod in pods))
    (state / "log").write_text("".join(f"{line}\n" for line in log))
    environment = {
        "PATH": f"{state / 'bin'}:{os.environ['PATH']}",
        "STATE": str(state),
        "NAMESPACE": "teleport",
        "SELECTOR": "app.kubernetes.io/instance=t,app.kubernetes.io/component=auth",
        "PATTERN": pattern,
        "MINUTES": "5",
    }
    return subprocess.run(
        ["/bin/sh", "-ec", SCRIPT], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


def test_a_look_that_finds_nothing_succeeds(tmp_path: Path) -> None:
    done = look(tmp_path, CONNECTED)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listed, *read = (tmp_path / "calls").read_text().splitlines()
    assert listed == (
        "get pods --namespace teleport --selector app.kubernetes.io/instance=t,app.kubernetes.io/component=auth "
        "--field-selector status.phase=Running --output name"
    )
    assert read == [f"logs --namespace teleport pod/auth-{one} --all-containers --since 5m --tail -1" for one in (1, 2)]


def test_no_auth_at_all_is_not_its_concern(tmp_path: Path) -> None:
    assert look(tmp_path, TURNED_AWAY, pods=()).returncode == 0
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def test_a_look_that_finds_auth_turned_away_fails_with_the_newest_line(tmp_path: Path) -> None:
    newest = TURNED_AWAY.replace("12:01", "12:02")
    done = look(tmp_path, TURNED_AWAY, CONNECTED, newest, CONNECTED)
    assert (done.returncode, done.stderr.strip()) == (1, newest)


@pytest.mark.parametrize("what", ["fails", "unlisted"])
def test_what_cannot_be_read_is_a_failure_too(what: str, tmp_path: Path) -> None:
    (tmp_path / what).touch()
    assert look(tmp_path, CONNECTED).returncode == 1


def test_a_pattern_that_is_none_is_told(tmp_path: Path) -> None:
    done = look(tmp_path, CONNECTED, pattern="(")
    assert done.returncode == 2
    assert "the pattern cannot be used" in done.stderr


def test_what_it_looks_for_is_what_diagnose_knows() -> None:
    first = SYMPTOMS[0]
    assert first.pattern.search(LOCKED_OUT)
    assert "auth" in first.roles


def test_it_reads_pods_and_their_logs_in_teleports_namespace_alone() -> None:
    stack = watched()
    assert stack["watch-role"].plain("rules") == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    ]
    assert {item.plain("metadata.namespace") for item in stack.custom()} == {"teleport"}
    assert {item.type.rpartition(":")[2] for item in stack.custom()} == {
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "CronJob",
    }
    assert "watch-role-binding" in stack.edges()["watch-cron-job"], "no look before it may look"


def test_its_pod_fits_the_strictest_standard() -> None:
    pod = watched(image_pull_secrets=["registry"])["watch-cron-job"].plain("spec.jobTemplate.spec.template.spec")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"memory": "256Mi"}, "the log of a few minutes is held in memory"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


@pytest.mark.parametrize("minutes", [0, 60])
def test_cron_has_only_so_many_minutes(minutes: int) -> None:
    with pytest.raises(ValueError, match="is not 1 to 59"):
        watched(every_minutes=minutes)


def test_three_looks_that_fail_are_an_alert_and_so_is_a_watch_that_never_ran() -> None:
    (group,) = watched(rule=True, every_minutes=2, rule_labels={"release": "prometheus"})["watch-rules"].plain(
        "spec.groups"
    )
    selector = '{namespace="teleport",cronjob="teleport-access-graph-lockout-watch"}'
    assert {rule["alert"]: rule["expr"] for rule in group["rules"]} == {
        "AccessGraphLocksAuthOut": (
            f"time() - (kube_cronjob_status_last_successful_time{selector} or kube_cronjob_created{selector}) > 360"
        ),
        "AccessGraphLockoutUnknown": f"absent(kube_cronjob_created{selector})",
    }


@pytest.mark.slow
def test_it_stands_in_each_teleports_own_cluster(tmp_path: Path) -> None:
    elsewhere = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    config = configuration(
        tmp_path,
        entry={
            "kubernetes": elsewhere,
            "endpoint": "graph.example.com:443",
            "namespace": "identity",
            "release": "gate",
        },
        tls={"mode": "generated", "extraDnsNames": ["graph.example.com"]},
        monitoring={"lockoutWatch": {"pattern": "turned away"}, "rules": True},
    )
    stack = run_program(config, tmp_path)
    for suffix in ("account", "role", "role-binding", "cron-job", "rules"):
        item = stack[f"lockout-watch-{TELEPORT_CLUSTER}-{suffix}"]
        assert f"::kubernetes-{OTHER_CLUSTER_IDENTIFIER}::" in item.provider
        assert item.plain("metadata.namespace") == "identity"
    environment = stack[f"lockout-watch-{TELEPORT_CLUSTER}-cron-job"].plain(
        "spec.jobTemplate.spec.template.spec.containers.0.env"
    )
    values = {entry["name"]: entry["value"] for entry in environment}
    assert values["SELECTOR"] == "app.kubernetes.io/instance=gate,app.kubernetes.io/component=auth"
    assert values["PATTERN"] == "turned away"
