"""What the plugin makes of a release's inputs, of Helm's answers and of its failures; Helm itself is scripted here."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.plugins.kubernetes import charts, helm, release_storage
from sandbox.plugins.kubernetes.charts import ChartError
from sandbox.plugins.kubernetes.release import Releases
from sandbox.plugins.protocol import InitializationFailed, ResourceError
from sandbox.plugins.values import UNKNOWN, Secret
from tests.unit.kubernetes_plugin import recorded
from tests.unit.kubernetes_plugin.scripted_server import ScriptedServer, connected

pytestmark = pytest.mark.unit

URN = "urn:pulumi:rec::adoption::kubernetes:helm.sh/v3:Release::release"
MANIFEST = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: adopted}
"""


class ScriptedHelm:
    """Runs nothing: records the command and its values, stores what Helm would store, and fails where the test asks for
    it."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.calls: list[tuple[list[str], Mapping[str, Any] | None]] = []
        self.stores: list[tuple[int, str]] = []
        self.failure: str | None = None
        self.version = "0.2.0"

    def run(self, cluster: Any, arguments: Sequence[str], values: Mapping[str, Any] | None = None) -> str:
        self.calls.append((list(arguments), values))
        for revision, status in self.stores:
            self.store(revision, status, values or {})
        if self.failure is not None:
            raise helm.HelmFailed(self.failure)
        return ""

    def store(self, revision: int, status: str, values: Mapping[str, Any]) -> None:
        release = {
            "name": "adopted",
            "namespace": "adoption",
            "version": revision,
            "info": {"status": status},
            "chart": {"metadata": {"name": "demo", "version": self.version, "appVersion": "0.1.0"}},
            "config": dict(values),
            "manifest": MANIFEST,
        }
        packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
        labels = {"owner": "helm", "name": "adopted", "version": str(revision)}
        metadata = {"name": f"sh.helm.release.v1.adopted.v{revision}", "namespace": "adoption", "labels": labels}
        self.server.add({"kind": "Secret", "metadata": metadata, "data": {"release": packed}})


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ScriptedHelm:
    """A scripted Helm in a program's directory with the packaged charts `demo` 0.1.0 and 0.2.0."""
    server = ScriptedServer()
    found = ScriptedHelm(server)
    monkeypatch.setattr(helm, "run", found.run)
    monkeypatch.chdir(tmp_path)
    for version in ("0.1.0", "0.2.0"):
        package(tmp_path / f"demo-{version}.tgz", {"demo/Chart.yaml": f"name: demo\nversion: {version}\n"})
    return found


def package(path: Path, files: Mapping[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


def releases(scripted: ScriptedHelm | None) -> Releases:
    return Releases(connected(scripted.server if scripted else None), lambda *_, **__: None)


GIVEN = {
    "atomic": True,
    "chart": "./demo-0.2.0.tgz",
    "compat": "true",
    "name": "adopted",
    "namespace": "adoption",
    "timeout": 15,
    "values": {"podAnnotations": {"adopted": "yes"}, "replicas": 1},
}


def test_checked_inputs_are_as_recorded(scripted: ScriptedHelm) -> None:
    result = releases(scripted).check(URN, {}, GIVEN, b"")
    assert result.failures == []
    assert result.inputs == recorded.resources("adoption", 1)["release"]["inputs"]
    assert scripted.calls == [], "a packaged chart is read without a process"


def test_with_unknown_values_the_version_stays_open_as_recorded(scripted: ScriptedHelm) -> None:
    values = {"podAnnotations": {"adopted": "yes", "suffix": UNKNOWN}, "replicas": 1}
    result = releases(scripted).check(URN, {}, {**GIVEN, "values": values}, b"")
    then = recorded.steps("adoption", 5)["update", "release"]["newState"]["inputs"]
    assert result.inputs == recorded.values(then)


def test_a_null_among_the_values_reaches_helm_and_is_no_change_afterwards(scripted: ScriptedHelm) -> None:
    """The null removes a default of the chart. The plugin keeps it, whatever `allowNullValues` says."""
    values = {"log": {"output": None, "level": "INFO"}, "gone": None}
    scripted.stores = [(1, "deployed")]
    inputs = releases(scripted).check(URN, {}, {**GIVEN, "values": values}, b"").inputs
    assert inputs["values"] == values
    _, outputs = releases(scripted).create(URN, inputs, preview=False)
    assert scripted.calls[0][1] == values
    assert not releases(scripted).diff(outputs, inputs, ()).changes
    less = {**inputs, "values": {"gone": None}}
    assert releases(scripted).diff(outputs, less, ()).changes


def test_a_packaged_chart_changes_by_its_name_or_version_and_not_by_its_content(
    scripted: ScriptedHelm, tmp_path: Path
) -> None:
    """The recorded inputs have no checksum of the chart. docs/upgrade.md says what to do."""
    scripted.stores = [(1, "deployed")]
    inputs = releases(scripted).check(URN, {}, GIVEN, b"").inputs
    _, outputs = releases(scripted).create(URN, inputs, preview=False)

    def differs(chart: str, version: str) -> list[str]:
        package(tmp_path / chart, {"demo/Chart.yaml": f"name: demo\nversion: {version}\ndescription: changed\n"})
        checked = releases(scripted).check(URN, {}, {**GIVEN, "chart": f"./{chart}"}, b"")
        assert checked.failures == []
        return sorted(releases(scripted).diff(outputs, checked.inputs, ()).detailed)

    assert differs("demo-0.2.0.tgz", "0.2.0") == []
    assert differs("demo-0.2.0-again.tgz", "0.2.0") == ["chart"]
    assert differs("demo-0.2.0.tgz", "0.2.1") == ["version"]


def test_what_an_upgrade_by_hand_left_out_or_added_no_refresh_sees_and_another_timeout_gives_it_back(
    scripted: ScriptedHelm,
) -> None:
    """The plugin merges what Helm recorded into what the state has, so a refresh hides the difference; the remedy that
    `verify` names relies on this."""
    scripted.stores = [(1, "deployed")]
    inputs = releases(scripted).check(URN, {}, GIVEN, b"").inputs
    _, outputs = releases(scripted).create(URN, inputs, preview=False)

    def sees(values: Mapping[str, Any], **given: Any) -> list[str]:
        scripted.store(2, "deployed", values)
        found = releases(scripted).read(URN, "adoption/adopted", outputs)
        assert found is not None
        return sorted(releases(scripted).diff(found[2], {**inputs, **given}, ()).detailed)

    assert sees({"replicas": 1}) == []
    assert sees({**GIVEN["values"], "added": True}) == []
    assert sees({**GIVEN["values"], "replicas": 3}) == ["values.replicas"]
    assert sees({"replicas": 1}, timeout=16) == ["timeout"]


def test_a_release_without_a_name_or_timeout_gets_them(scripted: ScriptedHelm) -> None:
    first = releases(scripted).check(URN, {}, {"chart": "./demo-0.1.0.tgz"}, b"seed").inputs
    assert first["name"].startswith("release-")
    assert (first["namespace"], first["timeout"], first["values"]) == ("default", 300, {})
    again = releases(scripted).check(URN, first, {"chart": "./demo-0.1.0.tgz"}, b"another").inputs
    assert again == first
    assert (
        releases(scripted).check(URN, {}, {"chart": "./demo-0.1.0.tgz", "skipAwait": True}, b"").inputs["timeout"] == 0
    )


@pytest.mark.parametrize(
    ("inputs", "path", "reason"),
    [
        ({"valuez": {}}, "valuez", "unknown property 'valuez' of a Helm release; did you mean 'values'?"),
        ({"atomic": "yes"}, "atomic", "expected a boolean, got str"),
        ({"timeout": "15"}, "timeout", "expected a whole number, got str"),
        ({"values": []}, "values", "expected an object, got list"),
        ({"repositoryOpts": {"url": "x"}}, "repositoryOpts.url", "unknown property 'url' of repositoryOpts"),
        ({"repositoryOpts": {"password": "x"}}, "repositoryOpts", "no repository credentials"),
        ({"valueYamlFiles": []}, "valueYamlFiles", "read the files in the program"),
        ({"chart": "./none.tgz"}, "chart", 'path "./none.tgz" not found; check the chart name and repository'),
        ({"chart": None}, "chart", "chart is required"),
    ],
)
def test_what_a_release_does_not_have_is_refused(
    scripted: ScriptedHelm, inputs: dict[str, Any], path: str, reason: str
) -> None:
    failures = releases(scripted).check(URN, {}, {**GIVEN, **inputs}, b"").failures
    assert [failure.property for failure in failures] == [path]
    assert reason in failures[0].reason


def test_secret_values_stay_secret_and_off_the_command_line(scripted: ScriptedHelm) -> None:
    scripted.stores = [(1, "deployed")]
    values = {"password": Secret("hush"), "list": ["a", Secret("b")]}
    inputs = releases(scripted).check(URN, {}, {**GIVEN, "values": values}, b"").inputs
    assert inputs["values"] == {"password": Secret("hush"), "list": Secret(["a", "b"])}
    _, outputs = releases(scripted).create(URN, inputs, preview=False)
    assert outputs["values"] == inputs["values"]
    command, given = scripted.calls[0]
    assert given == {"password": "hush", "list": ["a", "b"]}
    assert "hush" not in " ".join(command)
    assert isinstance(outputs["__inputs"], Secret)


def test_an_import_is_as_recorded(scripted: ScriptedHelm) -> None:
    scripted.version = "0.1.0"
    scripted.store(1, "deployed", {"podAnnotations": {"user": "mine"}})
    found = releases(scripted).read(URN, "adoption/adopted", {})
    assert found is not None
    then = recorded.steps("adoption", 1)["update", "release"]["oldState"]
    assert found[0] == then["id"]
    assert found[1] == then["inputs"]
    assert {**found[2], "__inputs": "[secret]"} == then["outputs"]
    assert releases(scripted).read(URN, "adoption/other", {}) is not None, "the script answers for any name"
    scripted.server.objects.clear()
    assert releases(scripted).read(URN, "adoption/adopted", {}) is None


def test_an_upgrade_is_as_recorded(scripted: ScriptedHelm) -> None:
    scripted.store(1, "superseded", {})
    scripted.stores = [(2, "deployed")]
    then = recorded.resources("adoption", 1)["release"]
    outputs = releases(scripted).update({}, then["inputs"], preview=False)
    assert outputs["__inputs"] == Secret(then["inputs"])
    assert {**outputs, "__inputs": None} == {**then["outputs"], "__inputs": None}
    command, values = scripted.calls[0]
    assert values == then["inputs"]["values"]
    assert command == [
        *(
            "upgrade",
            "adopted",
            "./demo-0.2.0.tgz",
            "--namespace",
            "adoption",
            "--timeout",
            "15s",
            "--atomic",
            "--wait",
        ),
        *("--version", "0.2.0", "--history-max", "0"),
    ], "values are given anew each time, never reused"


def test_a_failed_upgrade_leaves_the_recorded_state_and_reason(scripted: ScriptedHelm) -> None:
    then = recorded.resources("adoption", 2)["release"]
    before = recorded.steps("adoption", 2)["update", "release"]
    scripted.store(2, "superseded", {})
    # The release is atomic: Helm makes revision 4 from revision 2 before it reports that revision 3 failed.
    scripted.stores = [(3, "failed"), (4, "deployed")]
    scripted.failure = (
        "release adopted failed, and has been rolled back due to atomic being set: context deadline exceeded"
    )
    news = before["newState"]["inputs"]
    with pytest.raises(InitializationFailed) as raised:
        releases(scripted).update({}, news, preview=False)
    assert raised.value.id == then["id"]
    assert raised.value.reasons == then["initErrors"]
    assert raised.value.reasons[0] in recorded.up("adoption", 2)
    assert {**raised.value.outputs, "__inputs": None} == {**then["outputs"], "__inputs": None}


def test_a_name_that_is_taken_fails_in_helms_words_and_leaves_no_state(scripted: ScriptedHelm) -> None:
    scripted.store(1, "deployed", {})
    scripted.failure = "cannot re-use a name that is still in use"
    with pytest.raises(ResourceError, match=r"^cannot re-use a name that is still in use$"):
        releases(scripted).create(URN, recorded.resources("adoption", 1)["release"]["inputs"], preview=False)


def test_an_upgrade_that_makes_no_revision_leaves_no_state(scripted: ScriptedHelm) -> None:
    scripted.store(1, "pending-upgrade", {})
    scripted.failure = "another operation (install/upgrade/rollback) is in progress"
    with pytest.raises(ResourceError, match="another operation"):
        releases(scripted).update({}, recorded.resources("adoption", 1)["release"]["inputs"], preview=False)


def test_an_install_that_stays_failed_is_kept_in_the_state(scripted: ScriptedHelm) -> None:
    scripted.stores = [(1, "failed")]
    scripted.failure = "context deadline exceeded"
    with pytest.raises(InitializationFailed) as raised:
        releases(scripted).create(URN, recorded.resources("adoption", 1)["release"]["inputs"], preview=False)
    assert raised.value.reasons == [
        'Helm release "adoption/adopted" was created, but failed to initialize completely. Use Helm CLI to '
        "investigate: failed to become available within allocated timeout. Error: Helm Release adoption/adopted: "
        "context deadline exceeded"
    ]
    assert raised.value.outputs["status"]["status"] == "failed"


def test_a_preview_runs_no_helm_and_knows_no_outputs(scripted: ScriptedHelm) -> None:
    inputs = recorded.resources("adoption", 1)["release"]["inputs"]
    _, outputs = releases(None).create(URN, inputs, preview=True)
    assert (outputs["status"], outputs["resourceNames"]) == (UNKNOWN, UNKNOWN)
    assert outputs["values"] == inputs["values"]
    assert releases(None).update({}, inputs, preview=True) == outputs
    with pytest.raises(ResourceError, match="unreachable"):
        releases(None).create(URN, inputs, preview=False)
    assert scripted.calls == []


def test_a_deletion_waits_unless_told_not_to(scripted: ScriptedHelm) -> None:
    outputs = recorded.resources("adoption", 1)["release"]["outputs"]
    releases(scripted).delete(URN, outputs)
    releases(scripted).delete(URN, {**outputs, "atomic": False, "skipAwait": True})
    base = ["uninstall", "adopted", "--namespace", "adoption"]
    assert [command for command, _ in scripted.calls] == [[*base, "--wait", "--timeout", "15s"], base]


def test_resource_names_are_grouped_by_kind_and_sorted() -> None:
    manifest = "\n---\n".join(
        json.dumps(document)
        for document in (
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "b", "namespace": "n"}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}},
            {},
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}},
        )
    )
    assert release_storage.resource_names(manifest) == {
        "Deployment.apps/apps/v1": ["d"],
        "Service/v1": ["a", "n/b"],
    }


def test_charts_that_cannot_be_installed_are_refused(tmp_path: Path) -> None:
    library = {"lib/Chart.yaml": "name: lib\nversion: 1.0.0\ntype: library\n"}
    package(tmp_path / "lib.tgz", library)
    with pytest.raises(ChartError, match="library charts are not installable"):
        charts.check_installable(charts.read(tmp_path / "lib.tgz"), updates_dependencies=False)
    needing = "name: app\nversion: 1.0.0\ndependencies: [{name: one}, {name: two}]\n"
    package(tmp_path / "app.tgz", {"app/Chart.yaml": needing, "app/charts/one-2.0.tgz": ""})
    metadata = charts.read(tmp_path / "app.tgz")
    with pytest.raises(ChartError, match="missing in charts/ directory: two"):
        charts.check_installable(metadata, updates_dependencies=False)
    charts.check_installable(metadata, updates_dependencies=True)
    (tmp_path / "broken.tgz").write_text("no archive")
    with pytest.raises(ChartError, match=r"broken\.tgz"):
        charts.read(tmp_path / "broken.tgz")


def test_helms_last_message_is_told_without_its_prefixes() -> None:
    said = "W0101 a warning of a library\nWARNING: insecure\nError: UPGRADE FAILED: first line\nsecond line\n"
    assert helm.failure_of(said) == "first line\nsecond line"
    assert helm.failure_of("Error: INSTALLATION FAILED: cannot re-use") == "cannot re-use"
