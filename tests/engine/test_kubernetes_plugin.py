"""The kubernetes stand-in with a real API server and the real Helm: what it writes, awaits, refuses and gives up.

The tests call the plugin's methods as the engine does; other modules test whole programs. No pod of these tests is ever
bound to a node: the tests set the status of their pods themselves.
"""

from __future__ import annotations

import tarfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.plugins.kubernetes.connection import JSON_PATCH, MERGE_PATCH, ApiError, ApiServer
from sandbox.plugins.kubernetes.provider import KubernetesProvider
from sandbox.plugins.kubernetes.schema import kind_of
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from sandbox.plugins.values import Properties, Secret, unwrap
from tests.engine.conftest import RunningSandbox

pytestmark = pytest.mark.engine

NOWHERE: Final = {"nobody.test/node": "none"}  # no node has this label, so no kubelet takes the pod
CHART: Final = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec: {nodeSelector: {nobody.test/node: none}, containers: [{name: c, image: none}]}
"""
CONFIG_MAP: Final = "kubernetes:core/v1:ConfigMap"
RELEASE: Final = "kubernetes:helm.sh/v3:Release"


class Program:
    """A provider and a namespace. `apply` does what an `up` does with one resource: check, diff, create or update."""

    def __init__(self, provider: KubernetesProvider, server: ApiServer, namespace: str) -> None:
        self.provider, self.server, self.namespace = provider, server, namespace
        self.states: dict[str, tuple[str, str, Properties]] = {}

    def apply(self, token: str, name: str, inputs: Properties, timeout: float = 0, preview: bool = False) -> Properties:
        urn = f"urn:pulumi:s::p::{token}::{name}"
        _, id_, olds = self.states.get(name, ("", "", {}))
        old_inputs = unwrap(olds).get("__inputs", {})
        checked = self.provider.check(urn, token, old_inputs, inputs, b"seed")
        assert checked.failures == []
        if not olds:
            id_, outputs = self.provider.create(urn, token, checked.inputs, timeout, preview)
        elif self.provider.diff(urn, token, id_, old_inputs, olds, checked.inputs, []).changes:
            outputs = self.provider.update(urn, token, id_, old_inputs, olds, checked.inputs, timeout, preview, [])
        else:
            return olds
        if not preview:
            self.states[name] = (token, id_, outputs)
        return outputs

    def delete(self, name: str) -> None:
        token, id_, outputs = self.states.pop(name)
        self.provider.delete(f"urn:pulumi:s::p::{token}::{name}", token, id_, {}, outputs, 30)

    def named(self, name: str, **metadata: Any) -> dict[str, Any]:
        return {"name": name, "namespace": self.namespace, **metadata}

    def live(self, api_version: str, kind: str, name: str) -> dict[str, Any]:
        found = kind_of(api_version, kind)
        assert found is not None
        return self.server.get(found, self.namespace, name)

    def managers(self, api_version: str, kind: str, name: str) -> list[tuple[str, str]]:
        entries = self.live(api_version, kind, name)["metadata"]["managedFields"]
        return [(entry["manager"], entry["operation"]) for entry in entries]

    def pods_become(
        self, status: Callable[[dict[str, Any]], dict[str, Any]], stop: threading.Event
    ) -> threading.Thread:
        """Starts a thread that gives every pending pod of the namespace that status, until `stop`."""

        def tell() -> None:
            kind = kind_of("v1", "Pod")
            assert kind is not None
            while not stop.wait(0.1):
                for pod in self.server.list_objects(kind, self.namespace):
                    if pod["status"].get("phase") == "Pending":
                        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
                        self.server.request("PATCH", path, {}, {"status": status(pod)}, MERGE_PATCH)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        return thread


def ended(exit_code: int, message: str = "") -> Callable[[dict[str, Any]], dict[str, Any]]:
    def status(pod: dict[str, Any]) -> dict[str, Any]:
        state = {
            "terminated": {"exitCode": exit_code, "reason": "Error" if exit_code else "Completed", "message": message}
        }
        container = {"name": "c", "image": "none", "imageID": "", "ready": False, "restartCount": 0, "state": state}
        return {"phase": "Failed" if exit_code else "Succeeded", "containerStatuses": [container]}

    return status


def ready(pod: dict[str, Any]) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {"phase": "Running", "conditions": [{"type": k, "status": "True", "lastTransitionTime": now} for k in kinds]}


@pytest.fixture
def program(running_sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Program]:
    """A program in a namespace of its own, with its provider configured as the project does."""
    for name, value in running_sandbox.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    provider = KubernetesProvider()
    provider.configure(
        {"kubeconfig": "", "context": "sandbox", "enableConfigMapMutable": "true", "enableSecretMutable": "true"}
    )
    server = provider._cluster().reachable()
    namespace = f"plugin-{uuid.uuid4().hex[:8]}"
    found = Program(provider, server, namespace)
    # Nobody waits for the namespace's deletion, which takes its controller seconds.
    metadata = {"name": namespace, "annotations": {"pulumi.com/skipAwait": "true"}}
    found.apply("kubernetes:core/v1:Namespace", "namespace", {"metadata": metadata})
    yield found
    found.delete("namespace")


@pytest.fixture
def pods(program: Program) -> Iterator[Callable[[Callable[[dict[str, Any]], dict[str, Any]]], None]]:
    """`pods(status)` gives the test's pods that status from then on."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    yield lambda status: threads.append(program.pods_become(status, stop))
    stop.set()
    for thread in threads:
        thread.join()


def job(program: Program, **metadata: Any) -> Properties:
    pod = {"restartPolicy": "Never", "nodeSelector": NOWHERE, "containers": [{"name": "c", "image": "none"}]}
    return {"metadata": program.named("job", **metadata), "spec": {"backoffLimit": 0, "template": {"spec": pod}}}


def package_chart() -> None:
    """Writes `demo-0.1.0.tgz` into the current directory."""
    with tarfile.open("demo-0.1.0.tgz", "w:gz") as archive:
        for name, text in {
            "demo/Chart.yaml": "apiVersion: v2\nname: demo\nversion: 0.1.0\nappVersion: 0.1.0\n",
            "demo/values.yaml": "replicas: 0\n",
            "demo/templates/deployment.yaml": CHART,
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, BytesIO(text.encode()))


def test_an_object_is_created_updated_in_place_and_deleted(program: Program) -> None:
    inputs = {"metadata": program.named("settings"), "data": {"a": "1", "b": "2"}}
    assert program.apply(CONFIG_MAP, "settings", inputs, preview=True)["data"] == {"a": "1", "b": "2"}
    with pytest.raises(ApiError, match="not found"):
        program.live("v1", "ConfigMap", "settings")
    created = program.apply(CONFIG_MAP, "settings", inputs)
    assert program.managers("v1", "ConfigMap", "settings") == [("pulumi-kubernetes", "Update")]
    assert program.apply(CONFIG_MAP, "settings", inputs) is created, "nothing to do, nothing written"
    updated = program.apply(CONFIG_MAP, "settings", {**inputs, "data": {"a": "3"}})
    assert updated["metadata"]["uid"] == created["metadata"]["uid"]
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "3"}, "the key that was taken out is gone"
    assert program.managers("v1", "ConfigMap", "settings") == [(created["__fieldManager"], "Apply")]
    program.delete("settings")
    with pytest.raises(ApiError, match="not found"):
        program.live("v1", "ConfigMap", "settings")


def test_what_the_server_refuses_is_refused_at_preview(program: Program) -> None:
    with pytest.raises(ResourceError, match="a valid config key must consist of"):
        program.apply(CONFIG_MAP, "x", {"metadata": program.named("x"), "data": {"bad key!": "x"}}, preview=True)


def test_an_existing_object_is_not_adopted(program: Program) -> None:
    inputs = {"metadata": program.named("settings"), "data": {"a": "1"}}
    program.apply(CONFIG_MAP, "settings", inputs)
    with pytest.raises(ResourceError, match=r'configmaps "settings" already exists\n\nThe resource already exists'):
        program.apply(CONFIG_MAP, "twin", {**inputs, "data": {"a": "2"}})
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "1"}


def test_anothers_change_is_a_conflict_until_forced(program: Program) -> None:
    inputs = {"metadata": program.named("settings"), "data": {"a": "1"}}
    program.apply(CONFIG_MAP, "settings", inputs)
    program.apply(CONFIG_MAP, "settings", {**inputs, "data": {"a": "2"}})
    kind = kind_of("v1", "ConfigMap")
    assert kind is not None
    foreign = [{"op": "replace", "path": "/data/a", "value": "theirs"}]
    program.server.patch(kind, program.namespace, "settings", foreign, JSON_PATCH, "somebody", dry_run=False)
    wanted = {**inputs, "data": {"a": "3"}}
    with pytest.raises(InitializationFailed, match='conflict with "somebody"'):
        program.apply(CONFIG_MAP, "settings", wanted)
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "theirs"}
    forced = {**wanted, "metadata": program.named("settings", annotations={"pulumi.com/patchForce": "true"})}
    program.apply(CONFIG_MAP, "settings", forced)
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "3"}


def test_a_secret_is_written_whole_and_kept_secret(program: Program) -> None:
    inputs = {"metadata": program.named("uri"), "stringData": {"uri": Secret("postgres://x")}}
    outputs = program.apply("kubernetes:core/v1:Secret", "uri", inputs)
    assert outputs["data"] == Secret({"uri": "cG9zdGdyZXM6Ly94"})
    assert program.live("v1", "Secret", "uri")["data"] == {"uri": "cG9zdGdyZXM6Ly94"}
    assert program.apply("kubernetes:core/v1:Secret", "uri", inputs) is outputs


def test_a_job_is_awaited(program: Program, pods: Callable[[Any], None]) -> None:
    pods(ended(0))
    outputs = program.apply("kubernetes:batch/v1:Job", "job", job(program), 30)
    assert outputs["status"]["succeeded"] == 1
    program.delete("job")


def test_a_failed_job_is_kept_and_says_what_its_pod_said(program: Program, pods: Callable[[Any], None]) -> None:
    pods(ended(3, "could not connect"))
    with pytest.raises(InitializationFailed) as raised:
        program.apply("kubernetes:batch/v1:Job", "job", job(program), 30)
    assert raised.value.id == f"{program.namespace}/job"
    assert "Resource 'job' was created but failed to initialize" in raised.value.reasons[0]
    assert raised.value.reasons[1].startswith("[BackoffLimitExceeded]")
    assert any("container c ended with exit code 3: could not connect" in reason for reason in raised.value.reasons)


def test_a_pod_that_admission_refuses_is_told_when_time_is_up(program: Program) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    program.apply(
        "kubernetes:core/v1:Namespace", "namespace", {"metadata": {"name": program.namespace, "labels": labels}}
    )
    with pytest.raises(InitializationFailed) as raised:
        program.apply("kubernetes:batch/v1:Job", "job", job(program), 5)
    assert "'job' timed out waiting to be Ready" in raised.value.reasons[0]
    assert any("violates PodSecurity" in reason for reason in raised.value.reasons)


def test_a_patch_rolls_a_deployment_and_gives_its_fields_back(program: Program, pods: Callable[[Any], None]) -> None:
    pods(ready)
    pod = {"nodeSelector": NOWHERE, "containers": [{"name": "c", "image": "none"}]}
    spec = {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod},
    }
    program.apply("kubernetes:apps/v1:Deployment", "web", {"metadata": program.named("web"), "spec": spec}, 30)

    def restart(value: str) -> Properties:
        return {
            "metadata": program.named("web"),
            "spec": {"template": {"metadata": {"annotations": {"restart": value}}}},
        }

    outputs = program.apply("kubernetes:apps/v1:DeploymentPatch", "restart", restart("1"), 30)
    assert outputs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    outputs = program.apply("kubernetes:apps/v1:DeploymentPatch", "restart", restart("2"), 30)
    assert outputs["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert (outputs["__fieldManager"], "Apply") in program.managers("apps/v1", "Deployment", "web")
    program.delete("restart")
    live = program.live("apps/v1", "Deployment", "web")
    assert "annotations" not in live["spec"]["template"]["metadata"]
    assert live["spec"]["template"]["metadata"]["labels"] == {"app": "web"}, "what it did not own is untouched"

    program.apply("kubernetes:apps/v1:DeploymentPatch", "restart", restart("4"), 30)
    program.delete("web")
    with pytest.raises(ResourceError, match="currently managing a required field, so it can't be deleted directly"):
        program.delete("restart")


def test_a_patch_whose_config_map_is_gone_leaves_an_empty_one(program: Program) -> None:
    """As with the official plugin, which releases its fields by an apply without looking first."""
    program.apply(CONFIG_MAP, "settings", {"metadata": program.named("settings"), "data": {"a": "1"}})
    patch = {"metadata": program.named("settings"), "data": {"b": "2"}}
    program.apply("kubernetes:core/v1:ConfigMapPatch", "patch", patch)
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "1", "b": "2"}
    program.delete("settings")
    program.delete("patch")
    assert "data" not in program.live("v1", "ConfigMap", "settings")


def test_a_refresh_sees_drift_and_the_next_update_mends_it(program: Program) -> None:
    inputs = {"metadata": program.named("settings"), "data": {"a": "1"}}
    outputs = program.apply(CONFIG_MAP, "settings", inputs)
    kind = kind_of("v1", "ConfigMap")
    assert kind is not None
    drift = [{"op": "replace", "path": "/data/a", "value": "drifted"}]
    program.server.patch(kind, program.namespace, "settings", drift, JSON_PATCH, "pulumi-kubernetes", dry_run=False)
    token, id_, _ = program.states["settings"]
    refreshed = program.provider.read("urn", token, id_, outputs["__inputs"], outputs)
    assert refreshed is not None
    assert refreshed[1]["data"] == {"a": "drifted"}
    program.states["settings"] = (token, id_, refreshed[2])
    program.apply(CONFIG_MAP, "settings", inputs)
    assert program.live("v1", "ConfigMap", "settings")["data"] == {"a": "1"}


def release(program: Program, **inputs: Any) -> Properties:
    # A timeout for machines that are busy with other tests. Tests that wait for a timeout set a shorter one.
    return {"name": "demo", "namespace": program.namespace, "chart": "./demo-0.1.0.tgz", "timeout": 120, **inputs}


def test_a_release_is_installed_upgraded_and_uninstalled(program: Program, pods: Callable[[Any], None]) -> None:
    package_chart()
    pods(ready)
    outputs = program.apply(RELEASE, "release", release(program, values={"replicas": 1, "token": Secret("hush")}))
    assert outputs["status"] == {
        "appVersion": "0.1.0",
        "chart": "demo",
        "name": "demo",
        "namespace": program.namespace,
        "revision": 1,
        "status": "deployed",
        "version": "0.1.0",
    }
    assert outputs["resourceNames"] == {"Deployment.apps/apps/v1": ["demo"]}
    assert outputs["values"] == {"replicas": 1, "token": Secret("hush")}
    with pytest.raises(ResourceError, match="cannot re-use a name that is still in use"):
        program.apply(RELEASE, "twin", release(program))
    outputs = program.apply(RELEASE, "release", release(program, values={"replicas": 2}))
    assert (outputs["status"]["revision"], outputs["values"]) == (2, {"replicas": 2}), "no old value is reused"
    assert program.live("apps/v1", "Deployment", "demo")["spec"]["replicas"] == 2
    program.delete("release")
    with pytest.raises(ApiError, match="not found"):
        program.live("apps/v1", "Deployment", "demo")


def test_a_release_that_runs_is_imported_and_upgraded(program: Program, running_sandbox: RunningSandbox) -> None:
    package_chart()
    chart = str(Path("demo-0.1.0.tgz").resolve())
    running_sandbox.helm("install", "demo", chart, "--namespace", program.namespace, "--set", "mine=yes")
    imported = program.provider.read("urn", RELEASE, f"{program.namespace}/demo", {}, {})
    assert imported is not None
    id_, inputs, outputs = imported
    assert (inputs["chart"], inputs["version"], inputs["values"]) == ("demo-0.1.0.tgz", "0.1.0", {"mine": "yes"})
    program.states["release"] = (RELEASE, id_, outputs)
    outputs = program.apply(RELEASE, "release", release(program, values={"other": "yes"}))
    assert (outputs["status"]["revision"], outputs["values"]) == (2, {"other": "yes"})
    program.delete("release")


def test_a_failed_upgrade_is_rolled_back_and_the_next_one_works(program: Program) -> None:
    package_chart()
    wanted = release(program, atomic=True, values={"replicas": 0})
    program.apply(RELEASE, "release", wanted)
    with pytest.raises(InitializationFailed) as raised:
        program.apply(RELEASE, "release", {**wanted, "timeout": 5, "values": {"replicas": 1}})
    assert raised.value.reasons == [
        f'Helm release "{program.namespace}/demo" failed to initialize completely. Use Helm CLI to investigate: '
        f"failed to become available within allocated timeout. Error: Helm Release {program.namespace}/demo: release "
        "demo failed, and has been rolled back due to atomic being set: context deadline exceeded"
    ]
    assert (raised.value.outputs["status"]["status"], raised.value.outputs["status"]["revision"]) == ("failed", 2)
    assert program.live("apps/v1", "Deployment", "demo")["spec"]["replicas"] == 0
    program.states["release"] = (RELEASE, raised.value.id, raised.value.outputs)
    outputs = program.apply(RELEASE, "release", wanted)
    assert (outputs["status"]["status"], outputs["status"]["revision"]) == ("deployed", 4)
    program.delete("release")


def test_a_cancelled_upgrade_ends_soon_and_leaves_nothing_pending(program: Program) -> None:
    package_chart()
    wanted = release(program, atomic=True, timeout=60, values={"replicas": 0})
    program.apply(RELEASE, "release", wanted)
    timer = threading.Timer(2, program.provider.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(InitializationFailed, match="context canceled"):
        program.apply(RELEASE, "release", {**wanted, "values": {"replicas": 1}})
    assert time.monotonic() - started < 30
    found = program.provider.read("urn", RELEASE, f"{program.namespace}/demo", {}, {})
    assert found is not None
    assert (found[2]["status"]["status"], found[2]["status"]["revision"]) == ("deployed", 3)
    # The engine does not use a cancelled provider again, so configure a new one for the clean-up.
    program.provider.configure({"kubeconfig": "", "context": "sandbox"})
    program.delete("release")
