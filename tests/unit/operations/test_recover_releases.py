"""Recover: Helm releases that are pending, half uninstalled, or known only to the state or only to Helm."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from operations.cluster import Cluster, ClusterError
from operations.helm_releases import list_revisions
from operations.interrupted_releases import last_good, run_helm
from operations.mending import Step
from operations.recover import Recovery
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.recover_world import (
    ALL_RECORDED,
    CA_RECORDED,
    ENGINES,
    GRAPH_VALUES,
    LOCK,
    NAMESPACE_RECORDED,
    OTHERS,
    OURS,
    Programs,
    begun,
    no_engines,
    of_another_owner,
    recovery,
    run,
    steps,
)
from tests.unit.operations.world import CLUSTER, GRAPH, USERS, put_world, settings


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
    """The engine compares with what Helm recorded and finds nothing to do; Helm can neither upgrade nor install such a
    release."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    put_release(api, 1, status, GRAPH_VALUES, name=GRAPH, namespace=GRAPH, deleted="2026-06-01T12:00:00Z")
    (step,) = steps(tmp_path)
    assert step.problem.startswith(f"revision 1 of {GRAPH} in {GRAPH} is {status} since 2026-06-01T12:00:00Z (")
    assert step.remedy == "complete its removal: it keeps nothing, and the next `up` installs it again"
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
    now = datetime(2026, 6, 1, 15, 1, tzinfo=timezone.utc)
    at_work = Recovery(settings=settings(tmp_path), stack="test", processes=no_engines, root=tmp_path, now=lambda: now)
    step = next(step for step in at_work.steps() if step.problem != LOCK)
    assert step.act is None
    assert "a Helm process may still work on it, until 2026-06-01T15:10:00Z" in step.remedy


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
        f"to bring it back: `helm rollback teleport 3 {at}`; to complete its removal: `helm uninstall teleport {at}`"
    )


def pending_teleport(api: KubernetesApi) -> None:
    """A Teleport whose first installation has not ended and has created no objects yet."""
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
    """Helm did not see the installation end, but auth may have run all the same."""
    pending_teleport(api)
    programs.state(*ALL_RECORDED)
    api.put(kind, name, "teleport", metadata=metadata)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.remedy.startswith(f"leave it: {kind} {name} exist, and to remove them may delete Teleport's data")
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
    """A clock that stands this many seconds after the pending revision began."""
    begin = datetime(2026, 6, 1, 12, 0, 30, tzinfo=timezone.utc)
    return lambda: begin + timedelta(seconds=second)


@pytest.mark.slow
def test_what_a_helm_may_be_at_work_on_is_left_until_its_time_is_up(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    put_release(api, 3, "pending-upgrade", USERS)
    programs.state(*ALL_RECORDED)
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
        "a Helm process may still work on it, until 2026-06-01T12:10:30Z at the latest (timeoutSeconds: 600); "
        "`recover` again after that"
    )
    assert found(599).act is None
    assert found(600).act is not None
    put_release(api, 3, "pending-upgrade", USERS, updated="")
    assert found(10**9).act is None, "who knows how old it is"


def test_what_the_engine_was_at_work_on_when_it_was_killed_is_mended_at_once(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The release is in the engine's pending operations, so the Helm run was the engine's own and ended with it."""
    put_world(api)
    put_release(api, 3, "pending-upgrade", USERS)
    updating = begun("kubernetes:helm.sh/v3:Release", "teleport-release", name="teleport", namespace="teleport")
    updating["type"] = "updating"
    programs.state(*ALL_RECORDED, pending=[updating])
    (step,) = [one for one in dataclasses.replace(recovery(tmp_path), now=at(5)).steps() if one.problem != LOCK]
    assert step.remedy == "roll it back to revision 2"
    assert step.act is not None


@pytest.mark.parametrize("shown_by", ["the engine's record", "its values and its namespace"])
def test_an_installation_that_is_not_recorded_is_the_stacks_by_what_shows_it(
    api: KubernetesApi, programs: Programs, tmp_path: Path, shown_by: str
) -> None:
    put_world(api)
    installing = begun("kubernetes:helm.sh/v3:Release", "access-graph-release", name=GRAPH, namespace=GRAPH)
    if shown_by == "the engine's record":
        put_release(api, 1, "pending-install", {}, name=GRAPH, namespace=GRAPH)
        programs.state(NAMESPACE_RECORDED, CA_RECORDED, pending=[installing])
    else:
        api.put("Namespace", GRAPH, metadata=OURS)
        put_release(api, 1, "pending-install", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
        programs.state(NAMESPACE_RECORDED, CA_RECORDED)
    step, *_ = steps(tmp_path)
    assert step.remedy == "uninstall it: it never ran"
    assert step.act is not None


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
    """As when somebody installed the release by hand, in a namespace that the stack did not make."""
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
    """Helm refuses to uninstall the release again: `release: not found`."""
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
def test_an_adopted_teleport_that_was_uninstalled_leaves_the_state_with_the_way_to_have_it_back(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The next `up` would find nothing to adopt: `resource 'teleport/teleport' does not exist`."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    del api.objects["/api/v1/namespaces/teleport/secrets/sh.helm.release.v1.teleport.v2"]
    release = {"urn": "urn::release", "id": "teleport/teleport", "type": "kubernetes:helm.sh/v3:Release"}
    programs.record({**release, "retainOnDelete": True})
    (step,) = steps(tmp_path)
    assert step.remedy == (
        "take it out of the state; then `helm --kube-context test --namespace teleport install teleport <its chart> "
        "--values <its valuesFiles>`, then `up`, which takes it over"
    )
    assert run(tmp_path) == ["taken out"]


@pytest.mark.slow
def test_a_mark_on_proxies_that_are_gone_leaves_the_state(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The plugin would patch an object that is gone: `currently managing a required field`."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    mark = {"urn": "urn::proxies", "id": "teleport/teleport-proxy", "type": "kubernetes:apps/v1:DeploymentPatch"}
    programs.record(mark)
    assert run(tmp_path) == []
    del api.objects["/apis/apps/v1/namespaces/teleport/deployments/teleport-proxy"]
    (step,) = steps(tmp_path)
    assert step.problem == "the state has a patch of the Deployment teleport-proxy in teleport, which is gone"
    assert run(tmp_path) == ["taken out"]
    assert any(call.startswith("pulumi refresh --target urn::proxies --yes") for call in programs.calls)


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
def test_a_helm_that_hangs_is_an_error_that_says_so(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.interrupted_releases._GIVEN_UP", 0.2)
    (tmp_path / "programs" / "helm").write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(ClusterError, match=r"helm rollback: no answer in 0\.2 s.*`helm history teleport`"):
        run_helm(["rollback", "teleport", "2"], tmp_path)
    place = ["--namespace", "teleport", "--kube-context", "my cluster"]
    with pytest.raises(ClusterError, match="`helm history teleport --namespace teleport --kube-context 'my cluster'`"):
        run_helm(["rollback", "teleport", "2", *place, "--wait", "--timeout", "600s"], tmp_path)


@pytest.mark.slow
def test_a_helm_that_fails_or_is_not_there_is_an_error_with_its_own_words(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "programs" / "helm").write_text("#!/bin/sh\necho 'Error: no revision 2' >&2\nexit 1\n")
    with pytest.raises(ClusterError, match=r"^helm rollback: Error: no revision 2; look at the pods' events"):
        run_helm(["rollback", "teleport", "2"], tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match=r"^helm: is not on PATH; .*, or run `helm rollback teleport 2` elsewhere"):
        run_helm(["rollback", "teleport", "2"], tmp_path)
    with pytest.raises(ClusterError, match="`helm rollback teleport 2 --kube-context 'my cluster'` elsewhere"):
        run_helm(["rollback", "teleport", "2", "--kube-context", "my cluster"], tmp_path)


def test_the_newest_revision_that_ran_is_the_good_one(api: KubernetesApi, cluster: Cluster) -> None:
    assert last_good(list_revisions(cluster, "teleport", "teleport")) is None
    for revision, status in ((1, "superseded"), (2, "superseded"), (3, "failed"), (4, "pending-upgrade")):
        put_release(api, revision, status, {})
    assert last_good(list_revisions(cluster, "teleport", "teleport")) == 2


def test_a_command_for_people_has_the_context_in_quotes_where_it_needs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = ["rollback", "teleport", "2", "--kube-context", "the other cluster"]
    with pytest.raises(ClusterError, match=r"or run `helm rollback teleport 2 --kube-context 'the other cluster'`"):
        run_helm(command, tmp_path)
