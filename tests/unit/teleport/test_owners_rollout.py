"""The Job that waits for another owner's rollout: what it accepts, what it finally prints, what it may do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.owners_rollout import SCRIPT, OwnersRollout
from tests.unit.monitor import Recording, record

pytestmark = pytest.mark.unit

ENDPOINT = "graph.example.com:443"
WANTED = "a" * 64
COMPLETE = "4 4 2 2 2 2"
TOLD = f"access_graph:\n  ca: /var/run/access-graph/ca.pem\n  enabled: true\n  endpoint: {ENDPOINT}\n"

# Answers from files, as kubectl does with `--ignore-not-found`: nothing for a missing object, an error for a refused
# one.
KUBECTL = """#!/bin/sh
echo "$*" >> "$STATE/calls"
[ -e "$STATE/refuse" ] && { echo "Error from server (Forbidden)" >&2; exit 1; }
case "$*" in
  *"--namespace teleport --ignore-not-found"*) ;;
  *) echo "unexpected: $*" >&2; exit 2 ;;
esac
case "$*" in
  "get deployment teleport-auth "*"jsonpath={.spec.template.metadata.annotations.checksum/access-graph-ca}")
    cat "$STATE/checksum" ;;
  "get configmap teleport-auth "*"jsonpath={.data.teleport\\.yaml}") cat "$STATE/configuration" ;;
  "get deployment teleport-auth "*".availableReplicas}") cat "$STATE/counts" ;;
  *) echo "unexpected: $*" >&2; exit 2 ;;
esac
"""


def wait(
    state: Path,
    *,
    checksum: str = WANTED,
    configuration: str = TOLD,
    counts: str = COMPLETE,
    seconds: int = 0,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    (state / "bin").mkdir(exist_ok=True)
    kubectl = state / "bin" / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    for name, text in (("checksum", checksum), ("configuration", configuration), ("counts", counts)):
        (state / name).write_text(text)
    return subprocess.run(
        ["/bin/sh", "-ec", SCRIPT],
        env={
            "PATH": f"{state / 'bin'}:{os.environ['PATH']}",
            "STATE": str(state),
            "NAMESPACE": "teleport",
            "DEPLOYMENT": "teleport-auth",
            "CONFIG_MAP": "teleport-auth",
            "VALUES_CONFIG_MAP": "teleport-access-graph-values",
            "WANTED_CHECKSUM": WANTED,
            "WANTED_ENDPOINT": ENDPOINT,
            "FORMER_ENDPOINT": "",
            "SECONDS_TO_WAIT": str(seconds),
            "PAUSE": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


OFF = {"WANTED_CHECKSUM": "", "WANTED_ENDPOINT": "", "FORMER_ENDPOINT": ENDPOINT}


def test_what_was_handed_over_and_rolled_out_ends_the_wait(tmp_path: Path) -> None:
    done = wait(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Deployment teleport-auth has what was handed over\n"
    assert len((tmp_path / "calls").read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"checksum": "b" * 64},
            f"annotation checksum/access-graph-ca is '{'b' * 64}', and '{WANTED}' was handed over",
        ),
        ({"checksum": ""}, f"annotation checksum/access-graph-ca is '', and '{WANTED}' was handed over"),
        ({"configuration": TOLD.replace("graph.", "other.")}, f"does not have the endpoint {ENDPOINT}"),
        ({"configuration": TOLD.replace(":443", ":4430")}, f"does not have the endpoint {ENDPOINT}"),
        ({"configuration": ""}, f"does not have the endpoint {ENDPOINT}"),
        ({"counts": "4 3 2 2 2 2"}, "its rollout is not complete"),
        ({"counts": "4 4 2 1 3 2"}, "its rollout is not complete"),
        # The first new pod is there, and a former one still answers.
        ({"counts": "4 4 2 1 2 2"}, "its rollout is not complete"),
        ({"counts": "4 4 2 2 3 2"}, "its rollout is not complete"),
        ({"counts": "4 4 2 2 2 1"}, "its rollout is not complete"),
        ({"counts": "4 4 2 2 2 "}, "its rollout is not complete"),
    ],
)
def test_when_its_time_is_over_it_says_what_is_missing_and_what_to_do(
    changes: dict[str, str], reason: str, tmp_path: Path
) -> None:
    done = wait(tmp_path, **changes)  # type: ignore[arg-type]
    assert done.returncode == 1
    assert "Deployment teleport-auth in teleport: " in done.stderr
    assert reason in done.stderr
    assert "roll out the values in ConfigMap teleport-access-graph-values, then run 'pulumi up' again" in done.stderr


def test_an_endpoint_in_quotes_is_the_same_endpoint(tmp_path: Path) -> None:
    quoted = TOLD.replace(ENDPOINT, '"[fd00::1]:443"')
    assert wait(tmp_path, configuration=quoted, WANTED_ENDPOINT="[fd00::1]:443").returncode == 0


def test_a_cluster_that_does_not_answer_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    refused = wait(tmp_path)
    assert refused.returncode == 1
    assert "it cannot be read" in refused.stderr
    (tmp_path / "refuse").unlink()
    assert wait(tmp_path, seconds=5).returncode == 0


def test_switched_off_it_waits_until_nothing_is_left(tmp_path: Path) -> None:
    bare = "auth_service:\n  enabled: true\n"
    assert wait(tmp_path, checksum="", configuration=bare, **OFF).returncode == 0
    still = wait(tmp_path, checksum="", **OFF)
    assert f"still has the endpoint {ENDPOINT}" in still.stderr
    assert "is 'aaaa" in wait(tmp_path, configuration=bare, **OFF).stderr
    assert "not complete" in wait(tmp_path, checksum="", configuration=bare, counts="4 3 2 2 2 2", **OFF).stderr


def test_a_teleport_that_does_not_exist_yet_has_nothing_to_lose(tmp_path: Path) -> None:
    assert wait(tmp_path, checksum="", configuration="", counts="", **OFF).returncode == 0
    assert wait(tmp_path, checksum="", configuration="", counts="").returncode == 1


def registered(**arguments: Any) -> Recording:
    def program() -> None:
        OwnersRollout(
            "rollout",
            {
                "namespace": "teleport",
                "deployment": "teleport-auth",
                "values_config_map": "values",
                "hand_over": "1",
                "endpoint": ENDPOINT,
                "enabled": True,
                "checksum": WANTED,
                "image": "kubectl:1",
                **arguments,
            },  # type: ignore[arg-type]
            pulumi.ResourceOptions(providers=[kubernetes.Provider("kubernetes", context="test")]),
        )

    return record(program)


def test_it_may_read_one_deployment_and_one_config_map_by_name() -> None:
    assert registered()["rollout-role"].plain("rules") == [
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["teleport-auth"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["teleport-auth"], "verbs": ["get"]},
    ]


def test_it_looks_no_sooner_than_it_may() -> None:
    assert "rollout-role-binding" in registered().edges()["rollout-job"]


def test_its_pod_fits_the_restricted_standard_and_tells_its_last_words() -> None:
    pod = registered(image_pull_secrets=["registry"])["rollout-job"].plain("spec.template.spec")
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
    assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.slow
def test_a_job_that_failed_is_replaced_and_its_name_follows_what_is_awaited() -> None:
    def name(**arguments: Any) -> str:
        return str(registered(**arguments)["rollout-job"].plain("metadata.name"))

    assert registered()["rollout-job"].plain("metadata.annotations") == {
        "pulumi.com/replaceUnready": "true",
        "pulumi.com/timeoutSeconds": "1140",
    }
    others = {"checksum": "b" * 64, "endpoint": "other.example.com:443", "enabled": False, "hand_over": "2"}
    names = {name(), *(name(**{key: value}) for key, value in others.items())}
    assert len(names) == 5
    assert all(len(one) == len("teleport-access-graph-rollout-") + 10 for one in names)
