"""Recover finds what a killed `up` can leave, each with its remedy, and touches nothing of anybody else's.

This module tests the state record, the lock, the identity of stack and cluster, and the command's questions; the
modules `test_recover_*` test what is mended.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from components.settings import AwsSettings
from components.settings.names import PROJECT, STACK_ANNOTATION
from components.settings.names import STACK_TAG as TAG
from operations.cluster import ClusterError
from operations.mending import Step
from operations.ownership import full_name
from operations.recover import Recovery
from operations.stack import StackError
from tests.unit.operations.kubernetes_api import IDENTIFIER, KubernetesApi
from tests.unit.operations.recover_world import (
    ALL_RECORDED,
    LOCK,
    Programs,
    invoke,
    no_engines,
    recovery,
    steps,
)
from tests.unit.operations.world import put_world, settings


@pytest.mark.slow
def test_a_whole_stack_has_nothing_to_mend_but_its_lock(api: KubernetesApi, programs: Programs, tmp_path: Path) -> None:
    put_world(api)
    programs.state(*ALL_RECORDED)
    assert steps(tmp_path) == []
    lock = next(iter(Recovery(settings=settings(tmp_path), stack="test", processes=no_engines).steps()))
    assert lock.act is not None
    assert lock.act() == "cleared"
    assert programs.calls[-1] == "pulumi cancel --yes --stack test --non-interactive"
    # Pulumi Cloud knows when nothing is running, and reports that as an error.
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
    """The directory in which a file backend keeps the records; it has those of a sound stack."""
    put_world(api)
    programs.state(*ALL_RECORDED)
    programs.backend(f"file://{tmp_path}")
    records = tmp_path / ".pulumi" / "stacks" / PROJECT
    records.mkdir(parents=True)
    return records


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
    """`pulumi stack rm` leaves exactly the files that a kill in the middle of a write leaves."""
    (records / "test.json.bak").write_text('{"version": 3}')
    (step,) = recovery(tmp_path).steps()
    assert step.problem == f"{records}/test.json is missing, as after a kill or after `pulumi stack rm`"
    assert step.option == "--restore-record"
    assert not (records / "test.json").exists()
    found = recovery(tmp_path).steps()
    step = next(found)
    assert step.act is not None
    step.act()
    assert (records / "test.json").read_text() == '{"version": 3}'
    assert [step.problem for step in found] == [LOCK], "and all that comes after it"


def done() -> str:
    return "mended"


def test_when_all_is_mended_up_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = invoke(monkeypatch, tmp_path, [Step("one", "mend it", done), Step("two", "that too", done)], "--yes")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "2 things done; `up` goes on from here"
    assert invoke(monkeypatch, tmp_path, []).output == "0 things done; `up` goes on from here\n"


def test_what_is_declined_and_what_is_advice_is_left_and_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = [Step("one", "mend it", done), Step("two", "mend it", done), Step("three", "look there yourself")]
    result = invoke(monkeypatch, tmp_path, steps, answers="n\ny\n")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "1 things done, 2 left: one; three"
    assert "goes on" not in result.output
    result = invoke(monkeypatch, tmp_path, steps, "--yes")
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "2 things done, 1 left: three"


@pytest.mark.slow
def test_where_nobody_can_answer_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = invoke(monkeypatch, tmp_path, [Step("a is wrong", "mend a", done)])
    assert isinstance(result.exception, StackError)
    assert str(result.exception) == "recover: there is no terminal to ask at, so the rest is left; --yes does it all"


def test_yes_does_not_answer_for_what_has_an_option_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = [Step("one", "put it back", done, option="--restore-record")]
    result = invoke(monkeypatch, tmp_path, steps, "--yes")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "one",
        "  put it back: with --restore-record",
        "0 things done, 1 left: one",
    ]
    assert invoke(monkeypatch, tmp_path, steps, "--yes", "--restore-record").exit_code == 0
    assert invoke(monkeypatch, tmp_path, steps, answers="y\n").exit_code == 0
    assert invoke(monkeypatch, tmp_path, steps, answers="n\n").exit_code == 1


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
    assert full_name(state("acme/graph/preprod"), "prod") == "organization/teleport-access-graph/prod"
    assert full_name(state("acme/graph/former"), "prod") == "organization/teleport-access-graph/prod"


def test_another_cluster_than_the_stacks_is_refused_before_anything_is_done(
    api: KubernetesApi, programs: Programs, tmp_path: Path
) -> None:
    put_world(api)
    meant = "11111111-0000-4000-8000-000000000001"
    elsewhere = settings(tmp_path, kubernetes={"clusterIdentifier": meant})
    with pytest.raises(ClusterError) as refused:
        next(Recovery(settings=elsewhere, stack="test", processes=no_engines, root=tmp_path).steps())
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
    aws = AwsSettings.model_validate({"region": "us-east-1", "accountId": "210987654321"})
    elsewhere = dataclasses.replace(recovery(tmp_path), settings=dataclasses.replace(settings(tmp_path), aws=aws))
    with pytest.raises(ClusterError, match=r"of 123456789012, aws\.accountId says 210987654321; take another profile"):
        next(elsewhere.steps())
    assert not (tmp_path / "programs" / "calls").exists()
