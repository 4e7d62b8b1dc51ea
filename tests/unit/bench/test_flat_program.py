"""The flat program registers the same resources as ours, with the same inputs, and the engine accepts its state as its
own."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from bench.flat_program import STACK_TYPE, adopt_state, rooted, write
from tests.unit.bench.states import ROOT, exported
from tests.unit.monitor import PROJECT, STACK, Recording, record, unsealed
from tests.unit.program.stack import COMPUTED, configuration, run_program

pytestmark = [pytest.mark.unit, pytest.mark.slow]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory = tmp_path_factory.mktemp("ours")
    return run_program(configuration(directory), directory)


@pytest.fixture(scope="module")
def flat(ours: Recording, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    directory: Path = tmp_path_factory.mktemp("flat")
    assert write(exported(ours)["deployment"], PROJECT, directory / ".venv", directory) == len(ours.custom())
    return record(
        lambda: runpy.run_path(str(directory / "__main__.py")) and None,
        computed=COMPUTED,
    )


def test_the_same_resources_are_registered_with_the_same_inputs(ours: Recording, flat: Recording) -> None:
    assert {item.name for item in flat.custom()} == {item.name for item in ours.custom()}
    for registration in ours.custom():
        assert flat[registration.name].type == registration.type
        assert unsealed(flat[registration.name].inputs) == unsealed(registration.inputs), registration.name


def test_nothing_in_it_has_a_component_around_it(flat: Recording) -> None:
    assert [item.name for item in flat.registrations if not item.custom] == []
    assert {item.parent.rpartition("::")[2] for item in flat.custom()} == {f"{PROJECT}-{STACK}"}


def test_it_waits_for_what_ours_waits_for_and_keeps_what_ours_keeps(ours: Recording, flat: Recording) -> None:
    assert flat.edges() == ours.edges()
    for registration in ours.custom():
        found = flat[registration.name]
        assert (found.protect, found.retain_on_delete) == (registration.protect, registration.retain_on_delete)


def test_the_state_becomes_that_of_a_stack_without_components(ours: Recording, flat: Recording) -> None:
    state = exported(ours)
    adopted = adopt_state(state, STACK)["deployment"]["resources"]
    root, *resources = adopted
    assert (root["urn"], root["outputs"]) == (ROOT, {})
    # The recording monitor prefixes each type with the stack's type; the engine does not.
    assert {one["urn"] for one in resources} == {item.urn.replace(f"{STACK_TYPE}$", "") for item in flat.registrations}
    assert {one["parent"] for one in resources} == {ROOT}
    known = {one["urn"] for one in adopted}
    for one in resources:
        assert set(one["dependencies"]) <= known
        assert one["provider"] == "" or one["provider"].rpartition("::")[0] in known
    assert len(state["deployment"]["resources"]) > len(adopted), "the state that was given is left as it is"


def test_another_stacks_name_is_in_every_urn(ours: Recording) -> None:
    adopted = adopt_state(exported(ours), "flat")["deployment"]["resources"]
    assert {one["urn"].split("::")[0] for one in adopted} == {"urn:pulumi:flat"}
    assert adopted[0]["urn"].endswith(f"::{PROJECT}-flat")


def test_a_chart_in_a_file_is_found_from_wherever_the_flat_program_runs(tmp_path: Path) -> None:
    (tmp_path / "graph.tgz").touch()
    releases = [
        {"inputs": {"chart": chart}, "outputs": {"chart": chart}} for chart in ("graph.tgz", "teleport-cluster")
    ]
    changed = rooted({"deployment": {"resources": releases}}, tmp_path)["deployment"]["resources"]
    assert [one["inputs"] for one in changed] == [one["outputs"] for one in changed]
    assert [one["inputs"]["chart"] for one in changed] == [str(tmp_path / "graph.tgz"), "teleport-cluster"]
