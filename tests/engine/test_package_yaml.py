"""The examples in YAML, run by the official YAML host: a program without a language makes a whole access graph.

The tests change only the examples' placeholders: where the provider and the chart are, the namespace, and the database,
which is that of the deployed stack.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.home import CHECKOUT, Cache
from sandbox.plugins.serve import SCHEMAS_VARIABLE
from sandbox.toolchain.tools import GoProgram
from tests.engine.conftest import RunningSandbox
from tests.engine.go_programs import built
from tests.engine.programs import OtherProgram
from tests.engine.stacks import graph_pods
from tests.published import KUBERNETES_PLUGIN, fetched

pytestmark = pytest.mark.engine

EXAMPLES = CHECKOUT / "examples"
HOST = GoProgram(
    name="pulumi-language-yaml",
    title="Pulumi's YAML host",
    version="1.25.0",
    module="github.com/pulumi/pulumi-yaml",
    package="github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml",
    expected_seconds=60,
    workspace="yaml-host",
    linker_variables=(("github.com/pulumi/pulumi-yaml/pkg/version.Version", "v1.25.0"),),
)
# The part of the random package's schema that the examples use, because no Go module has its official schema.
RANDOM_SCHEMA = {
    "name": "random",
    "version": "4.21.4",
    "resources": {
        "random:index/randomPassword:RandomPassword": {
            "inputProperties": {"length": {"type": "integer"}, "special": {"type": "boolean"}},
            "requiredInputs": ["length"],
            "properties": {"result": {"type": "string", "secret": True}},
            "required": ["result"],
        }
    },
}
NAMESPACE = "from-yaml"
SERVICE_HOST = f"teleport-access-graph.{NAMESPACE}.svc.cluster.local"
DEPLOYED = "teleport-access-graph"


class YamlProgram(OtherProgram):
    """A stack of a program in YAML. `more` has additional environment variables for its runs."""

    more: dict[str, str]

    def environment(self) -> dict[str, str]:
        environment = super().environment()
        return {**environment, **self.more, "PATH": f"{self.more['PATH']}{os.pathsep}{environment['PATH']}"}


def of_the_package() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / "package" / "yaml" / "Pulumi.yaml").read_text())
    return document


def of_the_operator() -> dict[str, Any]:
    """The program as the operator writes it: the object's `program`, with a name and a runtime."""
    objects = yaml.safe_load_all((EXAMPLES / "fleet" / "operator" / "program.yaml").read_text())
    (program,) = (one for one in objects if one["kind"] == "Program")
    return {"name": program["metadata"]["name"], "runtime": "yaml", **program["program"]}


@pytest.fixture(params=[of_the_package, of_the_operator])
def program(deployed: RunningSandbox, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[YamlProgram]:
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    shutil.copyfile(fetched(KUBERNETES_PLUGIN) / "schema.json", schemas / "kubernetes.json")
    (schemas / "random.json").write_text(json.dumps(RANDOM_SCHEMA))
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(adapted(request.param(), deployed)))
    program = YamlProgram(deployed, tmp_path, "tests")
    host = built(Cache.from_environment(), HOST)
    program.more = {SCHEMAS_VARIABLE: str(schemas), "PATH": str(host.parent)}
    program.create()
    try:
        yield program
    finally:
        program.remove()


def adapted(document: dict[str, Any], deployed: RunningSandbox) -> dict[str, Any]:
    document["packages"] = {"teleport-access-graph": str(CHECKOUT / "provider")}
    resources = {name: resource["properties"] for name, resource in document["resources"].items()}
    (chart,) = deployed.home.charts.glob("teleport-access-graph-*.tgz")
    del resources["access-graph"]["repository"], resources["access-graph"]["version"]
    resources["access-graph"] |= {"chart": str(chart), "databaseCaConfigMap": "${namespace.databaseCaConfigMap}"}
    bundle = deployed.get("configmap", f"{DEPLOYED}-database-ca", "--namespace", DEPLOYED)["data"]["bundle.pem"]
    resources["namespace"] |= {"namespace": NAMESPACE, "databaseCaBundle": bundle}
    resources["certificates"] |= {
        "dnsNames": [f"teleport-access-graph.{NAMESPACE}.svc.cluster.local"],
        "protect": False,
    }
    return document


def test_the_example_runs_and_its_pods_are_ready(deployed: RunningSandbox, program: YamlProgram) -> None:
    secret = deployed.get("secret", f"{DEPLOYED}-postgres", "--namespace", DEPLOYED)
    settings = {entry["hostAuthorities"]["path"] for entry in deployed_teleports(deployed)}
    (authorities,) = [(CHECKOUT / path).read_text() for path in settings]
    cluster = {
        "context": "sandbox",
        "clusterIdentifier": deployed.get("namespace", "kube-system")["metadata"]["uid"],
    }
    asked = yaml.safe_load((program.directory / "Pulumi.yaml").read_text()).get("config", {})
    given = {key: value for key, value in cluster.items() if key in asked}
    program.configure(hostAuthorities=authorities, **given)
    uri = base64.b64decode(secret["data"]["uri"]).decode()
    program.pulumi("config", "set", "--secret", "databaseUri", uri)
    said = program.pulumi("up")
    assert f"using {HOST.name} from $PATH at {program.more['PATH']}" in said.stdout + said.stderr
    pods = graph_pods(program, NAMESPACE)
    assert pods
    assert all(pod["status"]["containerStatuses"][0]["ready"] for pod in pods)
    outputs = program.outputs()
    assert outputs["endpoint"] == f"{SERVICE_HOST}:443"
    assert outputs["caBundle"].startswith("-----BEGIN CERTIFICATE-----")
    program.pulumi("up", "--expect-no-changes")


def deployed_teleports(deployed: RunningSandbox) -> list[dict[str, dict[str, str]]]:
    document = yaml.safe_load(deployed.configuration.read_text())
    return list(document["config"]["teleport-access-graph:teleport"].values())
