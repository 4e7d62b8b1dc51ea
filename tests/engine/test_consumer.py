"""The example that reads our outputs, on the real engine: what it makes from them, and which stacks it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.expiry import read_time
from components.outputs_contract import OUTPUTS_VERSION
from sandbox.home import CHECKOUT
from tests.engine.conftest import RunningSandbox
from tests.engine.definitions import define, prometheus_definitions
from tests.engine.programs import OtherProgram, other_program, write_program

pytestmark = pytest.mark.engine

EXAMPLE = CHECKOUT / "examples" / "consumer"
NAMESPACE = "teleport-agents"
ALARM_DAYS = 14
CANARY = "canary-0123456789abcdef"
# The program of an arbitrary stack, which exports what its configuration says.
PUBLISHER = """
import pulumi

config = pulumi.Config()
for name, value in config.get_object("plain", {}).items():
    pulumi.export(name, value)
for name, value in config.get_object("hidden", {}).items():
    pulumi.export(name, pulumi.Output.secret(value))
"""
READER = f"""
import sys

sys.path.insert(0, {str(CHECKOUT)!r})

import pulumi

from components.outputs_reader import AccessGraphOutputs

graph = AccessGraphOutputs(pulumi.Config().require("accessGraph"))
pulumi.export("values", graph.teleport_merged_values)
pulumi.export("endpoint", graph.endpoint)
"""


@pytest.fixture(scope="module")
def agents(deployed: RunningSandbox) -> Iterator[None]:
    """What the example requires in the cluster: its agents' namespace, and the Prometheus Operator's definitions."""
    definitions = prometheus_definitions()
    deployed.kubectl("create", "namespace", NAMESPACE)
    define(deployed, *definitions)
    yield
    deployed.kubectl("delete", "namespace", NAMESPACE)
    for file in definitions:
        deployed.kubectl("delete", "--filename", str(file))


@pytest.fixture
def consumer(deployed: RunningSandbox, agents: None) -> Iterator[OtherProgram]:
    """The example, configured to read the deployed stack."""
    identifier = deployed.get("namespace", "kube-system")["metadata"]["uid"]
    with other_program(
        deployed,
        EXAMPLE,
        accessGraph=f"organization/teleport-access-graph/{deployed.stack_name}",
        context="sandbox",
        clusterIdentifier=identifier,
        namespace=NAMESPACE,
        alarmDays=ALARM_DAYS,
    ) as program:
        yield program


@pytest.fixture
def publisher(deployed: RunningSandbox, tmp_path: Path) -> Iterator[OtherProgram]:
    with other_program(deployed, write_program(tmp_path / "publisher", "publisher", PUBLISHER)) as program:
        yield program


def refer_to(consumer: OtherProgram, stack: str) -> None:
    document = yaml.safe_load(consumer.configuration.read_text())
    document["config"]["teleport-access-graph-consumer:accessGraph"] = stack
    consumer.configuration.write_text(yaml.safe_dump(document))


def test_agents_are_told_what_the_stack_says_and_somebody_of_its_certificates_end(
    deployed: RunningSandbox, consumer: OtherProgram
) -> None:
    outputs = deployed.outputs()
    consumer.pulumi("up")
    told = consumer.get("configmap", "access-graph-agents", "--namespace", NAMESPACE)["data"]
    assert told["ca.pem"] == outputs["caBundle"]
    assert yaml.safe_load(told["teleport.yaml"])["access_graph"]["endpoint"] == outputs["endpoint"]
    rule = consumer.get("prometheusrule", "access-graph-certificate", "--namespace", NAMESPACE)
    (alert,) = rule["spec"]["groups"][0]["rules"]
    # In whole seconds, because Go writes a certificate's end with a fraction that the certificate does not have.
    end = int(read_time(outputs["certificateNotAfter"]).timestamp())
    assert alert["expr"] == f"vector(time()) > {end - ALARM_DAYS * 86400}"
    consumer.pulumi("up", "--expect-no-changes")
    assert consumer.outputs() == {"agentConfiguration": "access-graph-agents", "alarm": "access-graph-certificate"}


def test_what_is_not_there_or_newer_is_one_clear_error_and_makes_nothing(
    consumer: OtherProgram, publisher: OtherProgram
) -> None:
    refer_to(consumer, publisher.full_name)
    publisher.pulumi("up")
    nothing = consumer.pulumi("up", check=False)
    assert nothing.returncode != 0
    assert f"{publisher.full_name}: has no output outputsVersion; nothing is deployed there" in nothing.stdout
    publisher.configure(plain={"outputsVersion": OUTPUTS_VERSION + 1, "endpoint": "graph.example.com:443"})
    publisher.pulumi("up")
    newer = consumer.pulumi("up", check=False)
    assert newer.returncode != 0
    assert (
        f"{publisher.full_name}: has outputs of version {OUTPUTS_VERSION + 1}, and this reader knows {OUTPUTS_VERSION}"
        in newer.stdout
    )
    for refused in (nothing, newer):
        assert "Traceback" not in refused.stdout + refused.stderr
    assert consumer.get("configmap", "access-graph-agents", "--namespace", NAMESPACE, "--ignore-not-found") == {}


def test_a_secret_output_stays_secret_in_the_readers_state(
    deployed: RunningSandbox, publisher: OtherProgram, tmp_path: Path
) -> None:
    merged = {"teleport.example.com": {"token": CANARY}}
    publisher.configure(
        plain={"outputsVersion": OUTPUTS_VERSION, "endpoint": "graph.example.com:443"},
        hidden={"teleportMergedValues": merged},
    )
    publisher.pulumi("up")
    program = write_program(tmp_path / "reader", "reader", READER)
    with other_program(deployed, program, accessGraph=publisher.full_name) as reader:
        said = reader.pulumi("up")
        assert CANARY not in said.stdout + said.stderr
        assert CANARY not in reader.state()
        assert reader.outputs() == {"values": "[secret]", "endpoint": "graph.example.com:443"}
        assert reader.outputs(secrets=True)["values"] == merged
