"""The labels and annotations that an organisation requires are on every object and every pod; those that clash are
refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.object_metadata import ClashError, mark_objects
from tests.samples import TELEPORT_CLUSTER
from tests.unit.monitor import Recording, record, unsealed
from tests.unit.privileges import modes
from tests.unit.program.stack import OF_THE_STACK, configuration, run_program
from tests.unit.settings.cases_tls import EXISTING

pytestmark = [pytest.mark.unit, pytest.mark.slow]

LABELS = {"example.com/team": "identity", "cost-centre": "4711"}
ANNOTATIONS = {"example.com/contact": "Identity & access, #identity"}
MARKS = {"labels": LABELS, "annotations": ANNOTATIONS}


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """A stack with as many kinds of objects as possible."""
    directory: Path = tmp_path_factory.mktemp("marked")
    config = configuration(directory, tls=EXISTING, **MARKS)
    (directory / "authorities.pem").write_text(
        config["teleport"][TELEPORT_CLUSTER]["hostAuthorities"]["certificates"][0]
    )
    config["accessGraph"]["image"] = "registry.example.com/access-graph"
    config["accessGraph"]["networkPolicy"] = {"enabled": True}
    return run_program(config, directory)


def objects(stack: Recording) -> list[Any]:
    """The program's own objects: without releases (the chart makes their objects) and patches of other owners'
    objects."""
    return [
        item
        for item in stack.custom()
        if item.type.startswith("kubernetes:") and "helm.sh" not in item.type and not item.type.endswith("Patch")
    ]


@pytest.mark.parametrize("mode", modes.MODES)
def test_no_object_has_an_empty_map_in_its_metadata(mode: str) -> None:
    """The API server drops an empty map, and the plugin would then show a change of a Secret or a custom resource in
    every preview."""
    for item in objects(modes.recorded(mode)):
        metadata = unsealed(item.inputs["metadata"])
        assert {key for key, value in metadata.items() if value in ({}, [], None)} == set(), item.name


def has(metadata: dict[str, Any]) -> bool:
    return LABELS.items() <= metadata.get("labels", {}).items() and (
        ANNOTATIONS.items() <= metadata.get("annotations", {}).items()
    )


def test_every_object_has_every_mark(marked: Recording) -> None:
    assert {item.type.rpartition(":")[2] for item in objects(marked)} == {
        "ConfigMap",
        "CronJob",
        "Job",
        "Namespace",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Secret",
        "ServiceAccount",
    }
    assert [item.name for item in objects(marked) if not has(item.plain("metadata"))] == []


def test_so_have_the_pods_that_jobs_make(marked: Recording) -> None:
    jobs = [item for item in objects(marked) if item.type.endswith(":Job")]
    assert [job.name for job in jobs] == ["database-access-job", "database-logins-job"]
    for job in jobs:
        assert has(job.plain("spec.template.metadata")), job.name
    cron_job = marked["certificate-restarter-cron-job"]
    assert has(cron_job.plain("spec.jobTemplate.metadata"))
    assert has(cron_job.plain("spec.jobTemplate.spec.template.metadata"))


def test_our_own_marks_stay(marked: Recording) -> None:
    assert marked["namespace-namespace"].plain("metadata.labels") == {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
        **LABELS,
    }
    job = marked["database-access-job"]
    assert job.plain("metadata.annotations") == {
        "pulumi.com/replaceUnready": "true",
        "pulumi.com/timeoutSeconds": "720",
        **ANNOTATIONS,
        **OF_THE_STACK,
    }
    assert job.plain("spec.template.metadata.labels") == {
        "app.kubernetes.io/name": "teleport-access-graph-database-jobs",
        **LABELS,
    }
    account = marked["database-access-service-account"].plain("metadata.annotations")
    assert account == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/database-access-role",
        **OF_THE_STACK,
        **ANNOTATIONS,
    }


def test_the_chart_gets_what_it_has_values_for(marked: Recording) -> None:
    values = marked["access-graph-release"].plain("values")
    assert values["podLabels"] == LABELS
    assert values["podAnnotations"] == {
        **ANNOTATIONS,
        "checksum/credentials": values["podAnnotations"]["checksum/credentials"],
    }
    assert values["serviceAccount"] == {"annotations": ANNOTATIONS}


def test_the_role_of_a_login_by_iam_stays_beside_the_marks(tmp_path: Path) -> None:
    config = configuration(tmp_path, annotations=ANNOTATIONS)
    config["database"]["authentication"] = "iam"
    account = run_program(config, tmp_path)["access-graph-release"].plain("values.serviceAccount.annotations")
    assert account == {
        "eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/database-access-client-role",
        **ANNOTATIONS,
    }


def test_teleport_is_not_ours_to_mark(marked: Recording) -> None:
    release, proxies = (marked[f"teleport-{TELEPORT_CLUSTER}-{one}"] for one in ("release", "proxies"))
    for key in (*LABELS, *ANNOTATIONS):
        assert key not in str(release.inputs)
        assert key not in str(proxies.inputs)


def test_marks_move_no_resource(marked: Recording, stack: Recording) -> None:
    def urns(recording: Recording) -> set[str]:
        return {item.urn for item in objects(recording)}

    assert urns(stack) - urns(marked) == {item.urn for item in objects(stack) if item.name == "credentials-tls"}


def test_every_object_says_whose_stack_made_it(marked: Recording, stack: Recording) -> None:
    for recording in (marked, stack):
        annotations = {item.name: item.plain("metadata.annotations").items() for item in objects(recording)}
        assert len(annotations) > 5
        assert [name for name, found in annotations.items() if not OF_THE_STACK.items() <= found] == []


def test_no_pod_and_no_chart_is_told_whose_stack_it_is(marked: Recording, stack: Recording) -> None:
    """The stack's annotation would roll pods, and the pods of a Job cannot be changed."""
    for recording in (marked, stack):
        for item in recording.custom():
            if "spec" in item.inputs:
                assert "teleport-access-graph/stack" not in str(item.inputs["spec"]), item.name
        for item in recording.custom():
            if "helm.sh" in item.type or item.type.endswith("Patch"):
                assert "teleport-access-graph/stack" not in str(item.inputs), item.name


def test_without_marks_nothing_else_is_touched(stack: Recording) -> None:
    assert "labels" not in stack["credentials-tls"].plain("metadata")
    assert stack["credentials-tls"].plain("metadata.annotations") == OF_THE_STACK
    assert "annotations" not in stack["database-access-job"].plain("spec.template.metadata")
    assert "podLabels" not in stack["access-graph-release"].plain("values")
    assert "serviceAccount" not in stack["access-graph-release"].plain("values")


def test_an_object_without_metadata_gets_no_metadata_of_its_pods() -> None:
    def program() -> None:
        mark_objects("o/p/s", {}, {})
        kubernetes.batch.v1.Job("it", spec={"template": {"spec": {"containers": []}}})

    job = record(program)["it"]
    assert job.plain("metadata") == {"annotations": {"teleport-access-graph/stack": "o/p/s"}}
    assert job.plain("spec.template") == {"spec": {"containers": []}}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory: Path = tmp_path_factory.mktemp("unmarked")
    return run_program(configuration(directory), directory)


@pytest.mark.parametrize("known", [True, False], ids=["plain", "output"])
def test_a_clash_is_refused_and_named(known: bool) -> None:
    def program() -> None:
        mark_objects("o/p/s", {"example.com/team": "identity"}, {})
        own: Any = {"example.com/team": "database"}
        metadata = {"name": "it", "labels": own if known else pulumi.Output.from_input(own)}
        kubernetes.core.v1.ConfigMap("it", metadata=metadata, data={})

    with pytest.raises(
        ClashError, match=r"it\.metadata\.labels: example\.com/team is 'identity' by the stack's settings"
    ):
        record(program)


def test_a_mark_that_is_there_already_is_no_clash() -> None:
    def program() -> None:
        mark_objects("o/p/s", {"example.com/team": "identity"}, {})
        kubernetes.core.v1.ConfigMap("it", metadata={"labels": {"example.com/team": "identity"}}, data={})

    assert record(program)["it"].plain("metadata.labels") == {"example.com/team": "identity"}
