"""What the plugin makes of an object's inputs, of the API server's answers and of its refusals."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.plugins.kubernetes.objects import Objects
from sandbox.plugins.kubernetes.schema import Kind, kind_of_type
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from sandbox.plugins.values import UNKNOWN, Secret
from tests.unit.kubernetes_plugin import recorded
from tests.unit.kubernetes_plugin.scripted_server import ScriptedServer, connected, refusal

pytestmark = pytest.mark.unit

URN = "urn:pulumi:rec::recording::kubernetes:core/v1:ConfigMap::"


class Spoken(list[tuple[str, str]]):
    """A log that keeps its messages."""

    def __call__(self, severity: str, message: str, urn: str = "", status: bool = False) -> None:
        self.append((severity, message))


def kind(token: str) -> Kind:
    found = kind_of_type(f"kubernetes:{token}")
    assert found is not None, token
    return found


def objects(server: ScriptedServer | None = None, log: Any = None, **options: Any) -> Objects:
    return Objects(connected(server, **options), Spoken() if log is None else log)


def check(token: str, news: dict[str, Any], olds: dict[str, Any] | None = None, name: str = "thing") -> Any:
    return objects().check(URN + name, kind(token), olds or {}, news, b"seed")


GIVEN = {
    "ns": {"metadata": {"name": "recording", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}}},
    "bundle": {"metadata": {"name": "bundle", "namespace": "recording"}, "data": {"ca.pem": "(certificate)\n"}},
    "policy": {
        "metadata": {"name": "policy", "namespace": "recording"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 9090}]}]},
    },
    "job": {
        "metadata": {"name": "job", "namespace": "recording"},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "c", "image": "demo:1", "command": ["true"]}],
                }
            },
        },
    },
    "restart": {
        "metadata": {"name": "demo", "namespace": "recording"},
        "spec": {"template": {"metadata": {"annotations": {"restart": "1"}}}},
    },
}


@pytest.mark.parametrize("name", GIVEN)
def test_checked_inputs_are_as_recorded(name: str) -> None:
    entry = recorded.resources("basics", 1)[name]
    result = check(entry["type"].removeprefix("kubernetes:"), GIVEN[name], name=name)
    assert result.failures == []
    assert result.inputs == entry["inputs"], "the program gave no apiVersion and no kind"


def test_a_secrets_strings_become_data_and_stay_secret() -> None:
    given = {"metadata": {"name": "uri", "namespace": "recording"}, "stringData": Secret({"uri": "hidden"})}
    inputs = check("core/v1:Secret", given).inputs
    assert inputs["data"] == Secret({"uri": "aGlkZGVu"})
    assert "stringData" not in inputs
    assert sorted(inputs) == sorted(recorded.resources("basics", 1)["uri"]["inputs"])


def test_plain_strings_of_a_secret_are_marked_secret() -> None:
    assert check("core/v1:Secret", {"metadata": {"name": "a"}, "stringData": {"k": "v"}}).inputs["data"] == Secret(
        {"k": "dg=="}
    )


def test_unknown_strings_stay_as_they_were_given() -> None:
    given = {"metadata": {"name": "uri", "namespace": "recording"}, "stringData": Secret({"uri": UNKNOWN})}
    inputs = check("core/v1:Secret", given).inputs
    assert inputs["stringData"] == Secret({"uri": UNKNOWN})
    assert sorted(inputs) == sorted(recorded.steps("basics", 1)["create", "uri"]["newState"]["inputs"])


def test_an_object_without_a_name_gets_one_and_keeps_it() -> None:
    given = {"metadata": {"namespace": "recording"}, "data": {"a": "1"}}
    first = check("core/v1:ConfigMap", given, name="autonamed").inputs
    prefix, _, suffix = first["metadata"]["name"].rpartition("-")
    assert prefix == "autonamed"
    assert len(suffix) == 8
    assert set(suffix) <= set("0123456789abcdef")
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    again = objects().check(URN + "autonamed", kind("core/v1:ConfigMap"), first, given, b"another seed").inputs
    assert again == first


def test_a_namespaced_object_without_a_namespace_gets_the_contexts_own() -> None:
    assert check("core/v1:ConfigMap", {"metadata": {"name": "a"}}).inputs["metadata"] == {
        "name": "a",
        "namespace": "default",
    }
    assert check("core/v1:Namespace", {"metadata": {"name": "a"}}).inputs["metadata"] == {"name": "a"}


def test_quantities_are_kept_as_the_server_writes_them() -> None:
    resources = {"requests": {"cpu": "1000m", "memory": "0.5Gi"}, "limits": {"memory": "1024Mi"}}
    spec = {"template": {"spec": {"containers": [{"name": "c", "resources": resources}]}}}
    inputs = check("batch/v1:Job", {"metadata": {"name": "a"}, "spec": spec}).inputs
    assert inputs["spec"]["template"]["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "1", "memory": "512Mi"},
        "limits": {"memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("token", "inputs", "path", "reason"),
    [
        ("core/v1:ConfigMap", {"dta": {}}, "dta", "unknown field 'dta'; did you mean 'data'?"),
        (
            "batch/v1:Job",
            {"spec": {"template": {"spec": {"containers": [{"imagee": "x"}]}}}},
            "spec.template.spec.containers[0].imagee",
            "did you mean 'image'?",
        ),
        ("batch/v1:Job", {"spec": {"backoffLimit": "0"}}, "spec.backoffLimit", "expected a whole number, got str"),
        ("core/v1:ConfigMap", {"data": {"a": 1}}, "data.a", "expected a string, got int"),
        ("core/v1:ConfigMap", {"metadata": {"labels": []}}, "metadata.labels", "expected an object, got list"),
        ("core/v1:ConfigMap", {"kind": "Secret"}, "kind", "kind is ConfigMap for this resource type"),
        (
            "apps/v1:DeploymentPatch",
            {"spec": {"template": {"metadata": {"annotation": {}}}}},
            "spec.template.metadata.annotation",
            "did you mean 'annotations'?",
        ),
    ],
)
def test_what_the_kind_does_not_have_is_refused(token: str, inputs: dict[str, Any], path: str, reason: str) -> None:
    failures = check(token, inputs).failures
    assert [failure.property for failure in failures] == [path]
    assert reason in failures[0].reason


def test_a_patch_needs_the_name_of_what_it_patches() -> None:
    with pytest.raises(ResourceError, match=r"patch resources require the `.metadata.name` field"):
        check("apps/v1:DeploymentPatch", {"spec": {}})


@pytest.mark.parametrize("name", ["ns", "uri", "autonamed", "policy", "bundle", "pair", "job"])
def test_the_outputs_of_a_creation_are_as_recorded(name: str) -> None:
    entry = recorded.resources("basics", 1)[name]
    then = recorded.values(entry["outputs"])
    server = ScriptedServer()
    live = {
        key: value.value if isinstance(value, Secret) else value
        for key, value in then.items()
        if not key.startswith("__")
    }
    server.add(live)
    created = kind(entry["type"].removeprefix("kubernetes:"))
    id_, outputs = objects(server).create(URN, created, recorded.values(entry["inputs"]), 0, preview=False)
    assert id_ == entry["id"]
    assert outputs.pop("__fieldManager").startswith("pulumi-kubernetes-")
    del then["__fieldManager"]
    assert outputs == then, "property names, secret marks and values"
    assert ("create", then["metadata"]["name"]) == server.calls[0][:2]
    assert server.calls[0][2]["manager"] == "pulumi-kubernetes", "a creation is no apply"


def test_a_patch_is_applied_under_a_manager_of_its_own() -> None:
    entry = recorded.resources("basics", 1)["restart"]
    server = ScriptedServer()
    server.add({key: value for key, value in entry["outputs"].items() if not key.startswith("__")})
    # The live object has finished its rollout: the plugin finds the replica set by owner and revision.
    server.objects["ReplicaSet", "recording", "demo-1"] = {
        "metadata": {
            "ownerReferences": [{"uid": entry["outputs"]["metadata"]["uid"]}],
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {"replicas": 1},
        "status": {"readyReplicas": 1},
    }
    patch = kind("apps/v1:DeploymentPatch")
    _, outputs = objects(server).create(URN, patch, recorded.values(entry["inputs"]), 0, preview=False)
    verb, name, request = server.calls[0]
    assert (verb, name, request["force"]) == ("apply", "demo", False)
    assert outputs["__fieldManager"] == request["manager"]
    objects(server).delete(URN, patch, entry["id"], {**outputs, "metadata": outputs["metadata"]}, 0)
    verb, name, given_up = server.calls[-1]
    assert (verb, name, given_up["manager"], given_up["force"]) == ("apply", "demo", request["manager"], False)


def test_an_object_that_exists_is_refused_in_the_recorded_words() -> None:
    server = ScriptedServer(refusals={"create": refusal(409, "AlreadyExists", 'configmaps "settings" already exists')})
    urn = "urn:pulumi:rec::adoption::kubernetes:core/v1:ConfigMap::twin"
    inputs = recorded.values(recorded.steps("adoption", 7)["create", "twin"]["newState"]["inputs"])
    with pytest.raises(ResourceError) as raised:
        objects(server).create(urn, kind("core/v1:ConfigMap"), inputs, 0, preview=False)
    shown = "\n".join(line.strip() for line in recorded.up("adoption", 7).splitlines())
    for line in str(raised.value).splitlines():
        assert line.strip() in shown
    assert "already exists" in str(raised.value)


def test_an_object_that_exists_is_no_failure_of_a_preview() -> None:
    # As recorded: in the preview of a replacement that deletes first, the former object still exists.
    assert recorded.preview("adoption", 7)["changeSummary"]["create"] == 1
    server = ScriptedServer(refusals={"create": refusal(409, "AlreadyExists", 'configmaps "settings" already exists')})
    inputs = {"metadata": {"name": "settings", "namespace": "adoption"}}
    assert objects(server).create(URN, kind("core/v1:ConfigMap"), inputs, 0, preview=True) == ("", inputs)
    assert server.calls[0][2]["dry_run"] is True


@pytest.mark.parametrize("step", [4, 7])
def test_a_refused_update_leaves_the_recorded_state_and_reason(step: int) -> None:
    after = recorded.resources("adoption", step)["settings"]
    before = recorded.steps("adoption", step)["update", "settings"]
    reason = after["initErrors"][0]
    said = reason.partition("become live: ")[2]
    server = ScriptedServer(refusals={"apply": refusal(422, "Invalid", said)})
    server.add({key: value for key, value in after["outputs"].items() if not key.startswith("__")})
    olds, news = recorded.outputs(before["oldState"], {}), recorded.values(before["newState"]["inputs"])
    for preview in (True, False):
        with pytest.raises(InitializationFailed) as raised:
            objects(server).update(URN, kind("core/v1:ConfigMap"), olds, news, 0, preview, [])
        assert raised.value.reasons == [reason]
        assert raised.value.id == after["id"]
        assert raised.value.outputs == recorded.values(after["outputs"])
    assert reason in recorded.preview("adoption", step)["diagnostics"][0]


def test_an_update_takes_over_what_the_creation_wrote() -> None:
    entry = recorded.steps("basics", 3)["update", "bundle"]
    olds, news = recorded.outputs(entry["oldState"], {}), recorded.values(entry["newState"]["inputs"])
    server = ScriptedServer()
    server.add({key: value for key, value in olds.items() if not key.startswith("__")})
    outputs = objects(server).update(URN, kind("core/v1:ConfigMap"), olds, news, 0, False, [])
    assert server.verbs() == ["get", "patch", "get", "apply"]
    managed = server.calls[1][2]["body"][0]["value"]
    assert [(item["manager"], item["operation"]) for item in managed] == [(olds["__fieldManager"], "Apply")]
    assert server.calls[3][2]["manager"] == outputs["__fieldManager"] == olds["__fieldManager"]
    assert server.calls[3][2]["force"] is False
    server.calls.clear()
    objects(server).update(URN, kind("core/v1:ConfigMap"), olds, news, 0, True, [])
    assert server.verbs() == ["get", "apply"], "a preview writes nothing"
    assert (server.calls[1][2]["dry_run"], server.calls[1][2]["force"]) == (True, True)


def test_an_object_that_nobody_manages_is_taken_without_a_conflict() -> None:
    """The server would attribute all fields to `before-first-apply`; the official plugin takes them over
    (`patchForce`)."""
    entry = recorded.steps("basics", 3)["update", "bundle"]
    olds, news = recorded.outputs(entry["oldState"], {}), recorded.values(entry["newState"]["inputs"])
    live = {key: value for key, value in olds.items() if not key.startswith("__")}
    server = ScriptedServer()
    server.add({**live, "metadata": {**live["metadata"], "managedFields": []}})
    for preview in (False, True):
        server.calls.clear()
        objects(server).update(URN, kind("core/v1:ConfigMap"), olds, news, 0, preview, [])
        assert server.verbs() == ["get", "apply"]
        assert server.calls[1][2]["force"] is True


def test_a_conflict_names_both_managers() -> None:
    entry = recorded.steps("basics", 3)["update", "bundle"]
    olds, news = recorded.outputs(entry["oldState"], {}), recorded.values(entry["newState"]["inputs"])
    words = 'Apply failed with 1 conflict: conflict with "kubectl-edit" using v1: .data.ca.pem'
    server = ScriptedServer(refusals={"apply": refusal(409, "Conflict", words)})
    server.add({key: value for key, value in olds.items() if not key.startswith("__")})
    with pytest.raises(InitializationFailed) as raised:
        objects(server).update(URN, kind("core/v1:ConfigMap"), olds, news, 0, False, [])
    assert "Server-Side Apply field conflict detected" in raised.value.reasons[0]
    assert words in raised.value.reasons[0]
    assert f'field manager "{olds["__fieldManager"]}"' in raised.value.reasons[0]


def failed_job() -> dict[str, Any]:
    live = {key: value for key, value in recorded.resources("basics", 1)["job"]["outputs"].items() if key[0] != "_"}
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "limit reached"}
    return {**live, "status": {"failed": 1, "conditions": [failed]}}


def test_a_failed_job_is_kept_in_the_state_with_what_its_pod_said() -> None:
    server = ScriptedServer()
    server.add(failed_job())
    ended = {"exitCode": 3, "reason": "Error", "message": "password authentication\nfailed"}
    server.add(
        {
            "kind": "Pod",
            "metadata": {"name": "job-x", "namespace": "recording", "uid": "1"},
            "status": {"phase": "Failed", "containerStatuses": [{"name": "c", "state": {"terminated": ended}}]},
        }
    )
    inputs = recorded.values(recorded.resources("basics", 1)["job"]["inputs"])
    with pytest.raises(InitializationFailed) as raised:
        objects(server).create("urn", kind("batch/v1:Job"), inputs, 0, preview=False)
    assert raised.value.id == "recording/job"
    assert raised.value.reasons == [
        'resource "urn" was successfully created, but the Kubernetes API server reported that it failed to fully '
        "initialize or become live: Resource 'job' was created but failed to initialize",
        "[BackoffLimitExceeded] limit reached",
        "[Pod recording/job-x]: container c ended with exit code 3: password authentication failed",
    ]
    assert raised.value.outputs["status"]["failed"] == 1


def test_a_failed_job_is_replaced_only_when_it_asks_for_it() -> None:
    entry = recorded.resources("basics", 1)["job"]
    server = ScriptedServer()
    server.add(failed_job())
    outputs, inputs = recorded.outputs(entry, {}), recorded.values(entry["inputs"])
    assert not objects(server).diff(URN, kind("batch/v1:Job"), outputs, inputs, []).changes
    asking = {"metadata": {"annotations": {"pulumi.com/replaceUnready": "true"}}}
    inputs["metadata"] = {**inputs["metadata"], **asking["metadata"]}
    outputs["metadata"] = {**outputs["metadata"], **asking["metadata"]}
    outputs["__inputs"]["metadata"] = inputs["metadata"]
    found = objects(server).diff(URN, kind("batch/v1:Job"), outputs, inputs, [])
    assert found.replaces == ['.metadata.annotations["pulumi.com/replaceUnready"]']
    assert found.delete_before_replace


@pytest.mark.slow
def test_waiting_is_skipped_limited_and_cancelled() -> None:
    live = {**failed_job(), "status": {}}
    server = ScriptedServer()
    server.add(live)
    inputs = recorded.values(recorded.resources("basics", 1)["job"]["inputs"])
    with pytest.raises(InitializationFailed, match="'job' timed out waiting to be Ready"):
        objects(server).create(URN, kind("batch/v1:Job"), inputs, 0.2, preview=False)
    cluster = connected(server)
    cluster.cancelled.set()
    with pytest.raises(InitializationFailed, match='Resource operation was cancelled for "job"'):
        Objects(cluster, Spoken()).create(URN, kind("batch/v1:Job"), inputs, 0, preview=False)
    inputs["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    assert objects(server).create(URN, kind("batch/v1:Job"), inputs, 0, preview=False)[0] == "recording/job"


def test_an_import_takes_what_a_program_could_have_given() -> None:
    entry = recorded.resources("basics", 1)["policy"]
    server = ScriptedServer()
    server.add({key: value for key, value in entry["outputs"].items() if not key.startswith("__")})
    found = objects(server).read(URN, kind("networking.k8s.io/v1:NetworkPolicy"), "recording/policy", {}, {})
    assert found is not None
    id_, inputs, outputs = found
    assert id_ == "recording/policy"
    assert inputs == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "policy", "namespace": "recording"},
        "spec": entry["outputs"]["spec"],
    }
    assert outputs["__inputs"] == inputs
    assert objects(server).read(URN, kind("core/v1:ConfigMap"), "recording/none", {}, {}) is None


def test_a_refresh_keeps_the_shape_of_the_inputs_and_their_secrets() -> None:
    entry = recorded.resources("basics", 1)["uri"]
    outputs, inputs = recorded.outputs(entry, {}), recorded.values(entry["inputs"])
    server = ScriptedServer()
    live = {key: value for key, value in outputs.items() if not key.startswith("__")}
    server.add({**live, "data": {"key": "bmV3", "foreign": "eA=="}})
    found = objects(server).read(URN, kind("core/v1:Secret"), entry["id"], inputs, outputs)
    assert found is not None
    assert found[1]["data"] == Secret({"key": "bmV3"})
    assert found[2]["data"] == Secret({"key": "bmV3", "foreign": "eA=="})
    assert found[2]["__fieldManager"] == outputs["__fieldManager"]


def test_without_a_cluster_a_preview_warns_and_an_update_fails() -> None:
    spoken = Spoken()
    inputs = {"metadata": {"name": "a", "namespace": "b"}}
    assert objects(log=spoken).create(URN, kind("core/v1:ConfigMap"), inputs, 0, preview=True) == ("", inputs)
    assert [severity for severity, _ in spoken] == ["warning"]
    for operation in (
        lambda: objects().create(URN, kind("core/v1:ConfigMap"), inputs, 0, preview=False),
        lambda: objects().read(URN, kind("core/v1:ConfigMap"), "b/a", inputs, inputs),
        lambda: objects().delete(URN, kind("core/v1:ConfigMap"), "b/a", inputs, 0),
    ):
        with pytest.raises(ResourceError, match="unreachable"):
            operation()
    forgiving = objects(delete_unreachable=True)
    assert forgiving.read(URN, kind("core/v1:ConfigMap"), "b/a", inputs, inputs) is None
    forgiving.delete(URN, kind("core/v1:ConfigMap"), "b/a", inputs, 0)


def test_unknown_inputs_are_previewed_without_asking_the_server() -> None:
    server = ScriptedServer()
    inputs = {"metadata": {"name": "a", "namespace": "b"}, "data": {"k": UNKNOWN}}
    assert objects(server).create(URN, kind("core/v1:ConfigMap"), inputs, 0, preview=True) == ("", inputs)
    assert server.calls == []


def test_deleting_waits_until_the_object_is_gone_and_takes_its_absence() -> None:
    server = ScriptedServer()
    entry = recorded.resources("basics", 1)["bundle"]
    outputs = recorded.outputs(entry, {})
    server.add({key: value for key, value in outputs.items() if not key.startswith("__")})
    objects(server).delete(URN, kind("core/v1:ConfigMap"), entry["id"], outputs, 0)
    assert server.calls[0] == ("delete", "bundle", {"propagation": "Foreground"})
    assert server.verbs() == ["delete", "get"]
    server.refusals["delete"] = refusal(404, "NotFound", "gone")
    objects(server).delete(URN, kind("core/v1:ConfigMap"), entry["id"], outputs, 0)


def test_ignored_fields_stay_with_whoever_manages_them() -> None:
    deployment = kind("apps/v1:Deployment")
    metadata = {"name": "web", "namespace": "b", "uid": "1", "resourceVersion": "1", "generation": 1}
    scaled = {"manager": "autoscaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    live = {"kind": "Deployment", "metadata": {**metadata, "managedFields": [scaled]}, "spec": {"replicas": 7}}
    server = ScriptedServer()
    server.add(live)
    inputs = {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "b", "annotations": {"pulumi.com/skipAwait": "true"}},
        "spec": {"replicas": 1, "paused": True},
    }
    olds = {**live, "__inputs": inputs, "__fieldManager": "mine", "__initialApiVersion": "apps/v1"}
    objects(server).update(URN, deployment, olds, inputs, 0, False, ["spec.replicas"])
    assert server.calls[-1][2]["body"]["spec"] == {"paused": True}
    scaled["manager"] = "mine"
    objects(server).update(URN, deployment, olds, inputs, 0, False, ["spec.replicas"])
    assert server.calls[-1][2]["body"]["spec"] == {"replicas": 7, "paused": True}
