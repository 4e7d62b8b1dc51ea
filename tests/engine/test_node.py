"""The sandbox's node with the real control plane: pods run, fail, change and end as on a real node."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.kubelet.reaper import POD_MARKER
from sandbox.processes import marked
from tests.engine.conftest import RunningSandbox
from tests.engine.waiting import eventually

pytestmark = pytest.mark.engine

SHELL = "public.ecr.aws/docker/library/postgres:17.6-alpine"
SECONDS = 180.0


class Namespace:
    """A test's own namespace in the running sandbox, and questions about its pods."""

    def __init__(self, running: RunningSandbox, name: str) -> None:
        self.running = running
        self.name = name

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.running.kubectl("--namespace", self.name, *arguments, check=check).stdout

    def apply(self, kind: str, name: str, **fields: Any) -> None:
        version = "batch/v1" if kind == "Job" else "v1"
        document = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}
        kubectl = [str(self.running.home.bin / "kubectl"), "--namespace", self.name, "apply", "--filename", "-"]
        subprocess.run(
            kubectl,
            input=json.dumps(document),
            text=True,
            check=True,
            env=self.running.environment(),
            capture_output=True,
            timeout=SECONDS,
        )

    def pod(self, name: str, script: str, **spec: Any) -> None:
        container = {"name": "c", "image": SHELL, "command": ["/bin/sh", "-c", script], **spec.pop("container", {})}
        self.apply("Pod", name, spec={"containers": [container], **spec})

    def status(self, name: str) -> dict[str, Any]:
        return json.loads(self.kubectl("get", "pod", name, "--output", "json"))["status"]

    def waiting(self, name: str) -> str:
        """The reason why the pod's container waits; empty if it does not."""
        for status in self.status(name).get("containerStatuses", []):
            return str(status["state"].get("waiting", {}).get("reason", ""))
        return ""

    def restarts(self, name: str) -> int:
        """How often the pod's container was restarted; 0 before the node has reported on it."""
        return sum(int(status["restartCount"]) for status in self.status(name).get("containerStatuses", []))

    def events(self, name: str) -> str:
        return self.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}", "--output", "wide")


@pytest.fixture(scope="module")
def space(running_sandbox: RunningSandbox) -> Iterator[Namespace]:
    running_sandbox.kubectl("create", "namespace", "node-test")
    yield Namespace(running_sandbox, "node-test")
    running_sandbox.kubectl("delete", "namespace", "node-test", "--timeout=120s")


def test_a_missing_config_map_holds_the_pod_and_a_changed_one_reaches_its_files(space: Namespace) -> None:
    volume = {"name": "late", "configMap": {"name": "late"}}
    mount = {"name": "late", "mountPath": "/etc/late"}
    space.pod(
        "late", "while cat /etc/late/key; do sleep 0.2; done", volumes=[volume], container={"volumeMounts": [mount]}
    )
    eventually(lambda: 'configmap "late" not found' in space.events("late"), SECONDS, "an event names what is missing")
    assert space.waiting("late") == "ContainerCreating"
    space.apply("ConfigMap", "late", data={"key": "first\n"})
    eventually(
        lambda: "first" in space.kubectl("logs", "late", check=False), SECONDS, "it starts once the map is there"
    )
    space.apply("ConfigMap", "late", data={"key": "second\n"})
    eventually(lambda: "second" in space.kubectl("logs", "late", "--tail=1"), SECONDS, "the change is in the file")


def test_a_pod_that_fits_no_node_stays_pending(space: Namespace) -> None:
    space.pod("nowhere", "sleep 60", nodeSelector={"pool": "none"})
    eventually(lambda: "FailedScheduling" in space.events("nowhere"), SECONDS, "the scheduler says why")
    assert space.status("nowhere")["phase"] == "Pending"


def test_an_image_without_a_program_cannot_be_pulled(space: Namespace) -> None:
    space.pod("unknown", "sleep 60", container={"image": "example.com/nothing:1"})
    eventually(lambda: space.waiting("unknown") in ("ErrImagePull", "ImagePullBackOff"), SECONDS, "the pull fails")


def test_a_missing_secret_key_is_a_configuration_error(space: Namespace) -> None:
    reference = {"secretKeyRef": {"name": "none", "key": "uri"}}
    space.pod("unset", "sleep 60", container={"env": [{"name": "URI", "valueFrom": reference}]})
    eventually(lambda: space.waiting("unset") == "CreateContainerConfigError", SECONDS, "the container cannot be made")


def test_a_crash_is_counted_kept_and_backed_off(space: Namespace) -> None:
    space.pod("crash", "echo last words; echo reason > /dev/termination-log; exit 3")
    eventually(lambda: space.waiting("crash") == "CrashLoopBackOff", SECONDS, "it backs off")
    (container,) = space.status("crash")["containerStatuses"]
    ended = container["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "reason\n")
    assert container["restartCount"] >= 1
    assert "last words" in space.kubectl("logs", "crash", "--previous")
    space.kubectl("delete", "pod", "crash")


def test_a_liveness_probe_restarts_and_a_readiness_probe_decides(space: Namespace) -> None:
    check = {"exec": {"command": ["/bin/sh", "-c", "test -e /state/file"]}, "periodSeconds": 1, "failureThreshold": 1}
    space.pod(
        "probed",
        "sleep 1; touch /state/file; sleep 600",
        volumes=[{"name": "state", "emptyDir": {}}],
        container={"volumeMounts": [{"name": "state", "mountPath": "/state"}], "readinessProbe": check},
    )
    space.kubectl("wait", "pod/probed", "--for=condition=Ready", "--timeout=180s")
    # What the node controller writes to pods of a node that has not reported for a while.
    unready = {"type": "Ready", "status": "False", "reason": "NodeNotReady"}
    theirs = {"type": "nobody.test/watched", "status": "True"}
    patch = json.dumps({"status": {"conditions": [unready, theirs]}})
    space.kubectl("patch", "pod", "probed", "--subresource=status", "--patch", patch)
    space.kubectl("wait", "pod/probed", "--for=condition=Ready", "--timeout=180s")
    conditions = {one["type"]: one for one in space.status("probed")["conditions"]}
    assert "reason" not in conditions["Ready"], "the node takes back the whole word of another"
    assert conditions["nobody.test/watched"]["status"] == "True", "and leaves what is not its own"
    space.pod("dying", "sleep 600", container={"livenessProbe": {**check, "exec": {"command": ["/bin/false"]}}})
    eventually(lambda: space.restarts("dying") >= 1, SECONDS, "it is restarted")
    assert "failed liveness probe" in space.events("dying")


def test_a_job_runs_its_init_containers_and_reports_its_end(space: Namespace) -> None:
    mount = {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}
    pod = {
        "restartPolicy": "Never",
        "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}}],
        "initContainers": [
            {"name": "first", "image": SHELL, "command": ["/bin/sh", "-c", "echo from init > /tmp/note"], **mount}
        ],
        "containers": [{"name": "c", "image": SHELL, "command": ["/bin/sh", "-c", "cat /tmp/note; psql -V"], **mount}],
    }
    space.apply("Job", "fine", spec={"template": {"spec": pod}})
    space.kubectl("wait", "job/fine", "--for=condition=Complete", "--timeout=180s")
    assert space.kubectl("logs", "job/fine", "--container", "c").startswith("from init\npsql (PostgreSQL) ")
    failing = {"restartPolicy": "Never", "containers": [{"name": "c", "image": SHELL, "command": ["/bin/false"]}]}
    space.apply("Job", "failing", spec={"backoffLimit": 0, "template": {"spec": failing}})
    space.kubectl("wait", "job/failing", "--for=condition=Failed", "--timeout=180s")


def test_a_claim_is_bound_and_outlives_its_pods(space: Namespace) -> None:
    resources = {"requests": {"storage": "1Gi"}}
    space.apply("PersistentVolumeClaim", "data", spec={"accessModes": ["ReadWriteOnce"], "resources": resources})
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    for expected in (1, 2):
        space.pod("keeper", "echo x >> /data/f; wc -l < /data/f; sleep 600", volumes=[volume], container=mount)
        eventually(lambda: space.kubectl("logs", "keeper", check=False).strip(), SECONDS, "it printed")
        assert space.kubectl("logs", "keeper").strip() == str(expected)
        space.kubectl("delete", "pod", "keeper")
    volume_name = json.loads(space.kubectl("get", "pvc", "data", "--output", "json"))["spec"]["volumeName"]
    space.kubectl("delete", "pvc", "data")
    eventually(
        lambda: space.running.kubectl("get", "pv", volume_name, check=False).returncode != 0,
        SECONDS,
        "the volume goes with its claim",
    )


def test_a_role_of_the_service_account_becomes_credentials(space: Namespace) -> None:
    role = "arn:aws:iam::123456789012:role/any"
    space.kubectl("create", "serviceaccount", "worker")
    space.kubectl("annotate", "serviceaccount", "worker", f"eks.amazonaws.com/role-arn={role}")
    script = "echo $AWS_ROLE_ARN; cat $AWS_WEB_IDENTITY_TOKEN_FILE"
    space.pod("worker", script, serviceAccountName="worker", restartPolicy="Never")
    eventually(lambda: space.status("worker").get("phase") == "Succeeded", SECONDS, "it ends")
    named, token = space.kubectl("logs", "worker").split()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
    assert named == role
    assert (claims["aud"], claims["sub"]) == (["sts.amazonaws.com"], "system:serviceaccount:node-test:worker")


def test_a_deletion_ends_gracefully_and_leaves_no_process(space: Namespace) -> None:
    script = "trap 'echo asked to end; exit 0' TERM; (setsid sleep 600) & sleep 600 & while :; do sleep 0.1; done"
    space.pod("polite", script)
    space.kubectl("wait", "pod/polite", "--for=condition=Ready", "--timeout=180s")
    uid = json.loads(space.kubectl("get", "pod", "polite", "--output", "json"))["metadata"]["uid"]
    mark = f"{space.running.home.root}/:{uid}/"
    assert len(marked(mark, POD_MARKER)) >= 3
    following = subprocess.Popen(
        [str(space.running.home.bin / "kubectl"), "--namespace", space.name, "logs", "--follow", "polite"],
        env=space.running.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    # Time for the API server to open the stream at the node. No output shows when it has.
    time.sleep(1)
    space.kubectl("delete", "pod", "polite", "--timeout=180s")
    assert marked(mark, POD_MARKER) == []
    assert "asked to end" in following.communicate(timeout=SECONDS)[0]


def test_a_node_that_is_killed_leaves_nothing_running_and_goes_on_afterwards(space: Namespace) -> None:
    space.pod("lasting", "(setsid sleep 600) & while :; do sleep 0.1; done")
    space.kubectl("wait", "pod/lasting", "--for=condition=Ready", "--timeout=180s")
    home = space.running.home
    kubelet = json.loads((home.run / "kubelet.json").read_text())["pid"]
    os.kill(kubelet, signal.SIGKILL)
    eventually(lambda: marked(f"{home.root}/", POD_MARKER) == [], SECONDS, "every pod's process is gone with its node")
    space.running.door("start")

    def restarted() -> bool:
        (container,) = space.status("lasting")["containerStatuses"]
        return bool(container["restartCount"] == 1 and container["ready"])

    eventually(restarted, SECONDS, "the pod runs again, with one restart counted")
