"""Recover: every operation that a killed engine had begun is found and accounted for; otherwise it stays pending."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.settings import AwsSettings
from components.settings.names import STACK_TAG as TAG
from operations.begun import context_of
from operations.recover import Recovery
from operations.stack import StackError
from tests.samples import OTHER_CLUSTER_IDENTIFIER
from tests.unit.operations.kubernetes_api import KubernetesApi, put_release
from tests.unit.operations.recover_world import (
    ALL_RECORDED,
    CA_RECORDED,
    ENGINES,
    GRAPH_VALUES,
    NAME,
    NAMESPACE_RECORDED,
    OTHERS,
    OURS,
    RELEASE_RECORDED,
    Programs,
    begun,
    every_act,
    recovery,
    run,
    steps,
)
from tests.unit.operations.world import CLUSTER, GRAPH, HOST, configuration, put_world, settings


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


@pytest.mark.slow
def test_what_the_engine_was_making_and_does_not_show_whose_it_is_is_imported(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """An earlier version of the program made this release, so no mark in the cluster says which stack it belongs to."""
    put_world(api)
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    release = begun("kubernetes:helm.sh/v3:Release", "access-graph-release", name=GRAPH, namespace=GRAPH)
    programs.state(NAMESPACE_RECORDED, CA_RECORDED, pending=[release])
    assert run(tmp_path) == ["imported", "done"]


@pytest.mark.slow
def test_the_authoritys_config_map_that_auth_mounts_is_not_deleted_for_being_begun(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """The engine was creating it, it is this stack's, and the state does not know it; still, auth could not start
    without it."""
    put_world(api)
    name = "teleport-access-graph-ca"
    api.put("ConfigMap", name, "teleport", metadata=OURS)
    made = begun("kubernetes:core/v1:ConfigMap", "teleport-ca", metadata={"name": name, "namespace": "teleport"})
    programs.state(NAMESPACE_RECORDED, RELEASE_RECORDED, pending=[made])
    assert [step.act is None for step in steps(tmp_path)] == [True, False], "named, and then accounted for"
    assert run(tmp_path) == ["left", "done"]
    assert api.deleted == []


def test_what_aws_may_have_made_is_never_deleted(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    instance = begun("aws:rds/instance:Instance", "database-instance", identifier="graph")
    association = begun("aws:eks/podIdentityAssociation:PodIdentityAssociation", "client")
    programs.state(*ALL_RECORDED, pending=[instance, association])
    made, unknown = steps(tmp_path)
    assert made.problem.startswith("the engine was making aws:rds/instance:Instance database-instance, and does not")
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


@pytest.mark.slow
def test_what_was_begun_is_forgotten_once_all_of_it_is_accounted_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """Otherwise the engine would warn at every later `up`. The engine can only forget all pending operations at
    once."""
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
    """Create a security group as a killed plugin leaves it: with the stack's prefix and tag, and open to the
    outside."""
    tags = [{"ResourceType": "security-group", "Tags": [{"Key": TAG, "Value": NAME}]}]
    made = boto3.client("ec2", region_name="us-east-1").create_security_group(
        GroupName=f"graph-{number:026x}", Description="x", TagSpecifications=tags
    )
    return str(made["GroupId"])


def in_aws(root: Path) -> Recovery:
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "123456789012"})
    return dataclasses.replace(recovery(root), settings=dataclasses.replace(settings(root), aws=aws))


@pytest.mark.slow
def test_what_was_just_imported_is_the_stacks_and_looked_at_as_such(
    api: KubernetesApi, programs: Programs, tmp_path: Path, aws_account: None
) -> None:
    """The import carries the stack's tag, so nobody is told to delete it; an imported security group is closed at
    once."""
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
    """After the first import the state has that name, so a second import would be refused."""
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
    """The next `up` creates the successor again, and would find its name taken."""
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


@pytest.mark.parametrize(
    ("provider", "context"),
    [
        ("urn::kubernetes::0123", "test"),
        (f"urn::kubernetes-{OTHER_CLUSTER_IDENTIFIER}::0123", "other"),
        ("urn::kubernetes-11111111-0000-4000-8000-000000000001::0123", None),
        (None, "test"),
    ],
    ids=["the access graph's cluster", "a Teleport's own", "one that was taken out", "of an earlier version"],
)
def test_an_object_is_looked_for_in_the_cluster_of_its_provider(
    tmp_path: Path, provider: str | None, context: str | None
) -> None:
    elsewhere = {"context": "other", "clusterIdentifier": OTHER_CLUSTER_IDENTIFIER}
    entry = {**configuration()["teleport"][CLUSTER], "kubernetes": elsewhere, "endpoint": f"{HOST}:443"}
    assert context_of(settings(tmp_path, teleport={CLUSTER: entry}), {"provider": provider}) == context


def test_a_kind_that_cannot_be_asked_for_is_named(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    metadata = {"name": "graph", "namespace": GRAPH}
    programs.state(*ALL_RECORDED, pending=[begun("kubernetes:cert-manager.io/v1:Certificate", "c", metadata=metadata)])
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.problem.startswith(f"the engine was making Certificate {GRAPH}/graph")


def deletions(*resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "deleting", "resource": resource} for resource in resources]


SECRET = {"urn": "urn::postgres", "id": f"{GRAPH}/postgres", "type": "kubernetes:core/v1:Secret"}


@pytest.mark.slow
def test_what_was_being_deleted_is_looked_for_before_an_up_believes_that_it_is_there(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """For a killed `destroy` that the user no longer wants. Another `destroy` would find out by itself."""
    put_world(api)
    programs.state(*ALL_RECORDED, pending=deletions(SECRET))
    programs.record(SECRET)
    (step,) = steps(tmp_path)
    assert step.problem == (
        f"the engine was deleting kubernetes:core/v1:Secret {GRAPH}/postgres, and does not know whether it did"
    )
    assert step.act is not None
    # The stand-in prints the same state before and after.
    assert step.act() == "it is there"
    refreshed = [call for call in programs.calls if call.startswith("pulumi refresh")]
    assert refreshed == ["pulumi refresh --target urn::postgres --yes --skip-preview --stack test --non-interactive"]


@pytest.mark.slow
def test_of_what_was_being_deleted_only_what_the_world_has_is_looked_for(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    """A key exists only in the state, Helm tells whether a release exists, and what is no longer in the state is
    gone."""
    put_world(api)
    key = {"urn": "urn::key", "id": "key", "type": "tls:index/privateKey:PrivateKey"}
    release = {"urn": "urn::release", "id": f"{GRAPH}/{GRAPH}", "type": "kubernetes:helm.sh/v3:Release"}
    put_release(api, 1, "deployed", GRAPH_VALUES, name=GRAPH, namespace=GRAPH)
    programs.state(*ALL_RECORDED, pending=deletions(key, release, SECRET))
    programs.record(key, release)
    assert steps(tmp_path) == []


@pytest.mark.slow
def test_what_aws_was_asked_to_delete_is_advice_where_aws_cannot_be_asked(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    role = {"urn": "urn::role", "id": "role", "type": "aws:iam/role:Role"}
    programs.state(*ALL_RECORDED, pending=deletions(role))
    programs.record(role)
    (step,) = steps(tmp_path)
    assert step.act is None
    assert step.remedy == "look for it; `pulumi refresh --target 'urn::role'` takes it out of the state if it is gone"
