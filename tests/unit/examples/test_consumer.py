"""A stack that reads ours: it gets typed values, secret ones stay secret, and outputs that it does not know are
refused."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.arguments import camel_case
from components.outputs_contract import OUTPUT_TYPES, OUTPUTS_VERSION
from components.outputs_reader import AccessGraphOutputs, OutputsError
from tests.unit.monitor import Recording, Secret, record

pytestmark = pytest.mark.unit

EXAMPLE = Path(__file__).parents[3] / "examples" / "consumer"
GRAPH = "organization/teleport-access-graph/dev"
# The README tells users to write these into Pulumi.dev.yaml. The tests use values of their own, so that none fails
# because of a user's file.
CONFIG = {
    "accessGraph": GRAPH,
    "context": "dev-eu-central-1",
    "clusterIdentifier": "5f0c9a52-6d0e-4a0b-9a53-0d1f6f2f7c11",
    "namespace": "teleport-agents",
    "alarmDays": "14",
}
OUTPUTS: dict[str, Any] = {
    "outputsVersion": OUTPUTS_VERSION,
    "endpoint": "graph.example.com:443",
    "serviceHost": "graph.example.com",
    "namespace": "graph",
    "releaseName": "graph",
    "chartVersion": "1.30.2",
    "caBundle": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "caNotAfter": "2036-11-19T00:00:00Z",
    "certificateNotAfter": "2027-12-24T00:00:00.123456789Z",
    "databaseSecretName": "teleport-access-graph-postgres",
    "tlsSecretName": "teleport-access-graph-tls",
    "externalEndpoint": "out.example.com:443",
    "externalAddress": "lb.example.com",
    "readerRole": "kind: role\n",
    "hostAuthorityFingerprints": {"teleport.example.com": ["0" * 64]},
    "teleportValues": {"teleport.example.com": {}},
    "teleportConfig": {"teleport.example.com": {}},
    "teleportFiles": {"teleport.example.com": {"/etc/ca.pem": "bundle"}},
    "teleportCleanUp": {"teleport.example.com": []},
}
PROPERTIES = {name: kind for name, kind in vars(AccessGraphOutputs).items() if isinstance(kind, property)}
# The ledger is the stack's own memory; the version is read before everything else.
NOT_FOR_READERS = {"ledger", "outputsVersion"}


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**OUTPUTS, **changes}.items() if name not in names}


def run(program: Callable[[], None], outputs: dict[str, Any] = OUTPUTS, **options: Any) -> Recording:
    return record(program, stacks={GRAPH: outputs}, **options)


def example(outputs: dict[str, Any] = OUTPUTS, **options: Any) -> Recording:
    return run(
        lambda: runpy.run_path(str(EXAMPLE / "__main__.py")) and None,
        outputs,
        project=yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text())["name"],
        config=CONFIG,
        **options,
    )


def test_the_sample_has_every_setting() -> None:
    sample = yaml.safe_load((EXAMPLE / "Pulumi.dev.yaml").read_text())["config"]
    assert {f"teleport-access-graph-consumer:{name}" for name in CONFIG} <= sample.keys()


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
def test_agents_get_the_endpoint_and_what_to_trust(preview: bool) -> None:
    recording = example(preview=preview)
    assert recording.references == [GRAPH]
    data = recording["agents"].plain("data")
    assert yaml.safe_load(data["teleport.yaml"]) == {
        "access_graph": {
            "enabled": True,
            "endpoint": "graph.example.com:443",
            "ca": "/var/run/access-graph/ca.pem",
        }
    }
    assert data["ca.pem"] == OUTPUTS["caBundle"]


def test_somebody_is_told_two_weeks_before_the_certificate_ends() -> None:
    (rule,) = example()["certificate-alarm"].plain("spec.groups.0.rules")
    # 2027-12-10T00:00:00Z, to the second.
    assert rule["expr"] == "vector(time()) > 1828396800"
    assert "graph.example.com:443" in rule["annotations"]["summary"]


def test_the_example_reaches_its_cluster_by_a_provider_of_its_own() -> None:
    recording = example()
    assert {item.provider.split("::")[-2] for item in recording.custom()} == {"kubernetes"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, f"{GRAPH}: has no output outputsVersion; nothing is deployed there"),
        ({"endpoint": "x"}, f"{GRAPH}: has no output outputsVersion"),
        (without(outputsVersion=2), f"{GRAPH}: has outputs of version 2, and this reader knows 1"),
        (without(outputsVersion=0), f"{GRAPH}: has outputs of version 0, and this reader knows 1"),
        (without(outputsVersion="1"), f"{GRAPH}: has outputs of version '1', and this reader knows 1"),
        (without(outputsVersion=True), f"{GRAPH}: has outputs of version True, and this reader knows 1"),
        (without("endpoint"), f"{GRAPH}: has no output endpoint, which version 1 has; run its `up`"),
        (without(endpoint=7), f"{GRAPH}: its output endpoint is no string"),
        (without(endpoint=False), f"{GRAPH}: its output endpoint is no string"),
        (without(caBundle={}), f"{GRAPH}: its output caBundle is no string"),
        (without("caBundle"), f"{GRAPH}: has no output caBundle; its environment does without"),
        (without("certificateNotAfter"), f"{GRAPH}: has no output certificateNotAfter; its environment does without"),
    ],
)
def test_what_is_not_there_is_one_clear_error_and_makes_nothing(outputs: dict[str, Any], said: str) -> None:
    with pytest.raises(OutputsError) as refused:
        example(outputs)
    assert said in str(refused.value)
    assert isinstance(refused.value, pulumi.RunError), "the engine prints its text alone, without a stack trace"


def test_a_secret_output_stays_secret_and_makes_no_other_secret() -> None:
    def program() -> None:
        graph = AccessGraphOutputs(pulumi.StackReference(GRAPH))
        pulumi.export("values", graph.teleport_values)
        pulumi.export("endpoint", graph.endpoint)

    values = {"teleport.example.com": {"token": "canary"}}
    recording = run(program, without(teleportValues=Secret(values)))
    assert recording.outputs == {"values": Secret(values), "endpoint": "graph.example.com:443"}


def test_what_an_environment_does_not_have_is_none_unless_it_is_needed() -> None:
    def program() -> None:
        graph = AccessGraphOutputs(GRAPH)
        pulumi.export("absent", graph.database_instance_arn.apply(lambda arn: arn is None))
        pulumi.export("present", graph.known(graph.release_name, "releaseName"))

    assert run(program).outputs == {"absent": True, "present": "graph"}


def test_the_reader_has_every_output_that_is_for_readers() -> None:
    assert {camel_case(name) for name in PROPERTIES} == set(OUTPUT_TYPES) - NOT_FOR_READERS


@pytest.mark.slow
def test_each_property_reads_the_output_of_its_name() -> None:
    def program() -> None:
        graph = AccessGraphOutputs(GRAPH)
        for name in PROPERTIES:
            pulumi.export(camel_case(name), getattr(graph, name))

    # Outputs that are None are left out.
    assert run(program).outputs == without("outputsVersion")


@pytest.mark.slow
@pytest.mark.parametrize("name", PROPERTIES)
def test_what_is_absent_is_none_where_the_type_says_so_and_refused_elsewhere(name: str) -> None:
    def program() -> None:
        pulumi.export("absent", getattr(AccessGraphOutputs(GRAPH), name).apply(lambda value: value is None))

    absent = without(camel_case(name))
    if "| None]" in PROPERTIES[name].fget.__annotations__["return"]:
        assert run(program, absent).outputs == {"absent": True}
    else:
        with pytest.raises(OutputsError, match=f"has no output {camel_case(name)}, which version 1 has"):
            run(program, absent)


def test_an_empty_map_is_there() -> None:
    """Such as from a stack without Teleport clusters, or without any in mode `manual`."""

    def program() -> None:
        graph = AccessGraphOutputs(GRAPH)
        pulumi.export("files", graph.known(graph.teleport_files, "teleportFiles"))

    assert run(program, without(teleportFiles={})).outputs == {"files": {}}
