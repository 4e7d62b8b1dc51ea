"""Recover: what a killed `up` can leave is found, each with what mends it; nothing of anybody else's is touched."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from components.settings import AwsSettings
from components.settings.names import STACK_ANNOTATION
from components.settings.names import STACK_TAG as TAG
from operations.__main__ import app
from operations.cluster import Cluster, ClusterError
from operations.engines import hidden_engines, live_engines
from operations.helm_releases import list_revisions
from operations.interrupted_releases import last_good, run_helm
from operations.mending import Step
from operations.ownership import full_name
from operations.recover import Recovery
from operations.stack import PROJECT, StackError, StackFile
from operations.unrecorded import Carrying
from tests.unit.operations.kubernetes_api import IDENTIFIER, PLURALS, KubernetesApi, put_release
from tests.unit.operations.world import CLUSTER, GRAPH, USERS, configuration, put_world, settings

NAME = f"organization/{PROJECT}/test"
ENGINES = {"managedFields": [{"manager": "pulumi-kubernetes-0123", "operation": "Apply"}]}
OTHERS = {**ENGINES, "annotations": {STACK_ANNOTATION: "acme/graph/test"}}
OURS = {**ENGINES, "annotations": {STACK_ANNOTATION: NAME}}


_PROGRAM = """#!/bin/sh
echo "{name} $*" >> {at}/calls
case "$*" in
    *export*) cat {at}/state;;
    whoami*) printf '{{"user": "someone", "url": "%s"}}' "$(cat {at}/backend)";;
    *cancel*) cat {at}/cancel >&2; test ! -s {at}/cancel;;
    "stack import"*) while [ "$1" != --file ]; do shift; done; cp "$2" {at}/stored;;
    import*) cat {at}/import >&2; test ! -s {at}/import && cp {at}/after {at}/state;;
    *) echo Done.;;
esac
"""


class Programs:
    """Stands for `pulumi` and `helm` on PATH: notes how they are called, and prints the state."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        for name in ("pulumi", "helm"):
            (directory / name).write_text(_PROGRAM.format(name=name, at=directory))
            (directory / name).chmod(0o755)
        (directory / "cancel").touch()
        (directory / "import").touch()
        self.backend("https://api.example.com")
        self.state()

    def state(self, *ids: str, pending: list[dict[str, Any]] | None = None) -> None:
        """`ids` are preceded by their kind: `Role:teleport/x`."""
        resources = []
        for one in ids:
            kind, _, identity = one.rpartition(":")
            resources.append({"urn": f"urn::{one}", "id": identity, "type": f"kubernetes:core/v1:{kind}"})
        document = {"deployment": {"resources": resources, "pending_operations": pending or []}}
        for moment in ("state", "after"):
            (self._directory / moment).write_text(json.dumps(document))

    def record(self, *resources: dict[str, Any]) -> None:
        """Add to the state."""
        self.import_records(*resources)
        (self._directory / "state").write_text((self._directory / "after").read_text())

    def import_records(self, *resources: dict[str, Any]) -> None:
        """Add to the state as it is once something was imported."""
        document = json.loads((self._directory / "after").read_text())
        document["deployment"]["resources"] += resources
        (self._directory / "after").write_text(json.dumps(document))

    def backend(self, url: str) -> None:
        (self._directory / "backend").write_text(url)

    def cancel_fails_with(self, message: str) -> None:
        (self._directory / "cancel").write_text(message)

    def import_fails_with(self, message: str) -> None:
        (self._directory / "import").write_text(message)

    def stored(self) -> dict[str, Any]:
        """The state as it was put back last."""
        stored: dict[str, Any] = json.loads((self._directory / "stored").read_text())
        return stored

    def imports(self) -> list[str]:
        """Ids of what was imported."""
        return [call.split()[4] for call in self.calls if call.startswith("pulumi import ")]

    @property
    def calls(self) -> list[str]:
        return (self._directory / "calls").read_text().splitlines()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    programs = Programs(tmp_path / "programs")
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}{os.pathsep}{os.environ['PATH']}")
    return programs


LOCK = "the stack test may still be locked by an `up` that was killed"


def steps(root: Path, **changes: Any) -> list[Step]:
    """All of them but the lock's."""
    (root / "proc").mkdir(exist_ok=True)
    found = Recovery(settings=settings(root, **changes), stack="test", processes=root / "proc", root=root).steps()
    return [step for step in found if step.problem != LOCK]


GRAPH_VALUES = {"podAnnotations": {"checksum/credentials": "0123"}}
NAMESPACE_RECORDED, RELEASE_RECORDED = f"Namespace:{GRAPH}", f"Release:{GRAPH}/{GRAPH}"
CA_RECORDED = "ConfigMap:teleport/teleport-access-graph-ca"
ALL_RECORDED = (NAMESPACE_RECORDED, RELEASE_RECORDED, CA_RECORDED)


@pytest.mark.slow
def test_a_whole_stack_has_nothing_to_mend_but_its_lock(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    assert steps(tmp_path) == []
    lock = next(iter(Recovery(settings=settings(tmp_path), stack="test", processes=tmp_path / "proc").steps()))
    assert lock.act is not None
    assert lock.act() == "cleared"
    assert programs.calls[-1] == "pulumi cancel --yes --stack test --non-interactive"
    # Pulumi Cloud knows whether anything is at work, and says so as an error.
    for ended in (
        "error: [409] Conflict: The Update has already completed",
        "error: [409] Conflict: The Update has not started or The Update has been cancelled or The Update has already "
        "completed",
        "error: stack acme/graph/test has never been updated",
    ):
        programs.cancel_fails_with(ended)
        assert lock.act() == "there was none"
    programs.cancel_fails_with("error: [404] Not found: Stack 'test' not found")
    with pytest.raises(StackError, match="Stack 'test' not found"):
        lock.act()


@pytest.fixture
def records(api: KubernetesApi, programs: Programs, tmp_path: Path) -> Path:
    """Where a file backend keeps the records of a whole stack."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    programs.backend(f"file://{tmp_path}")
    (tmp_path / "proc").mkdir()
    records = tmp_path / ".pulumi" / "stacks" / PROJECT
    records.mkdir(parents=True)
    return records


def recovery(root: Path) -> Recovery:
    return Recovery(settings=settings(root), stack="test", processes=root / "proc", root=root)


@pytest.mark.slow
def test_the_record_comes_back_before_the_lock_is_cleared_of_a_stack_that_the_engine_then_knows(
    records: Path, programs: Programs, tmp_path: Path
) -> None:
    (records / "test.json").write_text("{")
    (records / "test.json.bak").write_text('{"version": 3}')
    found = recovery(tmp_path).steps()
    record = next(found)
    assert record.act is not None
    record.act()
    assert [call for call in programs.calls if "cancel" in call] == []
    lock = next(found)
    assert lock.problem == LOCK
    assert lock.act is not None
    assert lock.act() == "cleared"
    assert list(found) == []


@pytest.mark.slow
def test_a_stack_that_may_have_been_removed_comes_back_only_if_that_is_asked_for(records: Path, tmp_path: Path) -> None:
    """`pulumi stack rm` leaves the very files that a kill in the middle of a write does."""
    (records / "test.json.bak").write_text('{"version": 3}')
    (step,) = recovery(tmp_path).steps()
    assert step.problem == f"{records}/test.json is not there, as a kill leaves it, and `pulumi stack rm` as well"
    assert step.option == "--restore-record"
    assert not (records / "test.json").exists()
    found = recovery(tmp_path).steps()
    step = next(found)
    assert step.act is not None
    step.act()
    assert (records / "test.json").read_text() == '{"version": 3}'
    assert [step.problem for step in found] == [LOCK], "and all that comes after it"


def command(monkeypatch: pytest.MonkeyPatch, root: Path, steps: list[Step], *arguments: str, answers: str = "") -> Any:
    """`python -m operations recover` over a stack of which these are the steps."""
    monkeypatch.setattr("operations.recover.Recovery.steps", lambda self: iter(steps))
    file = StackFile(name="test", path=root, plain=configuration(), secret_keys=frozenset())
    monkeypatch.setattr(StackFile, "settings", lambda self: settings(root))
    monkeypatch.setattr("operations.__main__.read_stack_file", lambda *_: file)
    return CliRunner().invoke(app, ["recover", "--stack", "test", *arguments], input=answers)


def done() -> str:
    return "mended"


def test_when_all_is_mended_up_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = command(monkeypatch, tmp_path, [Step("one", "mend it", done), Step("two", "that too", done)], "--yes")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "2 things done; `up` goes on from here"
    assert command(monkeypatch, tmp_path, []).output == "0 things done; `up` goes on from here\n"


def test_what_is_declined_and_what_is_advice_is_left_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = [Step("one", "mend it", done), Step("two", "mend it", done), Step("three", "look there yourself")]
    result = command(monkeypatch, tmp_path, steps, answers="n\ny\n")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "1 things done, 2 left: one; three"
    assert "goes on" not in result.output
    result = command(monkeypatch, tmp_path, steps, "--yes")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "2 things done, 1 left: three"


@pytest.mark.slow
def test_where_nobody_can_answer_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = command(monkeypatch, tmp_path, [Step("a is wrong", "mend a", done)])
    assert isinstance(result.exception, StackError)
    assert str(result.exception) == "recover: nobody answers here, so the rest is left; --yes does all of it"


def test_yes_does_not_answer_for_what_has_an_option_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = [Step("one", "put it back", done, option="--restore-record")]
    result = command(monkeypatch, tmp_path, steps, "--yes")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "one",
        "  put it back: with --restore-record",
        "0 things done, 1 left: one",
    ]
    assert command(monkeypatch, tmp_path, steps, "--yes", "--restore-record").exit_code == 0
    assert command(monkeypatch, tmp_path, steps, answers="y\n").exit_code == 0
    assert command(monkeypatch, tmp_path, steps, answers="n\n").exit_code == 1


@pytest.mark.slow
def test_a_record_that_was_cut_off_gives_way_to_the_one_before_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    programs.backend(f"file://{tmp_path}/of%20ours")
    stacks = tmp_path / "of ours" / ".pulumi" / "stacks" / PROJECT
    stacks.mkdir(parents=True)
    record, before = stacks / "test.json", stacks / "test.json.bak"
    record.write_text("{}")
    before.write_text('{"version": 3}')
    assert steps(tmp_path) == []
    record.write_text('{"version": 3, "checkpoint": {"sta')
    (step,) = steps(tmp_path)
    assert step.problem == f"{record} is cut off, as a full disk or a kill leaves it"
    assert step.act is not None
    assert step.act() == "done"
    assert record.read_text() == before.read_text()
    assert steps(tmp_path) == []


@pytest.mark.slow
def test_a_pending_upgrade_goes_back_to_the_revision_that_ran(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 3, "failed", USERS)
    put_release(api, 4, "pending-upgrade", USERS)
    (step,) = steps(tmp_path)
    assert step.problem.startswith("revision 4 of teleport in teleport is pending-upgrade since 2026-06-01T12:00:30Z (")
    assert step.act is not None
    assert step.act() == "Done."
    assert programs.calls[-1] == (
        "helm rollback teleport 2 --namespace teleport --kube-context test --wait --timeout 600s"
    )


@pytest.mark.slow
def test_a_pending_installation_is_uninstalled(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 1, "pending-install", {}, name=GRAPH, namespace=GRAPH)
    (step,) = steps(tmp_path)
    assert step.remedy == "uninstall it: it never ran"
    assert step.act is not None
    step.act()
    assert programs.calls[-1].startswith(f"helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test")


@pytest.mark.slow
@pytest.mark.parametrize("status", ["uninstalling", "uninstalled"])
def test_a_release_that_was_being_taken_away_is_taken_away_and_leaves_the_state(
    status: str, api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The engine compares what Helm recorded, and finds nothing to do; Helm neither upgrades nor installs it."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 1, status, GRAPH_VALUES, name=GRAPH, namespace=GRAPH, deleted="2026-06-01T12:00:00Z")
    (step,) = steps(tmp_path)
    assert step.problem.startswith(f"revision 1 of {GRAPH} in {GRAPH} is {status} since 2026-06-01T12:00:00Z (")
    assert step.remedy == "end its removal: it keeps nothing, and the next `up` installs it again"
    assert step.act is not None
    step.act()
    assert programs.calls[-1].startswith(f"helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test")


@pytest.mark.slow
def test_what_a_helm_may_be_taking_away_is_left_until_its_time_is_up(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 1, "uninstalling", GRAPH_VALUES, name=GRAPH, namespace=GRAPH, deleted="2026-06-01T15:00:00Z")
    (tmp_path / "proc").mkdir()
    now = datetime(2026, 6, 1, 15, 1, tzinfo=timezone.utc)
    at_work = Recovery(
        settings=settings(tmp_path), stack="test", processes=tmp_path / "proc", root=tmp_path, now=lambda: now
    )
    step = next(step for step in at_work.steps() if step.problem != LOCK)
    assert step.act is None
    assert "a Helm may be at work on it, and has until 2026-06-01T15:10:00Z" in step.remedy


@pytest.mark.slow
def test_a_teleport_that_was_being_taken_away_is_its_owners_to_decide(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 3, "uninstalling", USERS, deleted="2026-06-01T12:00:00Z")
    (step,) = steps(tmp_path)
    assert step.act is None
    at = "--namespace teleport --kube-context test --wait --timeout 600s"
    assert step.remedy == (
        f"to have it back: `helm rollback teleport 3 {at}`; to end its removal: `helm uninstall teleport {at}`"
    )


def pending_teleport(api: KubernetesApi) -> None:
    """A Teleport whose first installation has not ended, and of which nothing was made."""
    put_world(api)
    for name in ("auth", "proxy"):
        del api.objects[f"/apis/apps/v1/namespaces/teleport/deployments/teleport-{name}"]
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v2"]
    put_release(api, 1, "pending-install", USERS)


@pytest.mark.slow
def test_a_teleport_of_which_nothing_was_made_is_uninstalled(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    pending_teleport(api)
    programs.state(*ALL_RECORDED)
    (step,) = steps(tmp_path)
    assert step.remedy == "uninstall it: it never ran"
    assert step.act is not None
    step.act()
    assert programs.calls[-1].startswith("helm uninstall teleport --namespace teleport --kube-context test")


INSTANCE = {"labels": {"app.kubernetes.io/instance": "teleport"}}


@pytest.mark.parametrize(
    ("kind", "name", "metadata"),
    [
        ("Deployment", "teleport-auth", {}),
        ("Deployment", "teleport-proxy", {}),
        ("Deployment", "teleport-operator", INSTANCE),
        ("PersistentVolumeClaim", "teleport", {}),
        ("PersistentVolumeClaim", "of-another-name", INSTANCE),
    ],
)
def test_a_teleport_that_may_have_data_is_never_uninstalled(
    api: KubernetesApi, programs: Programs, tmp_path: Path, kind: str, name: str, metadata: dict[str, Any]
) -> None:
    """That Helm has not seen its end does not say that auth has never run."""
    pending_teleport(api)
    programs.state(*ALL_RECORDED)
    api.put(kind, name, "teleport", metadata=metadata)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.remedy.startswith(f"leave it: {kind} {name} exist, and with them may go what Teleport keeps")
    assert "`helm rollback teleport 1 --namespace teleport --kube-context test" in step.remedy
    assert "`helm uninstall teleport --namespace teleport --kube-context test" in step.remedy


@pytest.mark.slow
@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback"])
@pytest.mark.parametrize("ran_before", [False, True])
def test_a_release_that_somebody_else_owns_is_theirs(
    api: KubernetesApi, programs: Programs, tmp_path: Path, status: str, ran_before: bool
) -> None:
    pending_teleport(api)
    put_release(api, 1, "superseded" if ran_before else "failed", USERS)
    put_release(api, 2, status, USERS)
    programs.state(*ALL_RECORDED)
    (step,) = steps(tmp_path, teleport=of_another_owner())
    assert step.problem.startswith(f"revision 2 of teleport in teleport is {status} since 2026-06-01T12:00:30Z (")
    assert step.act is None
    assert step.remedy.startswith(f"leave it to whoever owns it (teleport.{CLUSTER}.mode: values)")
    assert f"`helm rollback teleport {1 if ran_before else 2} --namespace teleport" in step.remedy
    assert "uninstall" not in step.remedy


def at(second: float) -> Callable[[], datetime]:
    """So many seconds after the pending revision's beginning."""
    begin = datetime(2026, 6, 1, 12, 0, 30, tzinfo=timezone.utc)
    return lambda: begin + timedelta(seconds=second)


@pytest.mark.slow
def test_what_a_helm_may_be_at_work_on_is_left_until_its_time_is_up(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    put_release(api, 3, "pending-upgrade", USERS)
    programs.state(*ALL_RECORDED)
    (tmp_path / "proc").mkdir()
    stack = recovery(tmp_path)

    def found(second: float) -> Step:
        (step,) = [one for one in dataclasses.replace(stack, now=at(second)).steps() if one.problem != LOCK]
        return step

    young = found(90)
    assert young.problem == (
        "revision 3 of teleport in teleport is pending-upgrade since 2026-06-01T12:00:30Z (1 min 30 s)"
    )
    assert young.act is None
    assert young.remedy == (
        "a Helm may be at work on it, and has until 2026-06-01T12:10:30Z (timeoutSeconds: 600); `recover` again from "
        "then on"
    )
    assert found(599).act is None
    assert found(600).act is not None
    put_release(api, 3, "pending-upgrade", USERS, updated="")
    assert found(10**9).act is None, "who knows how old it is"


def test_what_the_engine_was_at_work_on_when_it_was_killed_is_mended_at_once(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Its Helm was ended with it: nobody else's is meant."""
    put_world(api)
    put_release(api, 3, "pending-upgrade", USERS)
    updating = begun("kubernetes:helm.sh/v3:Release", "teleport-release", name="teleport", namespace="teleport")
    updating["type"] = "updating"
    programs.state(*ALL_RECORDED, pending=[updating])
    (tmp_path / "proc").mkdir()
    (step,) = [one for one in dataclasses.replace(recovery(tmp_path), now=at(5)).steps() if one.problem != LOCK]
    assert step.remedy == "roll it back to revision 2"
    assert step.act is not None


@pytest.mark.parametrize("kind", ["Namespace", "Secret", "Job"])
@pytest.mark.parametrize("metadata", [OTHERS, ENGINES], ids=["another stack's", "nobody's"])
def test_what_this_stack_did_not_certainly_make_is_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path, kind: str, metadata: dict[str, Any]
) -> None:
    """Another stack may have the same names, in the same cluster."""
    put_world(api)
    recorded = ALL_RECORDED[1:] if kind == "Namespace" else ALL_RECORDED
    programs.state(*recorded)
    name = {"Namespace": GRAPH, "Secret": "teleport-access-graph-tls", "Job": "teleport-access-graph-database-access-1"}
    namespace = None if kind == "Namespace" else GRAPH
    api.put(kind, name[kind], namespace, metadata=metadata)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.problem.startswith(f"{kind} {name[kind]}")
    if metadata is OTHERS:
        assert step.remedy.startswith("leave it, the stack acme/graph/test made it")
    else:
        place = "" if namespace is None else f" --namespace {namespace}"
        assert f"`kubectl --context test{place} delete {kind.lower()} {name[kind]}`" in step.remedy
    assert api.deleted == []


@pytest.mark.slow
def test_what_was_begun_and_may_be_the_stacks_stays_begun_and_anothers_does_not(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    secret = begun("kubernetes:core/v1:Secret", "s", metadata={"name": "some-secret", "namespace": GRAPH})
    programs.state(*ALL_RECORDED, pending=[secret])
    api.put("Secret", "some-secret", GRAPH, metadata=ENGINES)
    assert run(tmp_path) == ["left"]
    api.put("Secret", "some-secret", GRAPH, metadata=OTHERS)
    assert run(tmp_path) == ["left", "done"]
    assert api.deleted == []


def test_the_stacks_full_name_is_the_one_of_its_objects() -> None:
    def state(*names: str) -> dict[str, Any]:
        inputs = [{"metadata": {"annotations": {STACK_ANNOTATION: name}}} for name in names]
        return {"resources": [{"inputs": one} for one in inputs]}

    tagged = {"resources": [{"inputs": {"tags": {TAG: "acme/graph/prod"}}}, {"inputs": {"metadata": None}}, {}]}
    begun = {"pending_operations": [{"resource": one} for one in state("acme/graph/prod")["resources"]]}
    assert full_name({}, "prod") == "organization/teleport-access-graph/prod"
    assert full_name({}, "acme/prod") == "acme/teleport-access-graph/prod"
    assert full_name({}, "acme/graph/prod") == "acme/graph/prod"
    for recorded in (tagged, begun, state("acme/graph/prod"), state("acme/graph/former", "acme/graph/prod")):
        assert full_name(recorded, "prod") == "acme/graph/prod"
    assert full_name(state("acme/graph/former"), "prod") == "organization/teleport-access-graph/prod"


def test_another_cluster_than_the_stacks_is_refused_before_anything_is_done(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    meant = "11111111-0000-4000-8000-000000000001"
    (tmp_path / "proc").mkdir()
    elsewhere = settings(tmp_path, kubernetes={"clusterIdentifier": meant})
    with pytest.raises(ClusterError) as refused:
        next(Recovery(settings=elsewhere, stack="test", processes=tmp_path / "proc", root=tmp_path).steps())
    assert str(refused.value) == (
        f"test: is another cluster than the stack's: UID of kube-system is {IDENTIFIER}, clusterIdentifier says "
        f"{meant}; take another context, or correct one of them. Nothing was touched"
    )
    assert not (tmp_path / "programs" / "calls").exists()
    assert api.deleted == []


@pytest.mark.slow
def test_another_account_than_the_stacks_is_refused_before_anything_is_done(
    api: KubernetesApi, programs: Programs, tmp_path: Path, aws_account: None
) -> None:
    put_world(api)
    (tmp_path / "proc").mkdir()
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "210987654321"})
    elsewhere = dataclasses.replace(recovery(tmp_path), settings=dataclasses.replace(settings(tmp_path), aws=aws))
    with pytest.raises(ClusterError, match=r"of 123456789012, aws\.accountId says 210987654321; take another profile"):
        next(elsewhere.steps())
    assert not (tmp_path / "programs" / "calls").exists()


@pytest.mark.slow
def test_objects_that_the_state_does_not_know_are_deleted(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED, f"Secret:{GRAPH}/teleport-access-graph-tls")
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-postgres", GRAPH, metadata=OURS)
    api.put("Service", "teleport-access-graph-external", GRAPH, metadata=OURS)
    api.put("NetworkPolicy", "teleport-access-graph-database-jobs", GRAPH, metadata=OURS)
    api.put("Job", "teleport-access-graph-database-access-0a1b", GRAPH, metadata=OURS)
    put_release(api, 1, "deployed", {}, name="other", namespace=GRAPH)
    found = steps(tmp_path)
    assert [step.problem.partition(" exists")[0] for step in found] == [
        f"Secret teleport-access-graph-postgres in {GRAPH}",
        f"Service teleport-access-graph-external in {GRAPH}",
        f"NetworkPolicy teleport-access-graph-database-jobs in {GRAPH}",
        f"Job teleport-access-graph-database-access-0a1b in {GRAPH}",
    ]
    for step in found:
        assert step.act is not None
        assert step.act() == "deleted"
    assert [path.rpartition("/")[2] for path in api.deleted] == [
        "teleport-access-graph-postgres",
        "teleport-access-graph-external",
        "teleport-access-graph-database-jobs",
        "teleport-access-graph-database-access-0a1b",
    ]


def test_a_namespace_that_the_stack_does_not_make_is_nobodys_orphan(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Not even one that the engine once made and the stack gave away; what the stack makes in it is looked at."""
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    programs.state(*ALL_RECORDED[1:])
    found = steps(tmp_path, accessGraph={"createNamespace": False})
    assert [step.problem.partition(" exists")[0] for step in found] == [f"Secret teleport-access-graph-tls in {GRAPH}"]


ACCESS, RESTARTER = "teleport-access-graph-database-access", "teleport-access-graph-certificate-restarter"
WATCH = "teleport-access-graph-lockout-watch"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name", "recorded"),
    [
        ("Secret", ACCESS, "ServiceAccount"),
        ("ServiceAccount", ACCESS, "Secret"),
        ("NetworkPolicy", RESTARTER, "ServiceAccount"),
        ("CronJob", RESTARTER, "NetworkPolicy"),
        ("Role", RESTARTER, "RoleBinding"),
    ],
)
def test_of_several_kinds_with_one_name_the_one_that_is_not_recorded_is_deleted(
    api: KubernetesApi, programs: Programs, tmp_path: Path, kind: str, name: str, recorded: str
) -> None:
    put_world(api)
    for one in (kind, recorded):
        api.put(one, name, GRAPH, metadata=OURS)
    programs.state(*ALL_RECORDED, f"{recorded}:{GRAPH}/{name}")
    (step,) = steps(tmp_path)
    assert step.problem == f"{kind} {name} in {GRAPH} exists, and the state does not know it"
    assert step.act is not None
    assert step.act() == "deleted"
    assert [path.split("/")[-2:] for path in api.deleted] == [[PLURALS[kind][1], name]]
    programs.state(*ALL_RECORDED, f"{recorded}:{GRAPH}/{name}", f"{kind}:{GRAPH}/{name}")
    api.put(kind, name, GRAPH, metadata=OURS)
    assert steps(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("namespace", "name", "kinds"),
    [
        (GRAPH, "teleport-access-graph-postgres-iam", ["Secret"]),
        (GRAPH, ACCESS, ["Secret", "ServiceAccount"]),
        (GRAPH, RESTARTER, ["NetworkPolicy", "CronJob", "RoleBinding", "Role", "ServiceAccount"]),
        ("teleport", WATCH, ["CronJob", "RoleBinding", "Role", "ServiceAccount"]),
    ],
)
def test_each_kind_of_the_stacks_names_is_looked_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path, namespace: str, name: str, kinds: list[str]
) -> None:
    """What runs goes before what it may do."""
    put_world(api)
    for kind in kinds:
        api.put(kind, name, namespace, metadata=OURS)
    programs.state(*ALL_RECORDED)
    found = steps(tmp_path)
    assert [step.problem.partition(" exists")[0] for step in found] == [
        f"{kind} {name} in {namespace}" for kind in kinds
    ]
    assert [step.act() for step in found if step.act] == ["deleted"] * len(kinds)
    assert [path.split("/")[-2:] for path in api.deleted] == [[PLURALS[kind][1], name] for kind in kinds]
    programs.state(*ALL_RECORDED, *(f"{kind}:{namespace}/{name}" for kind in kinds))
    for kind in kinds:
        api.put(kind, name, namespace, metadata=OURS)
    assert steps(tmp_path) == []


@pytest.mark.slow
def test_another_stacks_watch_beside_the_same_teleport_is_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("CronJob", WATCH, "teleport", metadata=OTHERS)
    programs.state(*ALL_RECORDED)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.remedy.startswith("leave it, the stack acme/graph/test made it")


@pytest.mark.slow
def test_a_network_policy_of_its_name_does_not_stand_for_the_release(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    programs.state(NAMESPACE_RECORDED, f"NetworkPolicy:{GRAPH}/{GRAPH}", CA_RECORDED)
    (step,) = steps(tmp_path)
    assert step.problem == f"the release {GRAPH} in {GRAPH} exists, and the state does not know it"
    assert step.act is not None
    step.act()
    assert programs.calls[-1].startswith(f"helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test --wait")


def test_a_pending_release_is_not_the_stacks_for_a_network_policy_of_its_name(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    put_release(api, 1, "pending-install", {}, name=GRAPH, namespace=GRAPH)
    programs.state(NAMESPACE_RECORDED, f"NetworkPolicy:{GRAPH}/{GRAPH}", CA_RECORDED)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert "nothing shows that this stack made it" in step.remedy


@pytest.mark.slow
@pytest.mark.parametrize("annotated", ["Namespace", "Secret"])
def test_a_release_of_the_stacks_that_the_state_does_not_know_is_uninstalled(
    api: KubernetesApi, programs: Programs, tmp_path: Path, annotated: str
) -> None:
    put_world(api)
    programs.state(NAMESPACE_RECORDED, f"Secret:{GRAPH}/teleport-access-graph-tls", CA_RECORDED)
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    if annotated == "Namespace":
        api.put("Namespace", GRAPH, metadata=OURS)
    else:
        api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    (step,) = steps(tmp_path)
    assert "it keeps nothing" in step.remedy
    assert step.act is not None
    step.act()
    assert programs.calls[-1].startswith(f"helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test --wait")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "metadata"),
    [
        ({}, OURS),
        ({"podAnnotations": {"team": "identity"}}, OURS),
        (GRAPH_VALUES, {}),
        (GRAPH_VALUES, ENGINES),
        (GRAPH_VALUES, OTHERS),
    ],
    ids=["no values", "own values", "nobody's namespace", "an engine's namespace", "another stack's namespace"],
)
def test_a_release_that_is_not_certainly_the_stacks_is_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path, values: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """As one that somebody has installed by hand, into a namespace that the stack did not make."""
    put_world(api)
    api.put("Namespace", GRAPH, metadata=metadata)
    programs.state(CA_RECORDED)
    for status, problem in (("deployed", "the release"), ("pending-install", "revision 1 of")):
        put_release(api, 1, status, values, name=GRAPH, namespace=GRAPH)
        (step,) = steps(tmp_path, accessGraph={"createNamespace": False})
        assert step.problem.startswith(problem)
        assert step.act is None
        assert "nothing shows that this stack made it" in step.remedy
        assert f"`helm uninstall {GRAPH} --namespace {GRAPH} --kube-context test" in step.remedy


@pytest.mark.slow
def test_what_the_engine_was_making_and_does_not_show_whose_it_is_is_imported(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """A release that an earlier version of the program made: nothing around it says whose it is."""
    put_world(api)
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    release = begun("kubernetes:helm.sh/v3:Release", "access-graph-release", name=GRAPH, namespace=GRAPH)
    programs.state(NAMESPACE_RECORDED, CA_RECORDED, pending=[release])
    assert run(tmp_path) == ["imported", "done"]


@pytest.mark.slow
def test_what_somebody_else_made_and_what_auth_mounts_is_left_alone(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata={"managedFields": [{"manager": "kubectl"}]})
    theirs, mounted = steps(tmp_path)
    assert theirs.act is None
    assert "somebody else made it" in theirs.remedy
    assert mounted.act is None
    assert "without it auth could not start" in mounted.remedy
    # Without the provider the engine would look in the current context's cluster, or refuse for lack of one.
    assert mounted.remedy.endswith(
        f"pulumi import kubernetes:core/v1:ConfigMap teleport-{CLUSTER}-ca teleport/teleport-access-graph-ca --stack "
        f"test --protect=false --generate-code=false --parent cluster=<URN of teleport-{CLUSTER}> "
        "--provider kubernetes=<URN of the provider kubernetes>"
    )
    assert api.deleted == []


@pytest.mark.slow
def test_the_authoritys_config_map_that_auth_mounts_is_not_deleted_for_being_begun(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The engine was making it, it is this stack's, and the state does not know it: auth could not start without."""
    put_world(api)
    name = "teleport-access-graph-ca"
    api.put("ConfigMap", name, "teleport", metadata=OURS)
    made = begun("kubernetes:core/v1:ConfigMap", "teleport-ca", metadata={"name": name, "namespace": "teleport"})
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED, pending=[made])
    assert [step.act is None for step in steps(tmp_path)] == [True, False], "named, and then accounted for"
    assert run(tmp_path) == ["left", "done"]
    assert api.deleted == []


@pytest.mark.slow
def test_a_namespace_that_somebody_deleted_leaves_the_state_before_an_up(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(NAMESPACE_RECORDED, CA_RECORDED, f"Secret:{GRAPH}/teleport-access-graph-tls")
    programs.record(
        {"urn": f"urn::release::{GRAPH}", "id": f"{GRAPH}/{GRAPH}", "type": "kubernetes:helm.sh/v3:Release"}
    )
    del api.objects[f"/api/v1/namespaces/{GRAPH}"]
    namespace, release = steps(tmp_path)
    assert namespace.problem == f"the state has the namespace {GRAPH}, and the cluster does not"
    assert release.problem == f"the state has the release {GRAPH} in {GRAPH}, and Helm does not"
    assert namespace.act is not None
    assert namespace.act() == "taken out"
    assert programs.calls[-1] == (
        f"pulumi refresh --target urn::{NAMESPACE_RECORDED} --target urn::Secret:{GRAPH}/teleport-access-graph-tls "
        "--yes --skip-preview --stack test --non-interactive"
    )


def test_a_namespace_that_was_made_last_goes_with_everything_in_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("Namespace", GRAPH, metadata=OURS)
    api.put("Secret", "teleport-access-graph-tls", GRAPH, metadata=OURS)
    (step,) = steps(tmp_path)
    assert step.problem.startswith(f"Namespace {GRAPH} exists")


PROVIDER = "urn:pulumi:test::p::pulumi:providers:aws::aws::id"


def begun(kind: str, resource_name: str, /, **inputs: Any) -> dict[str, Any]:
    """An operation that the engine wrote down when it began to make something."""
    urn = f"urn:pulumi:test::p::{kind}::{resource_name}"
    resource = {"type": kind, "urn": urn, "inputs": inputs, "parent": "urn:parent", "provider": PROVIDER}
    return {"type": "creating", "resource": resource}


def test_what_aws_may_have_made_is_never_deleted(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "database-instance", identifier="graph")
    association = begun("aws:eks/podIdentityAssociation:PodIdentityAssociation", "client")
    programs.state(*ALL_RECORDED, pending=[instance, association])
    made, unknown = steps(tmp_path)
    assert made.remedy == "import graph if it is there"
    assert unknown.act is None
    assert "look for it by the stack's tags" in unknown.remedy

    assert made.act is not None
    assert made.act() == "imported"
    assert programs.calls[-1] == (
        "pulumi import aws:rds/instance:Instance database-instance graph --protect=false --generate-code=false "
        "--parent parent=urn:parent --provider provider=urn:pulumi:test::p::pulumi:providers:aws::aws "
        "--stack test --yes --skip-preview --non-interactive"
    )


def run(root: Path, **changes: Any) -> list[str]:
    """Every step done as it comes, as `--yes` does it; what each says it did."""
    (root / "proc").mkdir(exist_ok=True)
    return every_act(Recovery(settings=settings(root, **changes), stack="test", processes=root / "proc", root=root))


def every_act(recovery: Recovery) -> list[str]:
    return [step.act() if step.act else "left" for step in recovery.steps() if step.problem != LOCK]


@pytest.mark.slow
def test_what_was_begun_is_forgotten_once_all_of_it_is_accounted_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The engine would warn of it at every later `up`, and forgets all of it at once."""
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "graph", identifier="graph")
    secret = begun(
        "kubernetes:core/v1:Secret", "tls", metadata={"name": "teleport-access-graph-absent", "namespace": GRAPH}
    )
    others = [
        begun("random:index/randomPassword:RandomPassword", "login"),
        begun("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "monitoring", role="r", policyArn="arn:p"),
        begun("kubernetes:apps/v1:DeploymentPatch", "proxies", metadata={"name": "teleport-proxy"}),
    ]
    programs.state(*ALL_RECORDED, pending=[instance, secret, *others])
    programs.import_fails_with("error: resource 'graph' does not exist")
    assert run(tmp_path) == ["it was not made", "done"]
    assert programs.stored()["deployment"]["pending_operations"] == []


@pytest.mark.parametrize(
    "message",
    [
        "error: operation error RDS: DescribeDBInstances: the role of the credentials does not exist",
        "error: resource 'another' does not exist",
        "error: resource 'graph-2' does not exist",
    ],
)
def test_that_something_else_does_not_exist_is_no_word_on_what_was_begun(
    api: KubernetesApi, programs: Programs, tmp_path: Path, message: str
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED, pending=[begun("aws:rds/instance:Instance", "graph", identifier="graph")])
    programs.import_fails_with(message)
    with pytest.raises(StackError, match="does not exist"):
        run(tmp_path)
    assert not [call for call in programs.calls if call.startswith("pulumi stack import")]


def test_what_two_killed_runs_began_is_imported_once(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "graph", identifier="graph")
    programs.state(*ALL_RECORDED, pending=[instance, instance])
    assert run(tmp_path) == ["imported", "done"]
    assert programs.imports() == ["graph"]


GROUP = "aws:ec2/securityGroup:SecurityGroup"


def put_group(number: int) -> str:
    """A security group as a plugin that was killed leaves it: by the stack's prefix and tag, and open outwards."""
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": NAME}]}]
    made = boto3.client("ec2", region_name="us-east-1").create_security_group(
        GroupName=f"graph-{number:026x}", Description="x", TagSpecifications=tags
    )
    return str(made["GroupId"])


def in_aws(root: Path) -> Recovery:
    (root / "proc").mkdir()
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "123456789012"})
    return dataclasses.replace(recovery(root), settings=dataclasses.replace(settings(root), aws=aws))


@pytest.mark.slow
def test_what_was_just_imported_is_the_stacks_and_looked_at_as_such(
    api: KubernetesApi, programs: Programs, tmp_path: Path, aws_account: None
) -> None:
    """It carries the stack's tag, and nobody is told to delete it; a group is closed at once."""
    put_world(api)
    group = begun(GROUP, "database-security-group", namePrefix="graph-", tags={TAG: NAME})
    programs.state(*ALL_RECORDED, pending=[group])
    made = put_group(1)
    programs.import_records({**group["resource"], "id": made})
    assert every_act(in_aws(tmp_path)) == ["imported", "done", "closed"]
    assert programs.imports() == [made]


@pytest.mark.slow
def test_of_what_two_killed_runs_made_one_is_imported_and_the_other_named(
    api: KubernetesApi, programs: Programs, tmp_path: Path, aws_account: None
) -> None:
    """A second import would be of a name that the state has by then."""
    put_world(api)
    group = begun(GROUP, "database-security-group", namePrefix="graph-", tags={TAG: NAME})
    programs.state(*ALL_RECORDED, pending=[group, group])
    first, second = sorted([put_group(1), put_group(2)])
    programs.import_records({**group["resource"], "id": first})
    named = []
    for step in in_aws(tmp_path).steps():
        if step.act is not None:
            step.act()
        else:
            named.append(step.problem)
    assert programs.imports() == [first]
    assert set(named) == {
        f"{GROUP} {second} is like it",
        f"{GROUP} {second} carries the stack's tag, and the state does not know it",
    }


@pytest.mark.slow
def test_what_a_later_run_has_made_is_not_imported_over_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "graph", identifier="graph")
    programs.state(*ALL_RECORDED, pending=[instance])
    programs.record({**instance["resource"], "id": "db-LATER", "outputs": {"identifier": "another"}})
    assert run(tmp_path) == ["left", "done"]


@pytest.mark.slow
def test_what_is_not_accounted_for_stays_in_the_state(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "graph", identifier="graph")
    association = begun("aws:eks/podIdentityAssociation:PodIdentityAssociation", "client")
    programs.state(*ALL_RECORDED, pending=[instance, association])
    assert run(tmp_path) == ["imported", "left"]
    programs.import_fails_with("error: AccessDenied")
    with pytest.raises(StackError, match="AccessDenied"):
        run(tmp_path)
    assert not [call for call in programs.calls if call.startswith("pulumi stack import")]


@pytest.mark.slow
def test_the_successor_of_what_was_deleted_to_be_replaced_is_deleted_although_the_state_has_its_name(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The next `up` makes it, and would find its name taken."""
    put_world(api)
    name = "teleport-access-graph-database-access-0123456789"
    job = begun("kubernetes:batch/v1:Job", "database-access-job", metadata={"name": name, "namespace": GRAPH})
    programs.state(*ALL_RECORDED, pending=[job])
    programs.record({**job["resource"], "id": f"{GRAPH}/{name}"})
    api.put("Job", name, GRAPH, metadata=OURS)
    assert run(tmp_path) == ["done"]
    assert api.deleted == [], "recorded and not replaced, it stays"
    programs.state(*ALL_RECORDED, pending=[job])
    programs.record({**job["resource"], "id": f"{GRAPH}/{name}", "pendingReplacement": True})
    assert run(tmp_path) == ["deleted", "done"]
    assert [path.rpartition("/")[2] for path in api.deleted] == [name]


def test_an_object_of_any_name_that_the_engine_was_making_is_deleted(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    names = {"Secret": "some-secret", "ServiceAccount": "some-account", "CronJob": "some-watch"}
    types = {"Secret": "core/v1", "ServiceAccount": "core/v1", "CronJob": "batch/v1"}
    pod = {"template": {"spec": {"containers": [{"name": "watch"}]}}}
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": pod}}
    for kind, name in names.items():
        api.put(kind, name, GRAPH, metadata=OURS, **({"spec": spec} if kind == "CronJob" else {}))
    pending = [
        begun(f"kubernetes:{types[kind]}:{kind}", kind, metadata={"name": name, "namespace": GRAPH})
        for kind, name in names.items()
    ]
    programs.state(*ALL_RECORDED, pending=pending)
    assert run(tmp_path) == ["deleted", "deleted", "deleted", "done"]
    assert [path.rpartition("/")[2] for path in api.deleted] == list(names.values())


def test_an_object_that_was_recorded_after_all_is_left_alone(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("Secret", "some-secret", GRAPH, metadata=OURS)
    again = begun("kubernetes:core/v1:Secret", "s", metadata={"name": "some-secret", "namespace": GRAPH})
    programs.state(*ALL_RECORDED, f"Secret:{GRAPH}/some-secret", pending=[again])
    assert run(tmp_path) == ["done"]
    assert api.deleted == []


def test_somebody_elses_object_of_that_name_is_named_and_left(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    api.put("Secret", "some-secret", GRAPH, metadata={"managedFields": [{"manager": "kubectl"}]})
    ours = begun("kubernetes:core/v1:Secret", "s", metadata={"name": "some-secret", "namespace": GRAPH})
    programs.state(*ALL_RECORDED, pending=[ours])
    assert run(tmp_path) == ["left", "done"]
    assert api.deleted == []


def test_a_kind_that_cannot_be_asked_for_is_named(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    metadata = {"name": "graph", "namespace": GRAPH}
    programs.state(*ALL_RECORDED, pending=[begun("kubernetes:cert-manager.io/v1:Certificate", "c", metadata=metadata)])
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.problem.startswith(f"the engine was making Certificate {GRAPH}/graph")


@pytest.mark.slow
def test_a_teleport_that_was_installed_and_not_recorded_is_imported(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    put_release(api, 1, "deployed", USERS)
    release = begun("kubernetes:helm.sh/v3:Release", "teleport-release", name="teleport", namespace="teleport")
    programs.state(*ALL_RECORDED, pending=[release])
    assert run(tmp_path) == ["imported", "done"]
    imported = next(call for call in programs.calls if call.startswith("pulumi import"))
    assert " kubernetes:helm.sh/v3:Release teleport-release teleport/teleport " in imported


@pytest.mark.slow
def test_a_release_that_was_uninstalled_and_not_recorded_leaves_the_state(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Helm refuses to uninstall it again: `release: not found`."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    programs.record(
        {"urn": f"urn::release::{GRAPH}", "id": f"{GRAPH}/{GRAPH}", "type": "kubernetes:helm.sh/v3:Release"}
    )
    assert run(tmp_path) == ["taken out"]
    refreshed = next(call for call in programs.calls if call.startswith("pulumi refresh"))
    assert refreshed == (
        f"pulumi refresh --target urn::release::{GRAPH} --yes --skip-preview --stack test --non-interactive"
    )
    put_release(api, 1, "deployed", {}, name=GRAPH, namespace=GRAPH)
    assert run(tmp_path) == []


@pytest.mark.slow
def test_what_is_in_a_cluster_that_was_taken_out_is_not_looked_for_in_another(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    elsewhere = "urn::kubernetes-11111111-0000-4000-8000-000000000001::0123"
    release = {"urn": "urn::second", "id": "second/second", "type": "kubernetes:helm.sh/v3:Release"}
    programs.record({**release, "provider": elsewhere})
    assert steps(tmp_path) == []

    making = begun("kubernetes:core/v1:ConfigMap", "teleport-ca", metadata={"name": "some", "namespace": "second"})
    making["resource"]["provider"] = elsewhere
    programs.state(*ALL_RECORDED, pending=[making])
    (step,) = steps(tmp_path)
    assert (step.act, step.remedy) == (None, "look for it: its cluster is not in the configuration any more")


@pytest.mark.slow
def test_what_carries_the_stacks_tag_and_is_not_recorded_is_named(
    api: KubernetesApi, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin that died told the engine nothing: there is no note of what it made."""
    asked: list[Mapping[str, str]] = []
    group, instance = "aws:ec2/securityGroup:SecurityGroup", "aws:rds/instance:Instance"

    def carrying(_: AwsSettings, tags: Mapping[str, str]) -> Carrying:
        asked.append(tags)
        found = Carrying()
        found.extend([(group, "sg-1"), (group, "sg-2"), (instance, "graph")])
        found.unasked.append("aws:kms/key:Key (kms:ListKeys is denied)")
        return found

    monkeypatch.setattr("operations.recover.carrying", carrying)
    # No account is behind these; what it does is in its own tests.
    monkeypatch.setattr("operations.recover.closed_groups", lambda *_: iter(()))
    monkeypatch.setattr("operations.recover.identity_of", lambda _: ("123456789012", "someone"))
    put_world(api)
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "123456789012"})
    ours = dataclasses.replace(settings(tmp_path), aws=aws)
    (tmp_path / "proc").mkdir()

    def named() -> list[str]:
        recovery = Recovery(settings=ours, stack="acme/p/test", processes=tmp_path / "proc", root=tmp_path)
        steps = [step for step in recovery.steps() if not step.problem.endswith(LOCK.partition("test ")[2])]
        assert [step.act for step in steps] == [None] * len(steps)
        return [step.problem.partition(" carries")[0] for step in steps]

    programs.state(*ALL_RECORDED)
    closed = "AWS does not let these credentials ask for aws:kms/key:Key (kms:ListKeys is denied)"
    assert named() == [closed, f"{group} sg-1", f"{group} sg-2", f"{instance} graph"]
    recorded = [
        {"urn": "urn::group", "type": group, "id": "sg-1", "inputs": {"tags": {TAG: "acme/graph/test"}}},
        {"urn": "urn::instance", "type": instance, "id": "db-ABC", "outputs": {"identifier": "graph"}},
    ]
    programs.record(*recorded)
    assert named() == [closed, f"{group} sg-2"]
    assert asked == [{TAG: "acme/p/test"}, {TAG: "acme/graph/test"}]


@pytest.mark.slow
def test_a_helm_that_hangs_is_an_error_that_says_so(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.interrupted_releases._GIVEN_UP", 0.2)
    (tmp_path / "programs" / "helm").write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(ClusterError, match=r"helm rollback: no answer in 0\.2 s.*`helm history teleport`"):
        run_helm(["rollback", "teleport", "2"], tmp_path)


@pytest.mark.slow
def test_what_does_not_go_is_an_error_that_says_so(
    api: KubernetesApi, programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next `up` could not make it again."""
    monkeypatch.setattr("operations.mending._GONE_TIMEOUT", 0.5)
    put_world(api)
    programs.state()
    api.put("Namespace", GRAPH, metadata=OURS)
    api.held.add(f"/api/v1/namespaces/{GRAPH}")
    with pytest.raises(ClusterError, match=rf"Namespace {GRAPH} is still being deleted after 0.5 s: a finalizer"):
        run(tmp_path)
    api.held.clear()
    assert run(tmp_path) == ["deleted"]


def put_process(processes: Path, number: int, directory: Path, command: str, **environment: str) -> None:
    process = processes / str(number)
    process.mkdir(parents=True)
    (process / "cmdline").write_text("\0".join([f"/usr/bin/{command.split()[0]}", *command.split()[1:]]))
    (process / "environ").write_text("\0".join(f"{name}={value}" for name, value in environment.items()))
    (process / "cwd").symlink_to(directory)


def test_a_running_engine_is_never_disturbed(tmp_path: Path, api: KubernetesApi, programs: Programs) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for number, (directory, command) in enumerate(
        (
            (project, "pulumi up --yes"),
            (tmp_path, "pulumi up --yes"),
            (project, "pulumi stack output"),
            (project, "vi pulumi up"),
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, directory, command)
    assert live_engines(tmp_path / "proc", project, "test") == [(1, "/usr/bin/pulumi up --yes")]
    recovery = Recovery(settings=settings(tmp_path), stack="test", processes=tmp_path / "proc", root=project)
    with pytest.raises(StackError, match=r"the engine is at work \(process 1"):
        next(iter(recovery.steps()))


def test_an_engine_counts_unless_it_names_another_stack_or_backend(tmp_path: Path) -> None:
    ours, theirs = "s3://ours", "s3://theirs"
    for number, (command, environment) in enumerate(
        (
            ("pulumi up --stack prod", {}),
            (f"pulumi up -s acme/{PROJECT}/prod", {}),
            ("pulumi up --stack=prod", {"PULUMI_STACK": "test"}),
            ("pulumi destroy", {"PULUMI_STACK": "prod"}),
            ("pulumi up --stack test", {"PULUMI_BACKEND_URL": theirs}),
            ("pulumi up --stack test", {"PULUMI_STACK": "prod"}),
            (f"pulumi up -s acme/{PROJECT}/test", {"PULUMI_BACKEND_URL": ours}),
            ("pulumi up", {"PULUMI_STACK": "test"}),
            ("pulumi up", {}),
            ("pulumi up --stack", {}),
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, tmp_path, command, **environment)
    # Of another user, whose environment cannot be read.
    put_process(tmp_path / "proc", 11, tmp_path, "pulumi up --yes")
    (tmp_path / "proc/11/environ").unlink()
    found = live_engines(tmp_path / "proc", tmp_path, "test", {"PULUMI_BACKEND_URL": ours})
    assert [number for number, _ in found] == [6, 7, 8, 9, 10, 11]
    found = live_engines(tmp_path / "proc", tmp_path, "acme/graph/test", {})
    assert [number for number, _ in found] == [5, 6, 7, 8, 9, 10, 11]


def test_an_engine_in_another_checkout_counts_if_it_names_the_stack(tmp_path: Path) -> None:
    """As the second workspace of a runner of CI; another project's stack may have the same name."""
    here, there, others = (tmp_path / name for name in ("here", "there", "others"))
    for directory, name in ((here, PROJECT), (there, PROJECT), (others, "website")):
        (directory / "deeper").mkdir(parents=True)
        (directory / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n")
    ours, theirs = {"PULUMI_BACKEND_URL": "s3://ours"}, {"PULUMI_BACKEND_URL": "s3://theirs"}
    for number, (directory, command, environment) in enumerate(
        (
            (there, "pulumi up --stack test", ours),
            (there / "deeper", "pulumi destroy", {"PULUMI_STACK": "test"}),
            (tmp_path, f"pulumi up -s acme/{PROJECT}/test", ours),
            (tmp_path, "pulumi up -s test", {}),
            (there, "pulumi up --stack test", theirs),
            (there, "pulumi up --stack prod", ours),
            (there, "pulumi up", ours),
            (others, "pulumi up --stack test", ours),
            (tmp_path, "pulumi up -s acme/website/test", ours),
            (there, "pulumi preview --stack test", ours),
        ),
        1,
    ):
        put_process(tmp_path / "proc", number, directory, command, **environment)
    found = live_engines(tmp_path / "proc", here, "test", ours)
    assert [number for number, _ in found] == [1, 2, 3, 4]


def test_another_users_engine_that_cannot_be_looked_at_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = ("pulumi up --yes", "pulumi up --stack test", "pulumi up --stack prod", "vi pulumi up", "pulumi whoami")
    for number, said in enumerate(commands, 1):
        put_process(tmp_path / "proc", number, tmp_path, said)
        (tmp_path / f"proc/{number}/cwd").unlink()
        (tmp_path / f"proc/{number}/environ").unlink()
    put_process(tmp_path / "proc", 6, tmp_path, "pulumi up")
    assert hidden_engines(tmp_path / "proc", "test") == [
        (1, "/usr/bin/pulumi up --yes"),
        (2, "/usr/bin/pulumi up --stack"),
    ]
    assert live_engines(tmp_path / "proc", tmp_path / "elsewhere", "test", {}) == []
    monkeypatch.setattr("operations.recover.hidden_engines", lambda *_: [(1, "/usr/bin/pulumi up --yes")])
    result = command(monkeypatch, tmp_path, [])
    assert result.exit_code == 0
    assert (
        "note: process 1 of another user (/usr/bin/pulumi up --yes) cannot be looked at; make sure that it works on "
        "another stack\n"
    ) in result.output


def of_another_owner() -> dict[str, Any]:
    """The entry of a Teleport whose release this stack does not own."""
    entry = configuration()["teleport"][CLUSTER]
    return {CLUSTER: {key: entry[key] for key in ("hostAuthorities", "valuesFiles")} | {"mode": "values"}}


def test_the_newest_revision_that_ran_is_the_good_one(api: KubernetesApi, cluster: Cluster) -> None:
    assert last_good(list_revisions(cluster, "teleport", "teleport")) is None
    for revision, status in ((1, "superseded"), (2, "superseded"), (3, "failed"), (4, "pending-upgrade")):
        put_release(api, revision, status, {})
    assert last_good(list_revisions(cluster, "teleport", "teleport")) == 2


def test_what_was_handed_over_and_not_recorded_is_deleted_kind_by_kind(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    theirs = settings(tmp_path, teleport=of_another_owner())
    rollout = "teleport-access-graph-rollout"
    for kind, name in (
        ("ConfigMap", "teleport-access-graph-values"),
        ("ServiceAccount", rollout),
        ("Role", rollout),
        ("RoleBinding", rollout),
        ("Job", f"{rollout}-0a1b2c3d4e"),
    ):
        role = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": rollout}}
        api.put(kind, name, "teleport", metadata=OURS, **(role if kind == "RoleBinding" else {}))
    (tmp_path / "proc").mkdir()

    def found() -> list[str]:
        recovery = Recovery(settings=theirs, stack="test", processes=tmp_path / "proc", root=tmp_path)
        return [step.problem.partition(" exists")[0] for step in recovery.steps() if step.problem != LOCK]

    programs.state(*ALL_RECORDED, f"ServiceAccount:teleport/{rollout}", f"Job:teleport/{rollout}-0a1b2c3d4e")
    assert found() == [
        "ConfigMap teleport-access-graph-values in teleport",
        f"Role {rollout} in teleport",
        f"RoleBinding {rollout} in teleport",
    ]
